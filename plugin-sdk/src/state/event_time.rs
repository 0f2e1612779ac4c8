//! Event time: when a row happened, by its own account, and what becomes of rows that come too late.

use std::marker::PhantomData;
use std::time::Duration;

use super::key::timestamp_ms;
use crate::Timestamp;
use crate::description::EventTimeDescription;
use crate::time::{Unit, Utc};

/// What becomes of a row whose event time the watermark has passed. Deletes are never late: a row that was to go would stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// It is treated as if it were in time.
    #[default]
    Process,
    /// It is left out, and counted: `engine_plugin_count_total{name="late_rows"}`.
    Drop,
    /// It goes to the dead letters, code `late`.
    Reject,
}

/// Which column is the event time, and how far out of order events may come.
///
/// ```
/// # use plugin_sdk::{Change, Ctx, Millis, Reject, Row, Table, Timestamp};
/// # #[derive(Clone, Copy, Row)] pub struct ClickIn { id: i64, at: Timestamp<Millis> }
/// # #[derive(Table)] #[table(name = "clicks", kind = "append")] pub struct Click { id: i64 }
/// # fn clean(click: ClickIn, _: &Ctx) -> Result<Click, Reject> { Ok(Click { id: click.id }) }
/// use plugin_sdk::{Late, minutes};
///
/// plugin_sdk::export! {
///     plugin: Clicks,
///     input: ClickIn,
///     output: Click,
///     event_time: of(|click| click.at).delay(minutes(5)).late(Late::Reject),
///     row: clean,
/// }
/// # fn main() {}
/// ```
///
/// The watermark of an epoch is the greatest event time of the epochs before it, less the delay; without one, nothing is
/// late. Rows that are rejected or left out do not move it. `plugin.toml` may set both times otherwise (`[event_time]`,
/// `delay_ms`, `idle_ms`).
#[derive(Clone, Copy, Debug)]
pub struct EventTime<R, T, F> {
    of: F,
    delay: Duration,
    idle: Option<Duration>,
    late: Late,
    row: PhantomData<fn(&R) -> T>,
}

impl<R, T: InstantMs, F: Fn(&R) -> T> EventTime<R, T, F> {
    /// The event time of a row: a [`Timestamp`], or an `Option` of one.
    pub fn of(of: F) -> Self {
        Self { of, delay: Duration::ZERO, idle: None, late: Late::default(), row: PhantomData }
    }

    /// How far out of order rows may come without being late. Zero, if nothing is said.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// When a partition has had no new message for so long, the watermark follows the engine's clock, less the delay: the
    /// last sessions of a topic that went quiet end as well. If nothing is said, rows alone move the watermark.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: Some(idle), ..self }
    }

    /// What becomes of late rows. They are processed, if nothing is said.
    #[must_use]
    pub fn late(self, late: Late) -> Self {
        Self { late, ..self }
    }
}

/// How the event time of rows is known: an [`EventTime`], or `()` where there is none.
pub trait Times<R> {
    /// False: there is none.
    const KNOWN: bool;
    /// The event time of a row, ms.
    fn ms(&self, row: &R) -> Option<i64>;
    /// What becomes of late rows.
    fn late(&self) -> Late;
    /// What the host is told.
    fn description(&self) -> Option<EventTimeDescription>;
}

impl<R> Times<R> for () {
    const KNOWN: bool = false;
    fn ms(&self, _row: &R) -> Option<i64> {
        None
    }
    fn late(&self) -> Late {
        Late::Process
    }
    fn description(&self) -> Option<EventTimeDescription> {
        None
    }
}

impl<R, T: InstantMs, F: Fn(&R) -> T> Times<R> for EventTime<R, T, F> {
    const KNOWN: bool = true;
    #[inline(always)]
    fn ms(&self, row: &R) -> Option<i64> {
        (self.of)(row).ms()
    }
    fn late(&self) -> Late {
        self.late
    }
    fn description(&self) -> Option<EventTimeDescription> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(EventTimeDescription { delay_ms: ms(self.delay), idle_ms: self.idle.map(ms) })
    }
}

/// A type that says when: a [`Timestamp`] of any unit, in UTC, or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event time",
    note = "an event time is a Timestamp in UTC, of any unit, or an Option of one"
)]
pub trait InstantMs {
    /// Milliseconds since 1970-01-01 UTC, rounded down.
    fn ms(self) -> Option<i64>;
}

impl<U: Unit> InstantMs for Timestamp<U, Utc> {
    #[inline(always)]
    fn ms(self) -> Option<i64> {
        Some(timestamp_ms(self))
    }
}

impl<T: InstantMs> InstantMs for Option<T> {
    #[inline(always)]
    fn ms(self) -> Option<i64> {
        self?.ms()
    }
}

/// So many milliseconds.
#[must_use]
pub const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// So many seconds.
#[must_use]
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many minutes.
#[must_use]
pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// So many hours.
#[must_use]
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

/// So many days of 24 hours.
#[must_use]
pub const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// A duration that is added to times: as long as a time can be, where it is longer.
pub(super) fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
