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

use super::deployments::{Deployment, Deployments, Holds};
use super::first::{First, first};
use super::folder::{Change, Files, Folder};
use super::history::{Entry, History, Standing, What};
use super::orders::Order;
use super::plugins::Plugins;
use super::prepare::{Cause, Refusal, Took, World, build, fit, id, read};
use super::shadowing::watch_over;
use super::version::{Version, VersionId};
use super::versions::{News, Versions};
use super::watch::{Watch, read_all};
use crate::config::{Config, PluginFile, Problems, TENANT, read_plugins};
use crate::cpu::Cpu;
use crate::lane::Surroundings;
use crate::metrics::{Metrics, RunningVersion};

/// How often a version is looked at again that was refused for what may have passed: a table, a topic.
const AGAIN: Duration = Duration::from_secs(30);
/// Orders that may wait: operators are few.
const ORDERS: usize = 16;

/// Decides which versions run.
pub struct Deployer {
    pub(super) around: Surroundings,
    database: String,
    pub(super) plugins: Plugins,
    deployments: Deployments,
    pub(super) metrics: Arc<Metrics>,
    pub(super) history: History,
    /// Compiles newcomers.
    pub(super) loader: Cpu,
    /// Until it is watched.
    folder: Option<Folder>,
    pub(super) known: BTreeMap<String, Known>,
    pub(super) preparing: JoinSet<Prepared>,
    orders: mpsc::Receiver<Order>,
    ordering: mpsc::Sender<Order>,
}

/// A plugin.
#[derive(Default)]
pub(super) struct Known {
    /// What its folder holds.
    files: Option<Arc<Files>>,
    pub standing: Standing,
    holds: Holds,
    /// What is being prepared for it: what was begun before counts no more.
    turn: u64,
    task: Option<AbortHandle>,
}

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
    /// What runs at first: everything that is fit, if anything is.
    ///
    /// # Errors
    /// Every mistake in settings, at once; or, where nothing can run, why not.
    pub fn start(around: Surroundings, config: &Config, metrics: Arc<Metrics>) -> Result<Self, Problems> {
        let declared = read_plugins(&config.plugins, &config.database)?;
        let mut folder = Folder::new(&config.plugins);
        let files: Vec<Arc<Files>> = read_all(&mut folder).into_iter().filter_map(held).collect();
        let loader = Cpu::background().map_err(|error| no_thread(&config.plugins, &error))?;
        let (ordering, orders) = mpsc::channel(ORDERS);
        let mut deployer = Self {
            database: config.database.clone(),
            plugins: Plugins::default(),
            deployments: Deployments::default(),
            metrics,
            history: History::of_data(&config.data_dir),
            loader,
            folder: Some(folder),
            known: BTreeMap::new(),
            preparing: JoinSet::new(),
            orders,
            ordering,
            around,
        };
        let firsts = deployer.firsts(&files);
        let (mut mistakes, mut others) = (Problems::default(), Problems::default());
        for (files, first) in files.into_iter().zip(firsts) {
            if let Holds::Refused(refusal) = &first.holds {
                let to = if refusal.cause == Cause::Settings { &mut mistakes } else { &mut others };
                to.0.extend(refusal.problems.0.clone());
            }
            let name = name(&files.folder);
            deployer.known.entry(name.clone()).or_default().files = Some(files);
            deployer.begin(&name, first);
        }
        mistakes.none(())?;
        if deployer.plugins.all().is_empty() && !declared.is_empty() {
            others.none(())?;
        }
        Ok(deployer)
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
        let standings: Vec<_> = files.iter().map(|files| self.standing(&name(&files.folder))).collect();
        let kept: Vec<_> = files.iter().map(|files| self.kept(&name(&files.folder))).collect();
        let (around, database) = (&self.around, &self.database);
        let decide = |index: usize| first(around, &files[index], database, &standings[index], &kept[index]);
        let firsts = on_all_cores(files.len(), &decide);
        for (files, standing) in files.iter().zip(standings) {
            self.known.entry(name(&files.folder)).or_default().standing = standing;
        }
        firsts
    }

    /// Lets a plugin begin of which nothing ran.
    fn begin(&mut self, name: &str, first: First) {
        let First { current, newcomer, holds, note } = first;
        if let Holds::Refused(refusal) = &holds {
            self.say_refused(name, refusal);
        }
        if let Some(current) = current {
            let versions = Arc::new(Versions::new(current.clone()));
            if let Some((what, version)) = note {
                let says = newcomer.as_ref().map_or(&current, |(newcomer, _)| newcomer).says().to_owned();
                let before = newcomer.as_ref().map(|_| current.id().clone());
                self.note(name, Entry { before, plugin_version: says, ..entry(version, what) });
            }
            if let Some((newcomer, rules)) = newcomer {
                tracing::info!(plugin = name, from = %current.id(), to = %newcomer.id(), "a new version is on trial");
                watch_over(&versions, newcomer, rules);
                versions.trial_goes_on(&self.kept(name));
            }
            self.plugins.insert(versions);
        } else if let Some((what, version)) = note {
            self.note(name, entry(version, what));
        }
        self.holds(name, holds);
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Gone { name } => self.gone(&name),
            Change::Holds(files) => {
                let name = name(&files.folder);
                if !self.known.contains_key(&name) {
                    let standing = self.standing(&name);
                    self.known.insert(name.clone(), Known { standing, ..Known::default() });
                }
                self.known.entry(name.clone()).or_default().files = Some(Arc::from(files));
                self.consider(&name);
            }
        }
    }

    fn gone(&mut self, name: &str) {
        if let Some(task) = self.known.remove(name).and_then(|known| known.task) {
            task.abort();
        }
        if let Some(versions) = self.plugins.get(TENANT, name) {
            tracing::info!(plugin = name, "its folder is gone: its lanes end");
            self.note(name, entry(versions.current().id().clone(), What::Removed));
        }
        self.plugins.remove(TENANT, name);
        self.deployments.remove(TENANT, name);
        self.metrics.versions().running(TENANT, name, Vec::new());
    }

    /// Decides what the files in a plugin's folder mean, and begins to prepare them if they are to run.
    pub(super) fn consider(&mut self, name: &str) {
        let Some(files) = self.known.get(name).and_then(|known| known.files.clone()) else { return };
        self.drop_task(name);
        let Some(versions) = self.plugins.get(TENANT, name) else { return self.prepare_first(name, files) };
        let file = match read(&files, &self.database) {
            Ok(file) => file,
            Err(refusal) => return self.refused(name, refusal),
        };
        let held = id(&file, &files.wasm);
        let shadow = versions.shadow().map(|shadow| shadow.version.clone());
        let runs = versions.newcomer().unwrap_or_else(|| versions.current());
        let is_held = |version: &Version| *version.id() == held && is_same_place(&version.file, &file);
        if shadow.is_some_and(|shadow| is_held(&shadow)) {
            return self.holds(name, Holds::Running);
        }
        versions.set_shadow(None); // its files are gone
        if is_held(&runs) {
            return self.holds(name, Holds::Running);
        }
        let Standing { pinned, banned, .. } = &self.known.entry(name.to_owned()).or_default().standing;
        if pinned.is_some() {
            tracing::info!(plugin = name, version = %held, "the version in its folder waits until the plugin is no longer pinned");
            return self.holds(name, Holds::Waiting(held));
        }
        if let Some((version, reason)) = banned.clone().filter(|(banned, _)| *banned == held) {
            return self.holds(name, Holds::Withdrawn { version, reason });
        }
        self.prepare(name, files, file, &versions);
    }

    /// Prepares a newcomer, off the path of the lanes.
    fn prepare(&mut self, name: &str, files: Arc<Files>, file: PluginFile, versions: &Versions) {
        let incumbent = reference(versions);
        let kept = self.kept_now(name, &incumbent);
        let (world, host, loader) = (self.world(), self.around.host.clone(), self.loader.clone());
        let seen = files.seen;
        self.spawn(name, async move {
            let read = seen.elapsed();
            let built = loader.run(move || build(&host, file, &files.wasm)).await;
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
    fn prepare_first(&mut self, name: &str, files: Arc<Files>) {
        let (around, database, world) = (self.around.clone(), self.database.clone(), self.world());
        let (standing, kept) = (self.known.entry(name.to_owned()).or_default().standing.clone(), self.kept(name));
        let loader = self.loader.clone();
        self.spawn(name, async move {
            let first = loader.run(move || first(&around, &files, &database, &standing, &kept)).await;
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

    fn drop_task(&mut self, name: &str) {
        let known = self.known.entry(name.to_owned()).or_default();
        known.turn += 1;
        if let Some(task) = known.task.take() {
            task.abort();
        }
    }

    fn prepared(&mut self, prepared: Prepared) {
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
    fn try_out(&mut self, name: &str, version: &Arc<Version>, took: Took, notes: &[String]) {
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

    fn loaded(&self, name: &str, Took { read, code, prepare }: Took) {
        let metrics = self.metrics.versions();
        metrics.loaded(TENANT, name, "read", read);
        if let Some((took, cached)) = code {
            metrics.loaded(TENANT, name, if cached { "cached" } else { "compile" }, took);
        }
        metrics.loaded(TENANT, name, "prepare", prepare);
    }

    /// Makes a newcomer the current version.
    pub(super) fn promote(&mut self, name: &str, versions: &Versions, newcomer: &Arc<Version>, reason: &str) {
        let before = Some(versions.current().id().clone());
        versions.replace(newcomer.clone());
        self.note(name, Entry { reason: reason.to_owned(), before, ..entry_of(newcomer, What::Promoted) });
    }

    /// Says why a version is not let in, once; what runs goes on.
    fn refused(&mut self, name: &str, refusal: Refusal) {
        let said = self.known.get(name).is_some_and(|known| known.holds == Holds::Refused(refusal.clone()));
        if !said {
            self.say_refused(name, &refusal);
            if let Some(version) = &refusal.version {
                self.note(name, Entry { reason: refusal.to_string(), ..entry(version.clone(), What::Refused) });
            }
        }
        self.holds(name, Holds::Refused(refusal));
    }

    fn say_refused(&self, name: &str, refusal: &Refusal) {
        let goes_on = self.plugins.get(TENANT, name).map(|versions| versions.current().id().to_string());
        self.metrics.versions().refused(TENANT, name, refusal.cause.as_str());
        tracing::error!(plugin = name, cause = refusal.cause.as_str(), goes_on, "not taken from its folder: {refusal}");
    }

    /// What lanes have to tell.
    fn hear(&mut self) {
        for versions in self.plugins.all() {
            let name = versions.name().to_owned();
            for news in versions.take_news() {
                match news {
                    News::Withdrawn { version, reason, at } => {
                        let place = at.map(|(lane, offset)| format!(" ({lane}, offset {offset})")).unwrap_or_default();
                        let reason = format!("{reason}{place}");
                        self.metrics.versions().withdrawn(TENANT, &name);
                        let before = Some(versions.current().id().clone());
                        self.note(
                            &name,
                            Entry { reason: reason.clone(), before, ..entry(version.clone(), What::Withdrawn) },
                        );
                        self.holds(&name, Holds::Withdrawn { version, reason });
                    }
                    News::Passed { version } => {
                        self.note(
                            &name,
                            Entry {
                                plugin_version: versions.current().says().to_owned(),
                                ..entry(version, What::Passed)
                            },
                        );
                        self.show(&name);
                    }
                    News::Moved { lane, version, offset } => {
                        tracing::debug!(%lane, %version, offset, "first epoch of a version");
                    }
                }
            }
            self.look_at_shadow(&name, &versions);
        }
    }

    /// Looks again at what may have passed.
    fn look_again(&mut self) {
        let passes = |known: &Known| matches!(&known.holds, Holds::Refused(refusal) if refusal.cause.passes());
        let names: Vec<_> =
            self.known.iter().filter(|(_, known)| passes(known)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let before = self.known.get(&name).map(|known| known.holds.clone());
            self.consider(&name);
            if let Some(before) = before {
                self.holds(&name, before); // until it is known better: what was said is not said again
            }
        }
    }

    /// Notes what happened to a version. Without the note, a restart decides by what was noted before: that is no reason to
    /// stop what runs.
    pub(super) fn note(&mut self, name: &str, mut entry: Entry) {
        let again = |known: &Known| known.standing.last.as_ref() == Some(&(entry.what, entry.version.clone()));
        if entry.what == What::Refused && self.known.get(name).is_some_and(again) {
            return; // at another start
        }
        entry.at_ms = self.around.clock.now_ms();
        if let Err(error) = self.history.note(TENANT, name, &entry) {
            tracing::error!(plugin = name, %error, "the history can't be written");
        }
        if let Some(known) = self.known.get_mut(name) {
            known.standing.follow(&entry);
        }
    }

    pub(super) fn holds(&mut self, name: &str, holds: Holds) {
        let known = self.known.entry(name.to_owned()).or_default();
        known.holds = holds.clone();
        let pinned = known.standing.pinned.clone();
        self.deployments.set(TENANT, name, Deployment { holds, pinned });
        self.show(name);
    }

    /// Shows which versions run.
    fn show(&self, name: &str) {
        let Some(versions) = self.plugins.get(TENANT, name) else { return };
        let running = |version: &Version, role| RunningVersion {
            version: version.says().to_owned(),
            digest: version.id().plugin_digest.clone(),
            settings: version.id().settings_digest.clone(),
            role,
        };
        let newcomer = versions.newcomer().map(|newcomer| running(&newcomer, "trial"));
        let all = [running(&versions.current(), "current")].into_iter().chain(newcomer).collect();
        self.metrics.versions().running(TENANT, name, all);
    }

    fn standing(&self, name: &str) -> Standing {
        match self.history.of(TENANT, name) {
            Ok(entries) => Standing::of(&entries),
            Err(error) => {
                tracing::error!(plugin = name, %error, "the history can't be read: the folder alone decides");
                Standing::default()
            }
        }
    }

    /// Versions of the state that the lanes of a plugin keep.
    fn kept(&self, name: &str) -> Vec<u32> {
        self.around.journal.state_versions(TENANT, name).unwrap_or_else(|error| {
            // Each lane compares again when it begins.
            let error = crate::disposition::in_words(&error);
            tracing::warn!(plugin = name, error, "what is kept can't be looked at");
            Vec::new()
        })
    }

    /// The same, with what the version that runs is about to write.
    pub(super) fn kept_now(&self, name: &str, incumbent: &Version) -> Vec<u32> {
        let mut kept = self.kept(name);
        kept.extend(incumbent.transform.state_version().filter(|version| !kept.contains(version)));
        kept
    }

    pub(super) fn world(&self) -> World {
        let Surroundings { source, sink, registry, .. } = &self.around;
        World { source: source.clone(), sink: sink.clone(), registry: registry.clone() }
    }
}

/// The version that a newcomer is compared with: one on trial only where there is no way back from it.
pub(super) fn reference(versions: &Versions) -> Arc<Version> {
    let stays = versions.trial().is_some_and(|trial| trial.no_way_back);
    versions.newcomer().filter(|_| stays).unwrap_or_else(|| versions.current())
}

fn is_same_place(one: &PluginFile, other: &PluginFile) -> bool {
    one.topics == other.topics
        && one.start == other.start
        && one.partitions == other.partitions
        && one.rollout == other.rollout
}

fn held(change: Change) -> Option<Arc<Files>> {
    match change {
        Change::Holds(files) => Some(Arc::from(files)),
        Change::Gone { .. } => None,
    }
}

fn name(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A note; the time is set when it is written.
pub(super) fn entry(version: VersionId, what: What) -> Entry {
    Entry { at_ms: 0, version, plugin_version: String::new(), what, reason: String::new(), before: None }
}

pub(super) fn entry_of(version: &Version, what: What) -> Entry {
    Entry { plugin_version: version.says().to_owned(), ..entry(version.id().clone(), what) }
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
