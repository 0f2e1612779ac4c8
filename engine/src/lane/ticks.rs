//! When a waiting lane looks up: to say how far it is, to ask how much it may collect, to see what is due by the clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;

/// Behind messages a lane looks up after the first, then ever more rarely: thousands of lanes at rest, or that gather rows, would
/// else keep a core busy with nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));
/// The longest for a lane whose plugin has timers: they are that late at most.
const WITH_TIMERS: Duration = Duration::from_secs(1);
/// Lanes that look up seldom do so together, at multiples of this by the clock: a thread that is woken for one of them costs more
/// than the look.
const TOGETHER: Duration = Duration::from_millis(250);

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
    pub(super) async fn tick(&mut self, has_timers: bool, clock: &dyn Clock) {
        sleep_until(self.next).await;
        let pause = self.pause.min(if has_timers { WITH_TIMERS } else { PAUSES.1 });
        self.next = Instant::now() + together(pause, clock.now_ms());
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// Messages or timers have come: more may.
    pub(super) fn often(&mut self) {
        self.pause = PAUSES.0;
        self.next = self.next.min(Instant::now() + self.pause);
    }
}

/// A long pause, cut so that it ends when those of others do.
fn together(pause: Duration, now_ms: i64) -> Duration {
    if pause <= TOGETHER {
        return pause;
    }
    let end = Duration::from_millis(now_ms.unsigned_abs()) + pause;
    let over = end.as_millis() % TOGETHER.as_millis();
    pause.saturating_sub(Duration::from_millis(u64::try_from(over).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_pauses_of_all_lanes_end_together_and_not_late() {
        let ms = Duration::from_millis;
        for past in 0..250 {
            let now_ms = 10_000 + i64::try_from(past).expect("it is small");
            assert_eq!(together(ms(4_000), now_ms), ms(4_000 - past));
            assert_eq!(together(ms(200), now_ms), ms(200));
        }
    }
}
