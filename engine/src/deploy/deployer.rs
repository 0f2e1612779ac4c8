//! The deployer: one task that decides which version of each plugin runs, by what the plugins folder holds, how newcomers
//! fare on trial, and what operators say. It alone publishes versions; lanes only withdraw them.
//!
//! **Promise.** A version that is published was compiled, compared with the one that runs, and has its tables ready. One
//! that is not fit is refused in words, and what ran goes on. What happens to versions is in the history before the next
//! thing happens to the plugin.
//! **Assumed.** Recovery never asks here: see [`super`].
//! **After a crash** [`super::first`] goes by the history. A trial that was not over begins anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::deployments::{Deployments, Holds};
use super::first::{First, first};
use super::folder::{Change, Files, Folder, TenantFiles};
use super::history::{Entry, History, Standing, What};
use super::noting::entry;
use super::orders::Order;
use super::plugins::Plugins;
use super::prepare::{Cause, World, id, read};
use super::preparing::Prepared;
use super::shadowing::watch_over;
use super::version::Version;
use super::versions::Versions;
use super::watch::{Watch, read_all};
use crate::config::{Config, Declared, PluginFile, Problems, Tenant};
use crate::cpu::Cpu;
use crate::disposition::in_words;
use crate::lane::Surroundings;
use crate::metrics::Metrics;
use crate::offsets::{DEFAULT_TENANT, PluginKey};

/// How often a version is looked at again that was refused for what may have passed: a table, a topic.
const AGAIN: Duration = Duration::from_secs(30);
/// Orders that may wait: operators are few.
const ORDERS: usize = 16;

/// Decides which versions run.
pub struct Deployer {
    pub(super) around: Surroundings,
    /// The tenant of plugins that lie in no tenant's folder.
    pub(super) default: Arc<Tenant>,
    pub(super) plugins: Plugins,
    pub(super) deployments: Deployments,
    pub(super) metrics: Arc<Metrics>,
    pub(super) history: History,
    /// Compiles newcomers.
    pub(super) loader: Cpu,
    /// Until it is watched.
    folder: Option<Folder>,
    pub(super) known: BTreeMap<PluginKey, Known>,
    /// Of each tenant, what its file holds.
    pub(super) tenant_files: BTreeMap<String, TenantFiles>,
    pub(super) preparing: JoinSet<Prepared>,
    orders: mpsc::Receiver<Order>,
    ordering: mpsc::Sender<Order>,
}

/// A plugin.
#[derive(Default)]
pub(super) struct Known {
    /// What its folder holds.
    pub files: Option<Arc<Files>>,
    pub standing: Standing,
    pub holds: Holds,
    /// What is being prepared for it: what was begun before counts no more.
    pub turn: u64,
    pub task: Option<AbortHandle>,
}

impl Deployer {
    /// What runs at first: everything that is fit, if anything is.
    ///
    /// # Errors
    /// Every mistake in settings, at once; or, where nothing can run, why not.
    pub fn start(around: Surroundings, config: &Config, metrics: Arc<Metrics>) -> Result<Self, Problems> {
        let declared = Declared::read(config);
        let alone = declared.tenants.is_empty();
        if config.until_idle {
            declared.all()?; // it ends by itself: nobody would mend a tenant meanwhile
        } else {
            declared.mistakes.none(())?;
        }
        let loader = Cpu::background().map_err(|error| no_thread(&config.plugins, &error))?;
        let (ordering, orders) = mpsc::channel(ORDERS);
        let mut deployer = Self {
            default: config.default_tenant(),
            plugins: Plugins::default(),
            deployments: Deployments::default(),
            metrics,
            history: History::of_data(&config.data_dir),
            loader,
            folder: None,
            known: BTreeMap::new(),
            tenant_files: BTreeMap::new(),
            preparing: JoinSet::new(),
            orders,
            ordering,
            around,
        };
        deployer.around.share(&deployer.default);
        deployer.around.tenants.set(deployer.default.clone());
        let mut folder = Folder::new(&config.plugins);
        let files = deployer.read_all(&mut folder);
        deployer.folder = Some(folder);
        let firsts = deployer.firsts(&files);
        let (mut mistakes, mut others) = (Problems::default(), Problems::default());
        for (files, first) in files.into_iter().zip(firsts) {
            let key = files.key.clone();
            if let Holds::Refused(refusal) = &first.holds
                && key.tenant == DEFAULT_TENANT
            {
                let to = if refusal.cause == Cause::Settings { &mut mistakes } else { &mut others };
                to.0.extend(refusal.problems.0.clone());
            }
            deployer.known.entry(key.clone()).or_default().files = Some(files);
            deployer.begin(&key, first);
        }
        mistakes.none(())?;
        if deployer.plugins.all().is_empty() && alone {
            others.none(())?;
        }
        Ok(deployer)
    }

    /// What all folders hold. Tenants are known from now on.
    fn read_all(&mut self, folder: &mut Folder) -> Vec<Arc<Files>> {
        let mut all = Vec::new();
        for change in read_all(folder) {
            match change {
                Change::Holds(files) => all.push(Arc::from(files)),
                Change::Tenant(files) => self.tenant_holds(files),
                Change::Gone { .. } | Change::TenantGone { .. } => {}
            }
        }
        all
    }

    /// What runs.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// What is known of each plugin.
    #[must_use]
    pub fn deployments(&self) -> &Deployments {
        &self.deployments
    }

    /// What became of versions.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// For operators.
    #[must_use]
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.ordering.clone()
    }

    /// Decides for as long as the engine runs. Watches the folder, unless what it held at the start is all that shall run.
    pub async fn run(mut self, watching: bool) {
        let mut watch = self.folder.take().filter(|_| watching).and_then(|folder| {
            let unnoticed = "no thread to watch the plugins folder: changes are not noticed";
            Watch::start(folder).inspect_err(|error| tracing::error!(%error, "{unnoticed}")).ok()
        });
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => {
                    self.obey(order, watch.as_ref());
                }
                Some(change) = next(&mut watch) => self.changed(change),
                Some(prepared) = self.preparing.join_next() => match prepared {
                    Ok(prepared) => self.prepared(prepared),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "a bug in the engine: a version could not be prepared"),
                },
                () = self.plugins.news() => self.hear(),
                _ = again.tick() => self.look_again(),
            }
        }
    }

    /// What each plugin begins with, decided on as many threads as there are cores: nothing runs yet that they could hold up.
    fn firsts(&mut self, files: &[Arc<Files>]) -> Vec<First> {
        let standings: Vec<_> = files.iter().map(|files| self.standing(&files.key.clone())).collect();
        let kept: Vec<_> = files.iter().map(|files| self.kept(&files.key.clone())).collect();
        let tenants: Vec<_> = files.iter().map(|files| self.tenant(&files.key)).collect();
        let around = &self.around;
        let decide =
            |index: usize| first(around, &files[index], tenants[index].clone(), &standings[index], &kept[index]);
        let firsts = on_all_cores(files.len(), &decide);
        for (files, standing) in files.iter().zip(standings) {
            self.known.entry(files.key.clone()).or_default().standing = standing;
        }
        firsts
    }

    /// Lets a plugin begin of which nothing ran.
    pub(super) fn begin(&mut self, key: &PluginKey, first: First) {
        let First { current, newcomer, holds, note } = first;
        if let Holds::Refused(refusal) = &holds {
            self.say_refused(key, refusal);
        }
        if let Some(current) = current {
            let versions = Arc::new(Versions::new(current.clone()));
            if let Err(error) = self.around.artifacts.keep(&current.transform) {
                // Its first epoch will stop for it; what the history calls good, a start has to be able to go back to.
                tracing::error!(
                    tenant = key.tenant,
                    plugin = key.name,
                    error = in_words(&error),
                    "the version can't be kept"
                );
            }
            if let Some((what, version)) = note {
                let says = newcomer.as_ref().map_or(&current, |(newcomer, _)| newcomer).says().to_owned();
                let before = newcomer.as_ref().map(|_| current.id().clone());
                self.note(key, Entry { before, plugin_version: says, ..entry(version, what) });
            }
            if let Some((newcomer, rules)) = newcomer {
                tracing::info!(tenant = key.tenant, plugin = key.name, from = %current.id(), to = %newcomer.id(), "a new version is on trial");
                watch_over(&versions, newcomer, rules);
                versions.trial_goes_on(&self.kept(key));
            }
            self.plugins.insert(versions);
        } else if let Some((what, version)) = note {
            self.note(key, entry(version, what));
        }
        self.holds(key, holds);
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Gone { key } => self.gone(&key),
            Change::Tenant(files) => self.tenant_holds(files),
            Change::TenantGone { name } => self.tenant_gone(&name),
            Change::Holds(files) => {
                let key = files.key.clone();
                if !self.known.contains_key(&key) {
                    let standing = self.standing(&key);
                    self.known.insert(key.clone(), Known { standing, ..Known::default() });
                }
                self.known.entry(key.clone()).or_default().files = Some(Arc::from(files));
                self.consider(&key);
            }
        }
    }

    fn gone(&mut self, key: &PluginKey) {
        if let Some(task) = self.known.remove(key).and_then(|known| known.task) {
            task.abort();
        }
        if let Some(versions) = self.plugins.get(key) {
            tracing::info!(tenant = key.tenant, plugin = key.name, "its folder is gone: its lanes end");
            self.note(key, entry(versions.current().id().clone(), What::Removed));
        }
        self.plugins.remove(key);
        self.deployments.remove(key);
        self.metrics.versions().running(key, Vec::new());
    }

    /// Decides what the files in a plugin's folder mean, and begins to prepare them if they are to run.
    pub(super) fn consider(&mut self, key: &PluginKey) {
        let Some(files) = self.known.get(key).and_then(|known| known.files.clone()) else { return };
        self.drop_task(key);
        let Some(versions) = self.plugins.get(key) else { return self.prepare_first(key, files) };
        let file = match self.tenant(key).and_then(|tenant| read(&files, &tenant)) {
            Ok(file) => file,
            Err(refusal) => return self.refused(key, refusal),
        };
        let held = id(&file, &files.wasm);
        let shadow = versions.shadow().map(|shadow| shadow.version.clone());
        let runs = versions.newcomer().unwrap_or_else(|| versions.current());
        let is_held = |version: &Version| *version.id() == held && is_same_place(&version.file, &file);
        if shadow.is_some_and(|shadow| is_held(&shadow)) {
            return self.holds(key, Holds::Running);
        }
        versions.set_shadow(None); // its files are gone
        if is_held(&runs) {
            return self.holds(key, Holds::Running);
        }
        let Standing { pinned, banned, .. } = &self.known.entry(key.clone()).or_default().standing;
        if pinned.is_some() {
            tracing::info!(tenant = key.tenant, plugin = key.name, version = %held, "the version in its folder waits until the plugin is no longer pinned");
            return self.holds(key, Holds::Waiting(held));
        }
        if let Some((version, reason)) = banned.clone().filter(|(banned, _)| *banned == held) {
            return self.holds(key, Holds::Withdrawn { version, reason });
        }
        self.prepare(key, files, file, &versions);
    }

    /// Looks again at what may have passed.
    fn look_again(&mut self) {
        self.look_at_mistaken_tenants();
        let passes = |known: &Known| matches!(&known.holds, Holds::Refused(refusal) if refusal.cause.passes());
        let names: Vec<_> = self.known.iter().filter(|(_, known)| passes(known)).map(|(key, _)| key.clone()).collect();
        for key in names {
            let before = self.known.get(&key).map(|known| known.holds.clone());
            self.consider(&key);
            if let Some(before) = before {
                self.holds(&key, before); // until it is known better: what was said is not said again
            }
        }
    }

    /// Versions of the state that the lanes of a plugin keep.
    pub(super) fn kept(&self, key: &PluginKey) -> Vec<u32> {
        self.around.journal.state_versions(&key.tenant, &key.name).unwrap_or_else(|error| {
            // Each lane compares again when it begins.
            let error = in_words(&error);
            tracing::warn!(tenant = key.tenant, plugin = key.name, error, "what is kept can't be looked at");
            Vec::new()
        })
    }

    /// The same, with what the version that runs is about to write.
    pub(super) fn kept_now(&self, key: &PluginKey, incumbent: &Version) -> Vec<u32> {
        let mut kept = self.kept(key);
        kept.extend(incumbent.transform.state_version().filter(|version| !kept.contains(version)));
        kept
    }

    pub(super) fn world(&self) -> World {
        let Surroundings { source, sinks, registry, .. } = &self.around;
        World { source: source.clone(), sinks: sinks.clone(), registry: registry.clone() }
    }
}

pub(super) fn is_same_place(one: &PluginFile, other: &PluginFile) -> bool {
    one.tenant == other.tenant
        && one.topics == other.topics
        && one.start == other.start
        && one.partitions == other.partitions
        && one.linger == other.linger
        && one.rollout == other.rollout
        && one.failure == other.failure
        && one.sha256 == other.sha256
}

fn no_thread(folder: &Path, error: &std::io::Error) -> Problems {
    let mut problems = Problems::default();
    problems.of_path(folder, format!("no thread to load plugins: {error}"), None);
    problems
}

async fn next(watch: &mut Option<Watch>) -> Option<Change> {
    match watch {
        Some(watch) => watch.change().await,
        None => std::future::pending().await,
    }
}

/// Answers in order, found on as many threads as there are cores.
fn on_all_cores<T: Send>(count: usize, work: &(impl Fn(usize) -> T + Sync)) -> Vec<T> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let answer = work(index);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}
