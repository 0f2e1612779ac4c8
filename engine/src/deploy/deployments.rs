//! What the deployer knows of each plugin, for those who look at the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepare::{Cause, Refusal};
use super::version::VersionId;
use crate::offsets::PluginKey;

/// All plugins that have a folder. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Deployments(Arc<Mutex<BTreeMap<PluginKey, Deployment>>>);

/// A plugin: what its folder holds, beside what runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// What has become of the version in its folder.
    pub holds: Holds,
    /// The version that an operator has pinned.
    pub pinned: Option<VersionId>,
}

/// What has become of the version in a plugin's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// It is compiled and compared.
    #[default]
    Preparing,
    /// It runs, or is on trial.
    Running,
    /// It waits until the plugin is no longer pinned.
    Waiting(VersionId),
    /// It is not let in; what ran before goes on.
    Refused(Refusal),
    /// It was taken back, and is not tried again.
    Withdrawn {
        /// Which.
        version: VersionId,
        /// Why.
        reason: String,
    },
}

impl Deployments {
    /// All of them, by tenant and name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<PluginKey, Deployment> {
        self.lock().clone()
    }

    /// The plugin of a tenant with this name.
    #[must_use]
    pub fn get(&self, key: &PluginKey) -> Option<Deployment> {
        self.lock().get(key).cloned()
    }

    /// What wants an operator's eyes although lanes go on.
    #[must_use]
    pub fn warnings(&self) -> Vec<(PluginKey, String)> {
        let warning = |(key, deployment): (&PluginKey, &Deployment)| {
            let words = match &deployment.holds {
                Holds::Preparing | Holds::Running | Holds::Waiting(_) => return None,
                // It is said once for the tenant.
                Holds::Refused(refusal) if refusal.cause == Cause::Tenant => return None,
                Holds::Refused(refusal) => format!("plugin {key} is not taken from its folder: {refusal}"),
                Holds::Withdrawn { version, reason } => {
                    format!("version {version} of plugin {key}, which its folder holds, was withdrawn: {reason}")
                }
            };
            Some((key.clone(), words))
        };
        self.lock().iter().filter_map(warning).collect()
    }

    pub(super) fn set(&self, key: &PluginKey, deployment: Deployment) {
        self.lock().insert(key.clone(), deployment);
    }

    pub(super) fn remove(&self, key: &PluginKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PluginKey, Deployment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
