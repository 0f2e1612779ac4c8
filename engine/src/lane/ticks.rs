//! When a waiting lane looks up: to say how far it is, to ask how much it may collect, to see what is due by the clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Behind messages a lane looks up after the first, then ever more rarely: thousands of lanes at rest, or that gather rows, would
/// else keep a core busy with nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));
/// The longest for a lane whose plugin has timers: they are that late at most.
const WITH_TIMERS: Duration = Duration::from_secs(1);

pub(super) struct Ticks {
    next: Instant,
    pause: Duration,
}

impl Ticks {
    /// The first is now.
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), pause: PAUSES.0 }
    }

    /// Waits for the next. Cancel safe.
    pub(super) async fn tick(&mut self, has_timers: bool) {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.pause.min(if has_timers { WITH_TIMERS } else { PAUSES.1 });
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// Messages or timers have come: more may.
    pub(super) fn often(&mut self) {
        self.pause = PAUSES.0;
        self.next = self.next.min(Instant::now() + self.pause);
    }
}
