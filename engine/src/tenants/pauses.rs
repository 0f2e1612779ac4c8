//! Who is paused, in the data folder: one small file of JSON, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The file, in the data folder.
const FILE: &str = "paused.json";

/// Tenants that are paused, and since when (ms since 1970-01-01 UTC).
#[derive(Debug, Default)]
pub(super) struct Pauses {
    paused: Mutex<BTreeMap<String, i64>>,
    /// None: they are not kept.
    data: Option<PathBuf>,
    /// Not a watch channel: that one wakes those who wait in random order, and a simulated run could not be repeated.
    changed: Notify,
}

impl Pauses {
    /// Those that a data folder keeps.
    ///
    /// # Errors
    /// There is a file of them, and it can't be read.
    pub(super) fn of_data(data: &Path) -> io::Result<Self> {
        let paused = match fs::read(data.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { paused: Mutex::new(paused), data: Some(data.to_owned()), changed: Notify::new() })
    }

    pub(super) fn pause(&self, name: &str, now_ms: i64) -> io::Result<bool> {
        self.change(|paused| {
            let new = !paused.contains_key(name);
            paused.entry(name.to_owned()).or_insert(now_ms);
            new
        })
    }

    pub(super) fn resume(&self, name: &str) -> io::Result<bool> {
        self.change(|paused| paused.remove(name).is_some())
    }

    pub(super) fn since(&self, name: &str) -> Option<i64> {
        self.lock().get(name).copied()
    }

    /// Waits until a tenant is paused, or is not.
    pub(super) async fn until(&self, name: &str, paused: bool) {
        loop {
            let heard = self.changed.notified(); // before the look, so that nothing is missed between the two
            if self.since(name).is_some() == paused {
                return;
            }
            heard.await;
        }
    }

    /// Makes a change, which counts once it is written down.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, i64>) -> bool) -> io::Result<bool> {
        let mut paused = self.lock();
        let mut next = paused.clone();
        if !change(&mut next) {
            return Ok(false);
        }
        if let Some(data) = &self.data {
            write(data, &next)?;
        }
        *paused = next;
        drop(paused);
        self.changed.notify_waiters();
        Ok(true)
    }

    /// The map is replaced in one step, so it is whole even if a panic interrupted somebody.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Durable when it returns, and never half written.
fn write(data: &Path, paused: &BTreeMap<String, i64>) -> io::Result<()> {
    let (file, new) = (data.join(FILE), data.join(format!("{FILE}.new")));
    let mut written = File::create(&new)?;
    written.write_all(&serde_json::to_vec(paused).map_err(io::Error::from)?)?;
    written.sync_all()?;
    fs::rename(&new, &file)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_pause_outlives_the_process_and_a_resume_as_well() {
        let data = tempfile::tempdir().unwrap();
        let pauses = Pauses::of_data(data.path()).unwrap();
        assert!(pauses.pause("acme", 7).unwrap());
        assert!(!pauses.pause("acme", 8).unwrap());
        assert!(pauses.pause("other", 9).unwrap());
        let again = Pauses::of_data(data.path()).unwrap();
        assert_eq!((again.since("acme"), again.since("other"), again.since("nobody")), (Some(7), Some(9), None));
        assert!(again.resume("acme").unwrap());
        assert!(!again.resume("acme").unwrap());
        assert_eq!(Pauses::of_data(data.path()).unwrap().since("acme"), None);
    }

    #[test]
    fn what_can_not_be_written_down_does_not_happen() {
        let data = tempfile::tempdir().unwrap();
        let pauses = Pauses::of_data(&data.path().join("gone")).unwrap();
        assert!(pauses.pause("acme", 7).is_err());
        assert_eq!(pauses.since("acme"), None);
        fs::write(data.path().join(FILE), "{").unwrap();
        assert!(Pauses::of_data(data.path()).is_err());
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_change() {
        let pauses = Arc::new(Pauses::default());
        pauses.until("acme", false).await;
        let waits = pauses.clone();
        let heard = tokio::spawn(async move { waits.until("acme", true).await });
        tokio::task::yield_now().await;
        assert!(!heard.is_finished());
        pauses.pause("other", 1).unwrap();
        tokio::task::yield_now().await;
        assert!(!heard.is_finished());
        pauses.pause("acme", 1).unwrap();
        heard.await.unwrap();
    }
}
