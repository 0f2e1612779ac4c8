//! Deduplication: of the rows of one key the first stays.

use std::marker::PhantomData;
use std::time::Duration;

use super::event_time::duration_ms;
use super::{KeyBatch, Slots, StateKey};
use crate::description::{OnExpire, StateTable};

/// Lets the first row of each key through, by offset, and drops the others: duplicates of earlier epochs and of the same
/// batch alike. They are counted: `engine_plugin_count_total{name="duplicate_rows"}`.
///
/// ```
/// # use plugin_sdk::{Change, Ctx, Millis, Reject, Row, Table, Timestamp};
/// # #[derive(Clone, Copy, Row)] pub struct PaymentIn<'a> { key: &'a str, at: Timestamp<Millis>, cents: i64 }
/// # #[derive(Table)] #[table(name = "payments", kind = "append")] pub struct Payment { cents: i64 }
/// # fn clean(payment: PaymentIn<'_>, _: &Ctx) -> Result<Payment, Reject> { Ok(Payment { cents: payment.cents }) }
/// use plugin_sdk::{days, minutes};
///
/// plugin_sdk::export! {
///     plugin: Payments,
///     input: PaymentIn,
///     output: Payment,
///     event_time: of(|payment| payment.at).delay(minutes(5)),
///     dedup: by(|payment| payment.key).within(days(7)),
///     row: clean,
/// }
/// # fn main() {}
/// ```
///
/// - A row that is rejected, that the function gives nothing for, or that is late, does not use its key up.
/// - Of changes, inserts and snapshot reads are looked at; updates and deletes go through, whatever their key.
/// - A key of `None` is no key: the row goes through.
/// - A key is remembered until the watermark has passed the event time of its first row by the horizon. Without one it is
///   remembered for ever.
/// - A late row whose key is known is a duplicate, and no dead letter.
///
/// Where the *last* row of a key is wanted, no state is needed: a table of kind `current` with that sort key.
#[derive(Clone, Copy, Debug)]
pub struct Dedup<R, K, F> {
    by: F,
    within: Option<Duration>,
    row: PhantomData<fn(&R) -> K>,
}

impl<R, K: StateKey, F: Fn(&R) -> K> Dedup<R, K, F> {
    /// The key: of one column, or a tuple of several.
    pub fn by(by: F) -> Self {
        Self { by, within: None, row: PhantomData }
    }

    /// The horizon, in event time.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within: Some(within), ..self }
    }
}

/// How duplicates are known: by a [`Dedup`], or `()` where they are not looked for.
pub trait Duplicates<R> {
    /// False: they are not looked for.
    const KNOWN: bool;
    /// An empty batch of keys.
    fn keys(&self, rows: usize) -> KeyBatch;
    /// Writes the row's key; false: it has none.
    fn push(&self, row: &R, keys: &mut KeyBatch) -> bool;
    /// An empty set of keys.
    fn slots(&self, rows: usize) -> Slots;
    /// The slot of the row's key; `None`: it has none.
    fn slot(&self, row: &R, slots: &mut Slots) -> Option<usize>;
    /// How long keys are remembered, ms; `None`: for ever.
    fn within_ms(&self) -> Option<i64>;
    /// The table of keys.
    fn table(&self) -> Option<StateTable>;
}

impl<R> Duplicates<R> for () {
    const KNOWN: bool = false;
    fn keys(&self, _rows: usize) -> KeyBatch {
        KeyBatch::new::<u64>(0)
    }
    fn push(&self, _row: &R, _keys: &mut KeyBatch) -> bool {
        false
    }
    fn slots(&self, _rows: usize) -> Slots {
        Slots::new::<u64>(0)
    }
    fn slot(&self, _row: &R, _slots: &mut Slots) -> Option<usize> {
        None
    }
    fn within_ms(&self) -> Option<i64> {
        None
    }
    fn table(&self) -> Option<StateTable> {
        None
    }
}

impl<R, K: StateKey, F: Fn(&R) -> K> Duplicates<R> for Dedup<R, K, F> {
    const KNOWN: bool = true;
    fn keys(&self, rows: usize) -> KeyBatch {
        KeyBatch::new::<K>(rows)
    }
    #[inline(always)]
    fn push(&self, row: &R, keys: &mut KeyBatch) -> bool {
        let key = (self.by)(row);
        if !key.is_null() {
            keys.push(&key);
        }
        !key.is_null()
    }
    fn slots(&self, rows: usize) -> Slots {
        Slots::new::<K>(rows)
    }
    #[inline(always)]
    fn slot(&self, row: &R, slots: &mut Slots) -> Option<usize> {
        let key = (self.by)(row);
        (!key.is_null()).then(|| slots.of(&key))
    }
    fn within_ms(&self) -> Option<i64> {
        self.within.map(duration_ms)
    }
    fn table(&self) -> Option<StateTable> {
        Some(StateTable { name: "dedup", on_expire: OnExpire::Drop })
    }
}
