//! When a waiting lane looks up: to say how far it is, to ask how much it may collect, to see what is due by the clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Behind an epoch a lane looks up after the first, then ever more rarely: hundreds of lanes at rest would else keep a core
/// busy with nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

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
    pub(super) async fn tick(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// An epoch was made.
    pub(super) fn often(&mut self) {
        self.pause = PAUSES.0;
        self.next = self.next.min(Instant::now() + self.pause);
    }
}
