//! From files to a version that runs: newcomers are compiled and compared off the path of the lanes, then tried out.

use std::sync::Arc;

use super::deployer::Deployer;
use super::deployments::Holds;
use super::first::{First, first};
use super::folder::Files;
use super::history::{Entry, What};
use super::noting::entry_of;
use super::prepare::{Cause, Refusal, Took, build, fit};
use super::shadowing::watch_over;
use super::version::Version;
use super::versions::Versions;
use crate::config::{PluginFile, TENANT};

/// A version that was prepared, or what stands against it.
pub(super) struct Prepared {
    pub name: String,
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
    pub(super) fn prepare(&mut self, name: &str, files: Arc<Files>, file: PluginFile, versions: &Versions) {
        let incumbent = reference(versions);
        let kept = self.kept_now(name, &incumbent);
        let (world, host, loader) = (self.world(), self.around.host.clone(), self.loader.clone());
        let seen = files.seen;
        self.spawn(name, async move {
            let read = seen.elapsed();
            let built = loader.run(TENANT, move || build(&host, file, &files.wasm)).await;
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
        self.holds(name, Holds::Preparing);
    }

    /// Prepares what a plugin begins with that appeared while the engine runs.
    pub(super) fn prepare_first(&mut self, name: &str, files: Arc<Files>) {
        let (around, database, world) = (self.around.clone(), self.database.clone(), self.world());
        let (standing, kept) = (self.known.entry(name.to_owned()).or_default().standing.clone(), self.kept(name));
        let loader = self.loader.clone();
        self.spawn(name, async move {
            let first = loader.run(TENANT, move || first(&around, &files, &database, &standing, &kept)).await;
            let begins = first.newcomer.as_ref().map(|(newcomer, _)| newcomer).or(first.current.as_ref());
            if let Some(version) = begins.cloned() {
                match fit(&world, &version, None).await {
                    Ok((notes, _)) => notes.iter().for_each(|note| tracing::info!(version = %version.id(), "{note}")),
                    Err(refusal) => return Outcome::Refused(Box::new(refusal)),
                }
            }
            Outcome::First(Box::new(first))
        });
        self.holds(name, Holds::Preparing);
    }

    /// Begins something for a plugin, in place of what was begun before.
    pub(super) fn spawn(&mut self, name: &str, work: impl Future<Output = Outcome> + Send + 'static) {
        self.drop_task(name);
        let known = self.known.entry(name.to_owned()).or_default();
        let (turn, name) = (known.turn, name.to_owned());
        known.task = Some(self.preparing.spawn(async move { Prepared { outcome: work.await, name, turn } }));
    }

    pub(super) fn drop_task(&mut self, name: &str) {
        let known = self.known.entry(name.to_owned()).or_default();
        known.turn += 1;
        if let Some(task) = known.task.take() {
            task.abort();
        }
    }

    pub(super) fn prepared(&mut self, prepared: Prepared) {
        let Prepared { name, turn, outcome } = prepared;
        if self.known.get(&name).is_none_or(|known| known.turn != turn) {
            return; // the folder has changed since
        }
        match outcome {
            Outcome::First(first) => self.begin(&name, *first),
            Outcome::Newcomer { version, took, notes } => self.try_out(&name, &version, took, &notes),
            Outcome::Ordered(ordered) => self.ordered(&name, *ordered),
            Outcome::Refused(refusal) => self.refused(&name, *refusal),
        }
    }

    /// Lets a newcomer run that was found fit.
    pub(super) fn try_out(&mut self, name: &str, version: &Arc<Version>, took: Took, notes: &[String]) {
        let Some(versions) = self.plugins.get(TENANT, name) else { return };
        if let Err(error) = self.around.artifacts.keep(&version.transform) {
            let why = crate::disposition::in_words(&error);
            return self.refused(name, Refusal::of_folder(Cause::Disk, &version.file.folder, why));
        }
        let Took { read, code, prepare } = took;
        let (read_ms, prepare_ms) = (read.as_millis(), prepare.as_millis());
        let (code_ms, cached) = code.map_or((0, false), |(took, cached)| (took.as_millis(), cached));
        self.loaded(name, took);
        let rules = version.file.rollout.clone();
        let current = reference(&versions);
        if current.id() == version.id() {
            // Other topics or rules, or the version before is there again.
            let was = versions.newcomer().filter(|newcomer| newcomer.id() != version.id());
            versions.replace(version.clone());
            if let Some(was) = was {
                let reason = "its folder holds it again".to_owned();
                let entry = Entry { reason, before: Some(was.id().clone()), ..entry_of(version, What::Started) };
                self.note(name, entry);
            }
            tracing::info!(plugin = name, version = %version.id(), "plugin.toml was taken over");
        } else {
            if versions.trial().is_some_and(|trial| trial.no_way_back) {
                self.promote(name, &versions, &current, "what it keeps can't be read by the version before");
            }
            for note in notes {
                tracing::info!(plugin = name, version = %version.id(), "{note}");
            }
            tracing::info!(
                plugin = name, from = %current.id(), to = %version.id(), says = version.says(), read_ms, code_ms, cached,
                prepare_ms, "a new version is on trial"
            );
            let reason = notes.join("; ");
            self.note(name, Entry { reason, before: Some(current.id().clone()), ..entry_of(version, What::Trial) });
            watch_over(&versions, version.clone(), rules);
            self.metrics.versions().swapped(TENANT, name);
        }
        self.holds(name, Holds::Running);
    }

    pub(super) fn loaded(&self, name: &str, Took { read, code, prepare }: Took) {
        let metrics = self.metrics.versions();
        metrics.loaded(TENANT, name, "read", read);
        if let Some((took, cached)) = code {
            metrics.loaded(TENANT, name, if cached { "cached" } else { "compile" }, took);
        }
        metrics.loaded(TENANT, name, "prepare", prepare);
    }
}

/// The version that a newcomer is compared with: one on trial only where there is no way back from it.
pub(super) fn reference(versions: &Versions) -> Arc<Version> {
    let stays = versions.trial().is_some_and(|trial| trial.no_way_back);
    versions.newcomer().filter(|_| stays).unwrap_or_else(|| versions.current())
}
