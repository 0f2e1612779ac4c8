//! Epochs without messages: what is due by the watermark, where nothing comes that would bring it along.
//!
//! When such an epoch is made depends on time; what it does depends on its intent alone, where the watermark is that it saw.

use std::time::Duration;

use tokio::time::Instant;

use super::Ahead;
use crate::offsets::OffsetRange;
use crate::plugin::EventTime;
use crate::source::Reader;

/// How long nothing has come.
pub(super) struct Quiet {
    event_time: Option<EventTime>,
    linger: Duration,
    /// When the last epoch was decided.
    decided: Instant,
    /// Since when the reader has been at the partition's end, while something may be due.
    at_end: Option<Instant>,
}

/// Whether something is due by the lane's watermark.
pub(super) fn is_due(ahead: &Ahead) -> bool {
    let at = &ahead.position;
    at.next_offset.is_some() && ahead.state.next_expiry().is_some_and(|expiry| Some(expiry) <= at.watermark_ms)
}

impl Quiet {
    pub(super) fn new(event_time: Option<EventTime>, linger: Duration) -> Self {
        Self { event_time, linger, decided: Instant::now(), at_end: None }
    }

    /// Another version of the plugin goes on.
    pub(super) fn by(&mut self, event_time: Option<EventTime>) {
        self.event_time = event_time;
    }

    pub(super) fn decided(&mut self) {
        self.decided = Instant::now();
    }

    /// The range of an epoch of timers, if it is time for one and there is room for it: something is due and no batch has
    /// brought it along for as long as one may take. A partition that has been at its end for the plugin's `idle-ms` has its
    /// watermark raised by the clock, and by such an epoch alone: messages that have come meanwhile would be late for nothing.
    pub(super) fn timers(
        &mut self,
        reader: &dyn Reader,
        ahead: &mut Ahead,
        now_ms: i64,
        room: bool,
    ) -> Option<OffsetRange> {
        let (Some(next), Some(expiry)) = (ahead.position.next_offset, ahead.state.next_expiry()) else {
            self.at_end = None;
            return None;
        };
        let at_end = reader.trouble().is_none() && reader.lag().is_some_and(|lag| lag.position >= lag.end);
        self.at_end = at_end.then(|| self.at_end.unwrap_or_else(Instant::now));
        if !room || self.decided.elapsed() < self.linger {
            return None;
        }
        let by_clock = self.watermark_by_clock(now_ms).filter(|by_clock| expiry <= *by_clock);
        ahead.position.watermark_ms = ahead.position.watermark_ms.max(by_clock);
        is_due(ahead).then_some(OffsetRange { start: next, end: next })
    }

    fn watermark_by_clock(&self, now_ms: i64) -> Option<i64> {
        let EventTime { delay_ms, idle_ms } = self.event_time?;
        let idle = self.at_end?.elapsed() >= Duration::from_millis(idle_ms?);
        idle.then(|| now_ms.saturating_sub_unsigned(delay_ms))
    }
}
