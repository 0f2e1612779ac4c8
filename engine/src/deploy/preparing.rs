//! From files to a version that runs: newcomers are compiled and compared off the path of the lanes, then tried out.

use std::sync::Arc;

use super::deployer::{Deployer, is_same_place};
use super::deployments::Holds;
use super::first::{First, first};
use super::folder::Files;
use super::history::{Entry, What};
use super::noting::entry_of;
use super::prepare::{Cause, Refusal, Took, build, fit};
use super::shadowing::watch_over;
use super::version::Version;
use super::versions::Versions;
use crate::config::PluginFile;
use crate::offsets::PluginKey;

/// A version that was prepared, or what stands against it.
pub(super) struct Prepared {
    pub key: PluginKey,
    pub turn: u64,
    pub outcome: Outcome,
}

pub(super) enum Outcome {
    /// Of a plugin of which nothing runs yet.
    First(Box<First>),
    /// A newcomer to be tried out.
    Newcomer { version: Arc<Version>, took: Took, notes: Vec<String> },
    /// A version by an operator's order.
    Ordered(Box<super::operator::Ordered>),
    /// Not fit.
    Refused(Box<Refusal>),
}

impl Deployer {
    /// Prepares a newcomer, off the path of the lanes.
    pub(super) fn prepare(&mut self, key: &PluginKey, files: Arc<Files>, file: PluginFile, versions: &Versions) {
        let incumbent = reference(versions);
        let kept = self.kept_now(key, &incumbent);
        let (world, host, loader) = (self.world(), self.around.host.clone(), self.loader.clone());
        let (seen, of) = (files.seen, key.tenant.clone());
        self.spawn(key, async move {
            let read = seen.elapsed();
            let built = loader.run(&of, move || build(&host, file, &files.wasm)).await;
            let version = match built {
                Ok(version) => Arc::new(version),
                Err(refusal) => return Outcome::Refused(Box::new(refusal)),
            };
            match fit(&world, &version, Some((&incumbent, &kept))).await {
                Ok((notes, prepare)) => {
                    let compiling = version.transform.plugin().map(|plugin| plugin.compiling());
                    let code = compiling.map(|compiling| (compiling.took, compiling.cached));
                    Outcome::Newcomer { version, took: Took { read, code, prepare }, notes }
                }
                Err(refusal) => Outcome::Refused(Box::new(refusal)),
            }
        });
        self.holds(key, Holds::Preparing);
    }

    /// Prepares what a plugin begins with that appeared while the engine runs.
    pub(super) fn prepare_first(&mut self, key: &PluginKey, files: Arc<Files>) {
        let (around, tenant, world) = (self.around.clone(), self.tenant(key), self.world());
        let (standing, kept) = (self.known.entry(key.clone()).or_default().standing.clone(), self.kept(key));
        let (loader, of) = (self.loader.clone(), key.tenant.clone());
        self.spawn(key, async move {
            let first = loader.run(&of, move || first(&around, &files, tenant, &standing, &kept)).await;
            let begins = first.newcomer.as_ref().map(|(newcomer, _)| newcomer).or(first.current.as_ref());
            if let Some(version) = begins.cloned() {
                match fit(&world, &version, None).await {
                    Ok((notes, _)) => notes.iter().for_each(|note| tracing::info!(version = %version.id(), "{note}")),
                    Err(refusal) => return Outcome::Refused(Box::new(refusal)),
                }
            }
            Outcome::First(Box::new(first))
        });
        self.holds(key, Holds::Preparing);
    }

    /// Begins something for a plugin, in place of what was begun before.
    pub(super) fn spawn(&mut self, key: &PluginKey, work: impl Future<Output = Outcome> + Send + 'static) {
        self.drop_task(key);
        let known = self.known.entry(key.clone()).or_default();
        let (turn, key) = (known.turn, key.clone());
        known.task = Some(self.preparing.spawn(async move { Prepared { outcome: work.await, key, turn } }));
    }

    pub(super) fn drop_task(&mut self, key: &PluginKey) {
        let known = self.known.entry(key.clone()).or_default();
        known.turn += 1;
        if let Some(task) = known.task.take() {
            task.abort();
        }
    }

    pub(super) fn prepared(&mut self, prepared: Prepared) {
        let Prepared { key, turn, outcome } = prepared;
        if self.known.get(&key).is_none_or(|known| known.turn != turn) {
            return; // the folder has changed since
        }
        match outcome {
            Outcome::First(first) => self.begin(&key, *first),
            Outcome::Newcomer { version, took, notes } => self.try_out(&key, &version, took, &notes),
            Outcome::Ordered(ordered) => self.ordered(&key, *ordered),
            Outcome::Refused(refusal) => self.refused(&key, *refusal),
        }
    }

    /// Lets a newcomer run that was found fit.
    pub(super) fn try_out(&mut self, key: &PluginKey, version: &Arc<Version>, took: Took, notes: &[String]) {
        let Some(versions) = self.plugins.get(key) else { return };
        versions.of_tenant(&version.file.tenant);
        let runs = versions.newcomer().unwrap_or_else(|| versions.current());
        if runs.is_same(version) && is_same_place(&runs.file, &version.file) {
            tracing::info!(tenant = key.tenant, plugin = key.name, version = %version.id(), "tenant.toml was taken over");
            return self.holds(key, Holds::Running);
        }
        if let Err(error) = self.around.artifacts.keep(&version.transform) {
            let why = crate::disposition::in_words(&error);
            return self.refused(key, Refusal::of_folder(Cause::Disk, &version.file.folder, why));
        }
        let Took { read, code, prepare } = took;
        let (read_ms, prepare_ms) = (read.as_millis(), prepare.as_millis());
        let (code_ms, cached) = code.map_or((0, false), |(took, cached)| (took.as_millis(), cached));
        self.loaded(key, took);
        let rules = version.file.rollout.clone();
        let current = reference(&versions);
        if current.id() == version.id() {
            // Other topics or rules, or the version before is there again.
            let was = versions.newcomer().filter(|newcomer| newcomer.id() != version.id());
            versions.replace(version.clone());
            if let Some(was) = was {
                let reason = "its folder holds it again".to_owned();
                let entry = Entry { reason, before: Some(was.id().clone()), ..entry_of(version, What::Started) };
                self.note(key, entry);
            }
            tracing::info!(tenant = key.tenant, plugin = key.name, version = %version.id(), "plugin.toml was taken over");
        } else {
            if versions.trial().is_some_and(|trial| trial.no_way_back) {
                self.promote(key, &versions, &current, "what it keeps can't be read by the version before");
            }
            for note in notes {
                tracing::info!(tenant = key.tenant, plugin = key.name, version = %version.id(), "{note}");
            }
            tracing::info!(
                tenant = key.tenant, plugin = key.name, from = %current.id(), to = %version.id(), says = version.says(), read_ms, code_ms, cached,
                prepare_ms, "a new version is on trial"
            );
            let reason = notes.join("; ");
            self.note(key, Entry { reason, before: Some(current.id().clone()), ..entry_of(version, What::Trial) });
            watch_over(&versions, version.clone(), rules);
            self.metrics.versions().swapped(key);
        }
        self.holds(key, Holds::Running);
    }

    pub(super) fn loaded(&self, key: &PluginKey, Took { read, code, prepare }: Took) {
        let metrics = self.metrics.versions();
        metrics.loaded(key, "read", read);
        if let Some((took, cached)) = code {
            metrics.loaded(key, if cached { "cached" } else { "compile" }, took);
        }
        metrics.loaded(key, "prepare", prepare);
    }
}

/// The version that a newcomer is compared with: one on trial only where there is no way back from it.
pub(super) fn reference(versions: &Versions) -> Arc<Version> {
    let stays = versions.trial().is_some_and(|trial| trial.no_way_back);
    versions.newcomer().filter(|_| stays).unwrap_or_else(|| versions.current())
}
