//! Slowly changing dimensions of type 2: each version of a row, from when to when it held.

use std::marker::PhantomData;

use super::steps::{admit, first_table, op, operations, watermark};
use super::value::{check_version, damaged, read_signed, read_varint, write_signed, write_varint};
use super::{Duplicates, Found, Slots, StateKey, StateValue, Times, Variable};
use crate::description::{OnExpire, StateTable};
use crate::row::{Op, Row};
use crate::table::{Outputs, Table, Upsert};
use crate::{Ctx, Host, Millis, RawBatch, Reject, RejectedRow, Timestamp};

/// Keeps the history of rows: a slowly changing dimension of type 2.
///
/// Two functions say what a version is made of: `row` checks a change and says what is to be remembered of it, `version` makes
/// a version's row.
///
/// ```
/// use plugin_sdk::{Change, Ctx, Millis, Reject, Row, StateValue, Table, Timestamp, Version};
///
/// #[derive(Clone, Copy, Row)]
/// pub struct UserIn<'a> {
///     user_id: i64,
///     plan: &'a str,
///     #[column(change = "source_timestamp")]
///     changed_at: Option<Timestamp<Millis>>,
/// }
///
/// /// What makes a new version when it changes.
/// #[derive(Clone, PartialEq, StateValue)]
/// pub struct Plan { plan: String }
///
/// #[derive(Table)]
/// #[table(name = "dim_user", kind = "current", sort_key = ["user_id", "effective_start"])]
/// pub struct DimUser<'a> {
///     user_id: i64,
///     plan: &'a str,
///     effective_start: Timestamp<Millis>,
///     effective_end: Option<Timestamp<Millis>>,
///     is_current: bool,
/// }
///
/// fn plan(change: Change<UserIn>, _: &Ctx) -> Result<Option<Plan>, Reject> {
///     Ok(Some(Plan { plan: change.row.plan.trim().to_owned() }))
/// }
///
/// fn version<'v>(user_id: i64, version: Version<'v, Plan>, _: &Ctx) -> DimUser<'v> {
///     let Version { start, end, value } = version;
///     DimUser { user_id, plan: &value.plan, effective_start: start, effective_end: end, is_current: end.is_none() }
/// }
///
/// plugin_sdk::export! {
///     plugin: Users,
///     input: Change<UserIn>,
///     output: DimUser,
///     event_time: of(|change| change.row.changed_at),
///     scd2: by(|change| change.row.user_id),
///     row: plan,
///     version: version,
/// }
/// # fn main() {}
/// ```
///
/// - A version begins at the event time of its change, and ends where the next one begins: `end` is not part of it. The
///   current version has no end.
/// - A change that changes nothing of what is remembered begins no version. Of two changes at the same time the later one, by
///   offset, holds.
/// - A delete ends the current version; an insert after it begins a new one, with a gap in between. A deleted row's function
///   is not called.
/// - Changes may come out of order, as far as the delay of the event time allows: the table is what they make in order of time.
///   What the watermark has passed is final. A change that is late ([`Late::Process`](crate::Late::Process)) takes effect
///   at the watermark.
/// - The table is `current`, its sort key says key and start. State is one version for each key, and more only where changes
///   lie before the watermark.
#[derive(Clone, Copy, Debug)]
pub struct Scd2<R, K, F> {
    by: F,
    row: PhantomData<fn(&R) -> K>,
}

impl<R, K: StateKey, F: Fn(&R) -> K> Scd2<R, K, F> {
    /// Whose versions they are.
    pub fn by(by: F) -> Self {
        Self { by, row: PhantomData }
    }
}

/// The table of versions.
pub(crate) fn table() -> StateTable {
    StateTable { name: "versions", on_expire: OnExpire::Drop }
}

/// A version of a row.
#[derive(Debug)]
pub struct Version<'v, V> {
    /// From when it held.
    pub start: Timestamp<Millis>,
    /// Until when; `None`: it still does.
    pub end: Option<Timestamp<Millis>>,
    /// What it was.
    pub value: &'v V,
}

impl<V> Clone for Version<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Version<'_, V> {}

/// A change: what a row is from this time on. `None`: it is deleted.
#[derive(Clone, Debug, PartialEq)]
struct Fact<V> {
    at: i64,
    value: Option<V>,
}

/// A version as it lies in a history: from one fact to another.
#[derive(Debug, PartialEq)]
struct Span<'f, V> {
    start: i64,
    end: Option<i64>,
    value: &'f V,
}

/// The changes of a key, in order of time; of each time the last.
#[derive(Clone, Debug)]
struct History<V> {
    facts: Vec<Fact<V>>,
}

impl<V: StateValue + PartialEq + Clone> History<V> {
    fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let bytes = &mut bytes;
        let version = check_version::<V>(read_varint(bytes).ok_or("an entry of state is empty")?)?;
        let mut facts: Vec<Fact<V>> = Vec::new();
        let mut fact = |bytes: &mut &[u8]| {
            let at = match facts.last() {
                None => read_signed(bytes)?,
                Some(last) => last.at.wrapping_add_unsigned(read_varint(bytes)?),
            };
            let value = match read_varint(bytes)? {
                0 => None,
                _ => Some(V::read_version(version, bytes)?),
            };
            facts.push(Fact { at, value });
            Some(())
        };
        while !bytes.is_empty() {
            fact(bytes).ok_or_else(|| damaged(version))?;
        }
        Ok(Self { facts })
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_varint(u64::from(V::VERSION), out);
        let mut before = None;
        for Fact { at, value } in &self.facts {
            match before {
                None => write_signed(*at, out),
                Some(before) => write_varint(at.wrapping_sub(before).cast_unsigned(), out),
            }
            write_varint(u64::from(value.is_some()), out);
            if let Some(value) = value {
                value.write(out);
            }
            before = Some(*at);
        }
    }

    fn set(&mut self, at: i64, value: Option<V>) {
        let place = self.facts.partition_point(|fact| fact.at < at);
        match self.facts.get_mut(place).filter(|fact| fact.at == at) {
            Some(fact) => fact.value = value,
            None => self.facts.insert(place, Fact { at, value }),
        }
    }

    /// The versions: runs of equal values.
    fn spans(&self) -> Vec<Span<'_, V>> {
        let mut spans: Vec<Span<'_, V>> = Vec::new();
        for Fact { at, value } in &self.facts {
            let open = spans.last_mut().filter(|span| span.end.is_none());
            match (open, value) {
                (Some(open), Some(value)) if open.value == value => (),
                (open, value) => {
                    if let Some(open) = open {
                        open.end = Some(*at);
                    }
                    spans.extend(value.as_ref().map(|value| Span { start: *at, end: None, value }));
                }
            }
        }
        spans
    }

    /// Forgets what is final: of the facts before this time the last is enough, as old as its version is.
    fn forget(&mut self, until: i64) {
        let passed = self.facts.partition_point(|fact| fact.at < until);
        let Some(last) = passed.checked_sub(1) else { return };
        let same = self.facts[..last].iter().rev().take_while(|fact| fact.value == self.facts[last].value).count();
        self.facts[last].at = self.facts[last - same].at;
        self.facts.drain(..last);
    }

    /// When the entry says nothing any more: the row is deleted, and nothing up to then can come.
    fn expiry(&self) -> i64 {
        match self.facts.last() {
            Some(Fact { at, value: None }) => at.saturating_add(1),
            Some(Fact { value: Some(_), .. }) | None => i64::MAX,
        }
    }
}

/// Runs a plugin of versions over a batch. Called by [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description, or an entry can't be read.
pub fn process_scd2<'a, I, O, V, P, T, D, K, F, Check, Row_>(
    batch: &RawBatch<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    (times, dedup): (&T, &D),
    scd2: &Scd2<I::Of<'a>, K, F>,
    check: Check,
    version: Row_,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Table,
    V: StateValue + PartialEq + Clone,
    P: 'static,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
    K: StateKey,
    F: Fn(&I::Of<'a>) -> K,
    Check: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<Option<V>, Reject>,
    Row_: for<'v> Fn(K::Of<'v>, Version<'v, V>, &'v Ctx<P>) -> O::Of<'v>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let ops = operations::<I>(batch).map_err(|mismatch| mismatch.to_string())?;
    let (table, mut rejected) = (first_table::<I::Of<'a>, D>(), Vec::new());
    let mut checked = Vec::with_capacity(batch.rows());
    for row in 0..batch.rows() {
        if op(ops.as_ref(), row) == Op::Delete {
            checked.push((row, None));
            continue;
        }
        match check(I::get(&columns, row), ctx) {
            Ok(Some(value)) => checked.push((row, Some(value))),
            Ok(None) => (),
            Err(reject) => rejected.push(RejectedRow { row, reject }),
        }
    }
    let (with, ops) = ((times, dedup), ops.as_ref());
    let mut admitted = admit::<I, _, _, _, _>(with, (&columns, ops), checked, &mut rejected, ctx, host);
    admitted.retain(|row| {
        if row.at.is_none() {
            rejected.push(RejectedRow { row: row.row, reject: no_time() });
        }
        row.at.is_some()
    });

    let mut keys = Slots::new::<K>(admitted.len());
    let slots: Vec<_> = admitted.iter().map(|row| keys.of(&(scd2.by)(&I::get(&columns, row.row)))).collect();
    let found = if keys.is_empty() { Found::default() } else { host.get_many(table, keys.keys().cells()) };
    let read = |slot| found.get(slot).map_or_else(|| Ok(History { facts: Vec::new() }), History::<V>::read);
    let mut histories = (0..keys.len()).map(read).collect::<Result<Vec<_>, _>>()?;
    let (before, floor) = (histories.clone(), watermark(ctx).unwrap_or(i64::MIN));
    let mut last = vec![0; histories.len()];
    for (row, slot) in admitted.into_iter().zip(slots) {
        histories[slot].set(row.at.unwrap_or(floor).max(floor), row.made);
        last[slot] = row.row;
    }

    let mut rows = <Upsert<O> as Outputs>::writers(batch.rows());
    let (mut values, mut expiries) = (Variable::default(), Vec::new());
    for (slot, history) in histories.iter_mut().enumerate() {
        let key = keys.keys().get(slot);
        let made = |span: &Span<'_, V>, rows: &mut <Upsert<O> as Outputs>::Writers, delete| {
            let key = K::read(key).ok_or("a key of versions is not what its type writes")?;
            let Span { start, end, value } = *span;
            let (start, end) = (Timestamp::new(start), end.map(Timestamp::new));
            let row = version(key, Version { start, end, value }, ctx);
            rows.push(last[slot], if delete { Upsert::Delete(row) } else { Upsert::Put(row) });
            Ok::<_, &str>(())
        };
        let (old, new) = (before[slot].spans(), history.spans());
        for span in old.iter().filter(|old| !new.iter().any(|new| new.start == old.start)) {
            made(span, &mut rows, true)?;
        }
        for span in new.iter().filter(|new| !old.contains(new)) {
            made(span, &mut rows, false)?;
        }
        history.forget(floor);
        values.push_with(|bytes| history.write(bytes));
        expiries.push(history.expiry());
    }
    if !keys.is_empty() {
        host.put_many(table, keys.keys().cells(), values.cells(), &expiries);
    }
    <Upsert<O> as Outputs>::emit(&rows, &mut 0, host)?;
    rejected.sort_by_key(|rejected| rejected.row);
    Ok(rejected)
}

#[cold]
fn no_time() -> Reject {
    Reject::new("no_event_time", "a version begins at an event time, and the change has none")
}
