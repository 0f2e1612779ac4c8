//! The plugins that an engine runs, which come and go while it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::versions::{Bells, Versions};
use crate::offsets::PluginKey;

/// How long a trial can be over before somebody who waits for news hears of it.
const TRIALS_END: Duration = Duration::from_secs(1);

/// All plugins of an engine. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    plugins: Arc<Mutex<ByName>>,
    bells: Arc<Bells>,
}

type ByName = BTreeMap<PluginKey, Arc<Versions>>;

impl Plugins {
    /// Adds a plugin, in place of the one of its tenant and name.
    pub fn insert(&self, versions: Arc<Versions>) {
        versions.belongs_to(&self.bells);
        self.lock().insert(versions.key().clone(), versions);
        self.bells.changed.notify_one();
    }

    /// Takes a plugin away: its lanes end what is open, and end.
    pub fn remove(&self, key: &PluginKey) {
        self.lock().remove(key);
        self.bells.changed.notify_one();
    }

    /// The plugin of this name.
    #[must_use]
    pub fn get(&self, key: &PluginKey) -> Option<Arc<Versions>> {
        self.lock().get(key).cloned()
    }

    /// All of them, in order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Versions>> {
        self.lock().values().cloned().collect()
    }

    /// Waits until plugins came or went, or run another version, since this was last waited for. For one who waits: the
    /// engine.
    pub async fn changed(&self) {
        self.bells.changed.notified().await;
    }

    /// Waits until there may be news of any of them: [`Versions::take_news`]. For one who waits: who publishes versions.
    pub async fn news(&self) {
        tokio::select! {
            biased;
            () = self.bells.news.notified() => {}
            () = sleep(TRIALS_END) => {}
        }
    }

    /// The map is changed in one step, so it is whole even if a panic interrupted somebody.
    fn lock(&self) -> MutexGuard<'_, ByName> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<Arc<Versions>> for Plugins {
    fn from_iter<T: IntoIterator<Item = Arc<Versions>>>(all: T) -> Self {
        let plugins = Self::default();
        all.into_iter().for_each(|versions| plugins.insert(versions));
        plugins
    }
}
