//! Newcomers that begin in the shadow: how they get there, and how they leave it.

use std::sync::Arc;

use super::deployer::Deployer;
use super::deployments::Holds;
use super::history::{Entry, What};
use super::noting::entry_of;
use super::orders::OrderError;
use super::shadow::{Shadow, ShadowVerdict};
use super::version::Version;
use super::versions::Versions;
use crate::config::{Mode, Rollout};
use crate::offsets::PluginKey;

/// Puts a newcomer where its rules say: on trial, or in the shadow of the version that runs.
pub(super) fn watch_over(versions: &Versions, newcomer: Arc<Version>, rules: Rollout) {
    match rules.mode {
        Mode::Replace | Mode::Canary => {
            versions.set_shadow(None);
            versions.try_out(newcomer, rules);
        }
        Mode::Shadow => match Shadow::new(newcomer, rules) {
            Ok(shadow) => versions.set_shadow(Some(shadow)),
            Err(error) => {
                tracing::error!(tenant = versions.tenant(), plugin = versions.name(), %error, "there is no thread for a shadow")
            }
        },
    }
}

impl Deployer {
    /// Lets a shadow take over that has made the same for long enough, where its rules say so; notes one that can't go on.
    pub(super) fn look_at_shadow(&mut self, key: &PluginKey, versions: &Versions) {
        let Some(shadow) = versions.shadow() else { return };
        self.metrics.versions().shadowed(key, Some(&shadow.view()));
        match shadow.verdict() {
            ShadowVerdict::Watching => {}
            ShadowVerdict::Equal => {
                let done = self.promote_shadow(key, versions, "in the shadow it made the same rows");
                tracing::info!(tenant = key.tenant, plugin = key.name, "{}", done.unwrap_or_default());
            }
            ShadowVerdict::Ended(reason) => self.leave_shadow(key, versions, &reason),
        }
    }

    /// Puts the version in the shadow on trial, on all lanes. None: there is none.
    pub(super) fn promote_shadow(&mut self, key: &PluginKey, versions: &Versions, reason: &str) -> Option<String> {
        let shadow = versions.shadow()?;
        let (version, before) = (shadow.version.clone(), Some(versions.current().id().clone()));
        self.note(key, Entry { reason: reason.to_owned(), before, ..entry_of(&version, What::Trial) });
        let rules = Rollout { mode: Mode::Replace, ..version.file.rollout.clone() };
        watch_over(versions, version.clone(), rules);
        self.metrics.versions().shadowed(key, None);
        self.holds(key, Holds::Running);
        Some(format!("version {} of plugin {key} is on trial on all lanes", version.id()))
    }

    /// Ends the shadow by an operator's word. It is not tried again until its files change.
    pub(super) fn end_shadow(&mut self, key: &PluginKey, versions: &Versions) -> Result<String, OrderError> {
        let shadow = versions.shadow();
        let shadow =
            shadow.ok_or_else(|| OrderError::Refused(format!("no version of plugin {key} is in the shadow")))?;
        self.leave_shadow(key, versions, "by an operator");
        Ok(format!("version {} of plugin {key} is no longer in the shadow", shadow.version.id()))
    }

    fn leave_shadow(&mut self, key: &PluginKey, versions: &Versions, reason: &str) {
        let Some(shadow) = versions.shadow() else { return };
        let version = shadow.version.clone();
        let reason = format!("in the shadow: {reason}");
        let before = Some(versions.current().id().clone());
        self.note(key, Entry { reason: reason.clone(), before, ..entry_of(&version, What::Withdrawn) });
        versions.set_shadow(None);
        self.metrics.versions().shadowed(key, None);
        self.metrics.versions().withdrawn(key);
        self.holds(key, Holds::Withdrawn { version: version.id().clone(), reason });
    }
}
