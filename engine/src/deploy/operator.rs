//! Carrying out what operators order.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::compare::{Compatibility, compare};
use super::deployer::Deployer;
use super::deployments::Holds;
use super::first::former;
use super::history::{Entry, What};
use super::noting::entry_of;
use super::orders::{Command, Order, OrderError};
use super::prepare::fit;
use super::preparing::{Outcome, reference};
use super::version::{Version, VersionId};
use super::versions::Versions;
use super::watch::Watch;
use crate::offsets::PluginKey;

type Answer = oneshot::Sender<Result<String, OrderError>>;

/// A version that an operator wants to run, ready to.
pub(super) struct Ordered {
    what: What,
    version: Result<Arc<Version>, OrderError>,
    answer: Answer,
}

impl Deployer {
    /// Carries out an order, or begins to.
    pub(super) fn obey(&mut self, order: Order, watch: Option<&Watch>) {
        let Order { plugin, command, answer } = order;
        let Some(versions) = self.plugins.get(&plugin) else {
            answer.send(Err(OrderError::UnknownPlugin { plugin })).ok(); // who asked may be gone
            return;
        };
        let done = match command {
            Command::Rollback { to: None } if versions.shadow().is_some() => self.end_shadow(&plugin, &versions),
            Command::Rollback { to } => return self.go_to(&plugin, &versions, What::RolledBack, to, answer),
            Command::Pin { to: to @ Some(_) } => return self.go_to(&plugin, &versions, What::Pinned, to, answer),
            Command::Pin { to: None } => Ok(self.pin(&plugin, &versions)),
            Command::Unpin => self.unpin(&plugin),
            Command::Promote => match versions.newcomer() {
                Some(newcomer) => {
                    self.promote(&plugin, &versions, &newcomer, "by an operator");
                    self.holds(&plugin, Holds::Running);
                    Ok(format!("version {} of plugin {plugin} runs on all lanes", newcomer.id()))
                }
                None => self.promote_shadow(&plugin, &versions, "promoted by an operator").ok_or_else(|| {
                    OrderError::Refused(format!("no version of plugin {plugin} is on trial or in the shadow"))
                }),
            },
            Command::Rescan => {
                if let Some(watch) = watch {
                    watch.look();
                }
                Ok("the folder is looked at".to_owned())
            }
        };
        answer.send(done).ok(); // who asked may be gone
    }

    fn pin(&mut self, plugin: &PluginKey, versions: &Versions) -> String {
        let current = reference(versions);
        if versions.newcomer().is_some() {
            versions.replace(current.clone());
        }
        self.note(plugin, entry_of(&current, What::Pinned));
        self.consider(plugin);
        format!("plugin {plugin} stays at version {}, whatever its folder holds", current.id())
    }

    fn unpin(&mut self, plugin: &PluginKey) -> Result<String, OrderError> {
        let pinned = self.known.get(plugin).and_then(|known| known.standing.pinned.clone());
        let Some(pinned) = pinned else {
            return Err(OrderError::Refused(format!("plugin {plugin} is not pinned")));
        };
        self.note(plugin, super::noting::entry(pinned, What::Unpinned));
        self.consider(plugin);
        Ok(format!("the folder of plugin {plugin} decides again"))
    }

    /// Goes to a version that ran before: at once where it is at hand, else once it was prepared.
    fn go_to(&mut self, plugin: &PluginKey, versions: &Arc<Versions>, what: What, to: Option<String>, answer: Answer) {
        let running = versions.newcomer().unwrap_or_else(|| versions.current());
        let target = match self.target(plugin, versions, &running, to) {
            Ok(target) => target,
            Err(error) => {
                answer.send(Err(error)).ok(); // who asked may be gone
                return;
            }
        };
        let from = reference(versions);
        let kept = self.kept_now(plugin, &from);
        let (around, world, loader) = (self.around.clone(), self.world(), self.loader.clone());
        let current = versions.current();
        self.spawn(plugin, async move {
            let refused = |why: String| Err(OrderError::Refused(why));
            let version = if *current.id() == target {
                Ok(current.clone())
            } else {
                let (file, id) = (current.file.clone(), target.clone());
                match loader.run(&from.file.tenant.name, move || former(&around, &file, &id)).await {
                    Some(version) => Ok(Arc::new(version)),
                    None => refused(format!("version {target} can't be had any more, see the log")),
                }
            };
            let version = match version {
                Ok(version) => match compare(&version, &from, &kept) {
                    Compatibility::Refused { why, .. } => refused(why),
                    Compatibility::Same | Compatibility::Compatible { .. } | Compatibility::Migrates { .. } => {
                        let fits = fit(&world, &version, None).await;
                        fits.map(|_| version).map_err(|refusal| OrderError::Refused(refusal.to_string()))
                    }
                },
                Err(error) => Err(error),
            };
            Outcome::Ordered(Box::new(Ordered { what, version, answer }))
        });
    }

    /// Which version is meant.
    fn target(
        &self,
        plugin: &PluginKey,
        versions: &Versions,
        running: &Version,
        to: Option<String>,
    ) -> Result<VersionId, OrderError> {
        let Some(to) = to else {
            if versions.newcomer().is_some() {
                return Ok(versions.current().id().clone());
            }
            let before = self.known.get(plugin).and_then(|known| known.standing.before.clone());
            return before.ok_or_else(|| {
                OrderError::Refused(format!("no version of plugin {plugin} ran before {}", running.id()))
            });
        };
        let entries = self.history.of(plugin).unwrap_or_default();
        let means = |entry: &&Entry| {
            let VersionId { plugin_digest, settings_digest } = &entry.version;
            let name = format!("{plugin_digest}.{settings_digest}");
            entry.what != What::Refused
                && (name.starts_with(&to) || entry.version.to_string().starts_with(&to) || entry.plugin_version == to)
        };
        let mut found: Vec<_> = entries.iter().filter(means).map(|entry| entry.version.clone()).collect();
        found.sort_unstable();
        found.dedup();
        match <[VersionId; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(none) if none.is_empty() => Err(OrderError::Refused(format!(
                "no version {to} of plugin {plugin} has run: see engine plugin history {plugin}"
            ))),
            Err(several) => {
                let names: Vec<_> = several.iter().map(VersionId::to_string).collect();
                Err(OrderError::Refused(format!("{to} may be {}: say more of it", names.join(" or "))))
            }
        }
    }

    /// Publishes a version that was prepared by an order.
    pub(super) fn ordered(&mut self, plugin: &PluginKey, ordered: Ordered) {
        let Ordered { what, version, answer } = ordered;
        let done = match (version, self.plugins.get(plugin)) {
            (Ok(version), Some(versions)) => Ok(self.publish(plugin, &versions, &version, what)),
            (Err(error), _) => Err(error),
            (Ok(_), None) => Err(OrderError::UnknownPlugin { plugin: plugin.clone() }),
        };
        answer.send(done).ok(); // who asked may be gone
        if what == What::Pinned {
            self.consider(plugin);
        }
    }

    fn publish(&mut self, plugin: &PluginKey, versions: &Versions, version: &Arc<Version>, what: What) -> String {
        let before = versions.newcomer().unwrap_or_else(|| versions.current());
        let left = (before.id() != version.id()).then(|| before.id().clone());
        versions.set_shadow(None);
        versions.replace(version.clone());
        let reason = "by an operator".to_owned();
        self.note(plugin, Entry { reason: reason.clone(), before: left.clone(), ..entry_of(version, what) });
        tracing::info!(tenant = plugin.tenant, plugin = plugin.name, from = %before.id(), to = %version.id(), "{} by an operator", what.as_str());
        let holds = match left {
            Some(version) if what == What::RolledBack => {
                Holds::Withdrawn { version, reason: format!("rolled back {reason}") }
            }
            _ => Holds::Running,
        };
        self.holds(plugin, holds);
        format!("plugin {plugin} runs version {}, before it {}", version.id(), before.id())
    }
}
