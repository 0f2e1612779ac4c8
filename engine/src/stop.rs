//! The word to stop, said once to everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Says it.
#[derive(Debug)]
pub struct Stopper(Arc<Word>);

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Word>);

/// Not a watch channel: that one wakes those who wait in random order, and a simulated run could not be repeated.
#[derive(Debug, Default)]
struct Word {
    said: AtomicBool,
    hear: Notify,
}

/// One who says it and one who hears it; more can be cloned.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let word = Arc::<Word>::default();
    (Stopper(word.clone()), Stop(word))
}

impl Stopper {
    /// Tells all who hear, now and later.
    pub fn tell(&self) {
        self.0.said.store(true, Ordering::Release);
        self.0.hear.notify_waiters();
    }
}

impl Stop {
    /// Whether it was said.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.said.load(Ordering::Acquire)
    }

    /// Waits until it is said; for ever if the one who could say it is gone.
    pub async fn told(&mut self) {
        let hear = self.0.hear.notified(); // before the look, so that nothing is missed between the two
        if !self.is_told() {
            hear.await;
        }
    }
}
