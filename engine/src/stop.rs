//! The word to stop, said once to everybody.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// One who says it and one who hears it; more can be cloned.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (say, hear) = watch::channel(false);
    (Stopper(say), Stop(hear))
}

impl Stopper {
    /// Tells all who hear, now and later.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits until it is said; for ever if the one who could say it is gone.
    pub async fn told(&mut self) {
        if self.0.wait_for(|told| *told).await.is_err() {
            std::future::pending().await
        }
    }
}
