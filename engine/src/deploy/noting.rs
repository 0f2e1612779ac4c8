//! What the deployer writes down, shows and says of versions.

use std::sync::Arc;

use super::deployer::{Deployer, Known};
use super::deployments::{Deployment, Holds};
use super::history::{Entry, Standing, What};
use super::prepare::Refusal;
use super::version::{Version, VersionId};
use super::versions::{News, Versions};
use crate::metrics::RunningVersion;
use crate::offsets::PluginKey;

impl Deployer {
    /// Makes a newcomer the current version.
    pub(super) fn promote(&mut self, key: &PluginKey, versions: &Versions, newcomer: &Arc<Version>, reason: &str) {
        let before = Some(versions.current().id().clone());
        versions.replace(newcomer.clone());
        self.note(key, Entry { reason: reason.to_owned(), before, ..entry_of(newcomer, What::Promoted) });
    }

    /// Says why a version is not let in, once; what runs goes on.
    pub(super) fn refused(&mut self, key: &PluginKey, refusal: Refusal) {
        let said = self.known.get(key).is_some_and(|known| known.holds == Holds::Refused(refusal.clone()));
        if !said {
            self.say_refused(key, &refusal);
            if let Some(version) = &refusal.version {
                self.note(key, Entry { reason: refusal.to_string(), ..entry(version.clone(), What::Refused) });
            }
        }
        self.holds(key, Holds::Refused(refusal));
    }

    pub(super) fn say_refused(&self, key: &PluginKey, refusal: &Refusal) {
        let goes_on = self.plugins.get(key).map(|versions| versions.current().id().to_string());
        self.metrics.versions().refused(key, refusal.cause.as_str());
        tracing::error!(
            tenant = key.tenant,
            plugin = key.name,
            cause = refusal.cause.as_str(),
            goes_on,
            "not taken from its folder: {refusal}"
        );
    }

    /// What lanes have to tell.
    pub(super) fn hear(&mut self) {
        for versions in self.plugins.all() {
            let key = versions.key().clone();
            for news in versions.take_news() {
                match news {
                    News::Withdrawn { version, reason, at } => {
                        let place = at.map(|(lane, offset)| format!(" ({lane}, offset {offset})")).unwrap_or_default();
                        let reason = format!("{reason}{place}");
                        self.metrics.versions().withdrawn(&key);
                        let before = Some(versions.current().id().clone());
                        self.note(
                            &key,
                            Entry { reason: reason.clone(), before, ..entry(version.clone(), What::Withdrawn) },
                        );
                        self.holds(&key, Holds::Withdrawn { version, reason });
                    }
                    News::Passed { version } => {
                        self.note(
                            &key,
                            Entry {
                                plugin_version: versions.current().says().to_owned(),
                                ..entry(version, What::Passed)
                            },
                        );
                        self.show(&key);
                    }
                    News::Moved { lane, version, offset } => {
                        tracing::debug!(%lane, %version, offset, "first epoch of a version");
                    }
                }
            }
            self.look_at_shadow(&key, &versions);
        }
    }

    /// Notes what happened to a version. Without the note, a restart decides by what was noted before: that is no reason to
    /// stop what runs.
    pub(super) fn note(&mut self, key: &PluginKey, mut entry: Entry) {
        let again = |known: &Known| known.standing.last.as_ref() == Some(&(entry.what, entry.version.clone()));
        if entry.what == What::Refused && self.known.get(key).is_some_and(again) {
            return; // at another start
        }
        entry.at_ms = self.around.clock.now_ms();
        if let Err(error) = self.history.note(key, &entry) {
            tracing::error!(tenant = key.tenant, plugin = key.name, %error, "the history can't be written");
        }
        if let Some(known) = self.known.get_mut(key) {
            known.standing.follow(&entry);
        }
    }

    pub(super) fn holds(&mut self, key: &PluginKey, holds: Holds) {
        let known = self.known.entry(key.clone()).or_default();
        known.holds = holds.clone();
        let pinned = known.standing.pinned.clone();
        self.deployments.set(key, Deployment { holds, pinned });
        self.show(key);
    }

    /// Shows which versions run.
    pub(super) fn show(&self, key: &PluginKey) {
        let Some(versions) = self.plugins.get(key) else { return };
        let running = |version: &Version, role| RunningVersion {
            version: version.says().to_owned(),
            digest: version.id().plugin_digest.clone(),
            settings: version.id().settings_digest.clone(),
            role,
        };
        let newcomer = versions.newcomer().map(|newcomer| running(&newcomer, "trial"));
        let all = [running(&versions.current(), "current")].into_iter().chain(newcomer).collect();
        self.metrics.versions().running(key, all);
    }

    pub(super) fn standing(&self, key: &PluginKey) -> Standing {
        match self.history.of(key) {
            Ok(entries) => Standing::of(&entries),
            Err(error) => {
                tracing::error!(tenant = key.tenant, plugin = key.name, %error, "the history can't be read: the folder alone decides");
                Standing::default()
            }
        }
    }
}

/// A note; the time is set when it is written.
pub(super) fn entry(version: VersionId, what: What) -> Entry {
    Entry { at_ms: 0, version, plugin_version: String::new(), what, reason: String::new(), before: None }
}

pub(super) fn entry_of(version: &Version, what: What) -> Entry {
    Entry { plugin_version: version.says().to_owned(), ..entry(version.id().clone(), what) }
}
