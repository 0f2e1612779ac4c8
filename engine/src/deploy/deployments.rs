//! What the deployer knows of each plugin, for those who look at the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepare::Refusal;
use super::version::VersionId;

/// All plugins that have a folder. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Deployments(Arc<Mutex<BTreeMap<(String, String), Deployment>>>);

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
    pub fn all(&self) -> Vec<((String, String), Deployment)> {
        self.lock().iter().map(|(name, deployment)| (name.clone(), deployment.clone())).collect()
    }

    /// The plugin of a tenant with this name.
    #[must_use]
    pub fn get(&self, tenant: &str, name: &str) -> Option<Deployment> {
        self.lock().get(&(tenant.to_owned(), name.to_owned())).cloned()
    }

    /// What wants an operator's eyes although lanes go on.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let warning = |((_, name), deployment): (&(String, String), &Deployment)| match &deployment.holds {
            Holds::Preparing | Holds::Running | Holds::Waiting(_) => None,
            Holds::Refused(refusal) => Some(format!("plugin {name} is not taken from its folder: {refusal}")),
            Holds::Withdrawn { version, reason } => {
                Some(format!("version {version} of plugin {name}, which its folder holds, was withdrawn: {reason}"))
            }
        };
        self.lock().iter().filter_map(warning).collect()
    }

    pub(super) fn set(&self, tenant: &str, name: &str, deployment: Deployment) {
        self.lock().insert((tenant.to_owned(), name.to_owned()), deployment);
    }

    pub(super) fn remove(&self, tenant: &str, name: &str) {
        self.lock().remove(&(tenant.to_owned(), name.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Deployment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
