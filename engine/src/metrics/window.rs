//! What went wrong lately: counts over a window that moves.

use std::time::{Duration, Instant};

/// How far back a window reaches: long enough that one bad message of a slow topic is not half of it for good, short
/// enough that somebody who has mended a plugin sees it.
pub const WINDOW: Duration = Duration::from_secs(300);
/// The window moves by steps of this length.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 30;

/// Messages, and those of them that were set aside, over the last [`WINDOW`].
#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    /// The step that was written last, counted from `began`.
    step: u64,
    counts: [Counts; STEPS],
}

/// A window's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Those that were set aside.
    pub dead: u64,
}

impl Counts {
    /// The part of the messages that was set aside, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.messages == 0 { 0.0 } else { self.dead as f64 / self.messages as f64 }
    }

    /// Messages set aside in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.dead as f64 / WINDOW.as_secs_f64()
    }
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, step: 0, counts: [Counts::default(); STEPS] }
    }

    pub(super) fn add(&mut self, now: Instant, messages: usize, dead: usize) {
        self.move_to(now);
        let counts = &mut self.counts[slot(self.step)];
        counts.messages += messages as u64;
        counts.dead += dead as u64;
    }

    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.move_to(now);
        let sum = |of: fn(&Counts) -> u64| self.counts.iter().map(of).sum();
        Counts { messages: sum(|counts| counts.messages), dead: sum(|counts| counts.dead) }
    }

    /// Forgets what is behind the window.
    fn move_to(&mut self, now: Instant) {
        let step = now.saturating_duration_since(self.began).as_secs() / STEP.as_secs();
        for passed in (self.step + 1..=step).rev().take(STEPS) {
            self.counts[slot(passed)] = Counts::default();
        }
        self.step = self.step.max(step);
    }
}

fn slot(step: u64) -> usize {
    usize::try_from(step % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_step_by_step() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut window = Window::new(began);
        window.add(at(0), 100, 1);
        window.add(at(9), 100, 1);
        window.add(at(150), 100, 98);
        assert_eq!(window.counts(at(150)), Counts { messages: 300, dead: 100 });
        assert_eq!(window.counts(at(299)), Counts { messages: 300, dead: 100 });
        assert_eq!(window.counts(at(300)), Counts { messages: 100, dead: 98 });
        assert!((window.counts(at(300)).share() - 0.98).abs() < 1e-9);
        assert_eq!(window.counts(at(450)), Counts::default());
        window.add(at(10_000), 1, 0);
        assert_eq!(window.counts(at(10_000)), Counts { messages: 1, dead: 0 });
    }
}
