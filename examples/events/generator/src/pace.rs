//! A steady rate.

use std::thread;
use std::time::{Duration, Instant};

/// As long as one pause: short beside a second, long beside what a pause costs.
const PAUSE: Duration = Duration::from_millis(2);

/// Lets so many events go in a second, spread evenly. What could not be kept up with is made up for.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    per_second: u64,
    gone: u64,
}

impl Pace {
    /// 0: without limit.
    pub(crate) fn new(per_second: u64) -> Self {
        Self { began: Instant::now(), per_second, gone: 0 }
    }

    /// Waits until the next event may go.
    pub(crate) fn wait(&mut self) {
        while self.per_second > 0 && self.gone >= self.due() {
            thread::sleep(PAUSE);
        }
        self.gone += 1;
    }

    fn due(&self) -> u64 {
        let due = self.began.elapsed().as_micros() * u128::from(self.per_second) / 1_000_000;
        u64::try_from(due).unwrap_or(u64::MAX)
    }
}
