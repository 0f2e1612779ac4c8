//! A run in which the plugin changes under its lanes: versions that do the same, with other settings, tables or state, and
//! versions with a bug, come at any moment, on trial or at once, and the process crashes, fails and stops in between.
//!
//! All versions do what the model of [`super::remembering`] does, so the tables must hold what it says, whichever ran. One
//! with a bug faults on some rows: none of what it did with them may be seen, as the one before made them again.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use engine::artifacts::Artifacts;
use engine::config::{Mode, Promote, Rollout};
use engine::deploy::{News, Plugins, VersionId, Versions};
use engine::journal::{Intent, SimulatedDisk};
use engine::offsets::LaneId;
use engine::simulation::{Chance, Process};
use engine::sink::{SimulatedTables, epoch_column};
use engine::source::SimulatedTopics;
use engine::transform::Transform;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::random::{Outcome, endure};
use super::remembering::{FOREVER, SILENT, faulty_plugin, remembering_plugin};
use super::world::{built, version};
use super::{End, World, partition};

/// The key on which versions with a bug trap.
const BAD: i64 = 3;

/// A version of the plugin.
#[derive(Clone)]
struct Variant {
    transform: Transform,
    faulty: bool,
    /// What a lane keeps that has anything, it does not read.
    blind: bool,
}

static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| {
    let of = |wasm, idle_ms: Option<u64>, fresh: Option<&str>| {
        let transform = built(wasm, |settings| {
            settings.plugin_column = true;
            settings.event_time.idle_ms = idle_ms;
            settings.tables.extend(fresh.map(|table| ("fresh".to_owned(), table.to_owned())));
        });
        Variant { transform, faulty: false, blind: false }
    };
    let plain = |version: &str| remembering_plugin(version, 1, &[2]);
    vec![
        of(plain("1.0.0"), None, None),
        of(plain("1.0.1"), None, None),
        of(plain("1.0.0"), Some(500), None),
        of(plain("1.0.0"), None, Some("fresh_too")),
        // The first three read the state of this one, and not that of the next two.
        of(remembering_plugin("2.0.0", 2, &[1]), None, None),
        of(remembering_plugin("3.0.0", 3, &[1, 2]), None, None),
        of(remembering_plugin("3.0.1", 3, &[1, 2]), Some(200), None),
        Variant { blind: true, ..of(remembering_plugin("4.0.0", 4, &[]), None, None) },
        Variant { faulty: true, ..of(faulty_plugin("1.9.0", 1, &[2], BAD), None, None) },
        Variant { faulty: true, ..of(faulty_plugin("2.9.0", 2, &[1], BAD), None, Some("fresh_too")) },
    ]
});

/// What outlives a process: which version is current, and which is on trial.
#[derive(Clone)]
struct Published {
    current: Transform,
    on_trial: Option<(Transform, Rollout)>,
    /// Versions came that lanes can't go back from.
    beyond: bool,
}

/// Publishes versions into a running process.
struct Publisher {
    published: Arc<Mutex<Published>>,
    plugins: Plugins,
    versions: Arc<Versions>,
    chance: Chance,
    tables: SimulatedTables,
    disk: SimulatedDisk,
    lanes: Vec<LaneId>,
}

/// Runs a world in which the plugin changes.
///
/// # Panics
/// If the run does not come to its end.
pub(super) async fn run_reloading(world: &mut World) -> Outcome {
    let partitions = 1 + i32::try_from(world.chance.below(3)).unwrap_or(0);
    world.topics.create("t", partitions);
    world.batch.max_messages = 1 + world.chance.below(10) as usize;
    for variant in &*VARIANTS {
        world.uses(&variant.transform);
    }
    world.deploy(VARIANTS[0].transform.clone());
    let published = Published { current: VARIANTS[0].transform.clone(), on_trial: None, beyond: false };
    let published = Arc::new(Mutex::new(published));
    let (mut faults, mut feeders) = (0, Vec::new());
    for round in 0..1 + world.chance.below(6) {
        feeders.push(feed(world.topics.clone(), world.chance.clone(), partitions));
        vary(world, round);
        world.runs(&published);
        let process = match world.chance.below(3) {
            0 => Process::default(),
            _ => Process::ending_at_count(world.chance.below(150)),
        };
        world.start(process);
        let publisher = tokio::spawn(Publisher::new(world, &published, partitions).publish());
        faults += 1;
        endure(world).await;
        publisher.abort();
        drop(publisher.await);
    }
    for feeder in feeders {
        drop(feeder.await);
    }
    world.runs(&published);
    world.finish().await;
    let mut wrong = world.wrong_memories();
    world.check_versions(&mut wrong);
    let faults = faults + world.tables.faults() + world.disk.torn();
    Outcome { faults, wrong, commits: world.disk.commits() }
}

/// One change of the plugin, in the midst of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To a version with which lanes go on with what they have at hand.
    OnTheSpot,
    /// To one with another table, for which they begin anew.
    OtherTable,
    /// To one whose state the one before does not read.
    OtherState,
    /// To one that faults and is withdrawn.
    WithBug,
    /// To one with another table, and by an operator's word back to the one before.
    AndBack,
}

/// What a run with one change came to.
#[derive(Debug, Default)]
pub struct Changed {
    /// Its first process crashed.
    pub crashed: bool,
    /// When the lane ran the newcomer, and nothing by it was committed.
    pub before_first_commit: bool,
    /// When the newcomer was withdrawn or rolled back from, and nothing by the one before was committed since.
    pub on_the_way_back: bool,
    /// The newcomer made an epoch.
    pub newcomer_ran: bool,
    /// What was wrong at the end.
    pub wrong: Vec<String>,
}

/// Runs one partition, whose plugin changes in the midst, in these two processes and one that ends everything.
///
/// # Panics
/// If the run does not come to its end.
pub async fn run_change(world: &mut World, change: Change, processes: [Process; 2]) -> Changed {
    let newcomer = &VARIANTS[match change {
        Change::OnTheSpot => 1,
        Change::OtherTable | Change::AndBack => 3,
        Change::OtherState => 5,
        Change::WithBug => 8,
    }];
    let former = VARIANTS[0].transform.clone();
    let lasts = matches!(change, Change::WithBug | Change::AndBack);
    let probation = if lasts { Duration::MAX } else { Duration::from_millis(100) };
    let rules = Rollout { probation, probation_rows: None, ..Rollout::default() };
    world.topics.create("t", 1);
    (world.batch.max_messages, world.until_idle) = (2, false);
    VARIANTS.iter().for_each(|variant| world.uses(&variant.transform));
    world.deploy(former.clone());
    (0..3).for_each(|id| world.event(0, [id, id % 2, id * 300]));
    let [first, second] = processes;
    world.start(first);
    let (lanes, versions) = (world.lanes(), world.plugins().all().remove(0));
    sleep(Duration::from_millis(80)).await;
    let coming = version(&newcomer.transform);
    coming.prepare(&world.tables.open(Process::default())).await.expect("there are all tables");
    world.on_trial = Some((newcomer.transform.clone(), rules.clone()));
    versions.try_out(coming.clone(), rules);
    (3..6).for_each(|id| world.event(0, [id, if id == 4 { BAD } else { id % 2 }, id * 300]));
    sleep(Duration::from_millis(80)).await;
    if change == Change::AndBack {
        world.on_trial = None;
        versions.replace(version(&former));
        (6..9).for_each(|id| world.event(0, [id, id % 2, id * 300]));
    }
    let crashed = matches!(world.ended_within(Duration::from_secs(2)).await, Some(End::Crashed));
    let mut changed = Changed { crashed, ..Changed::default() };
    if changed.crashed {
        let runs = lanes.all().first().map(|lane| lane.view().version);
        let makers = world.makers_of_commits();
        let by_newcomer = makers.iter().filter(|maker| *maker == coming.id()).count();
        let news = versions.take_news();
        let withdrawn = news.iter().any(|news| matches!(news, News::Withdrawn { .. }));
        let rolled_back = change == Change::AndBack && by_newcomer > 0;
        changed.before_first_commit = runs.as_ref() == Some(coming.id()) && by_newcomer == 0;
        changed.on_the_way_back = withdrawn || rolled_back && makers.last() == Some(coming.id());
        // Whoever publishes versions had written down what became of the newcomer, or had not.
        if withdrawn && world.chance.per_mille(500) {
            world.on_trial = None;
        }
    } else {
        drop(world.stop().await);
    }
    world.start(second);
    if world.ended_within(Duration::from_secs(2)).await.is_none() {
        drop(world.stop().await);
    }
    world.finish().await;
    changed.newcomer_ran = world.makers_of_commits().contains(coming.id());
    changed.wrong = world.wrong_memories();
    world.check_versions(&mut changed.wrong);
    changed
}

impl World {
    /// The versions by which committed epochs were made, in order; those that needed no intent left out.
    fn makers_of_commits(&self) -> Vec<VersionId> {
        let intents = self.disk.intents();
        let made = |epoch: u64| intents.iter().find(|(_, intent)| intent.epoch == epoch);
        let commits = self.disk.commits();
        let makers = commits.iter().filter_map(|(_, commit)| made(commit.epoch));
        makers.map(|(_, intent)| VersionId::of_intent(intent)).collect()
    }

    /// Each row says which version made it: the one that its epoch was written down with, and that was noted as the maker of
    /// that epoch, and which reads all versions of the state that epochs before were made with. No version with a bug made a
    /// row of what it fails on.
    fn check_versions(&self, wrong: &mut Vec<String>) {
        let artifacts = Artifacts::open(self.data()).expect("a temporary folder");
        let intents: BTreeMap<_, _> =
            self.disk.intents().into_iter().map(|(lane, it)| ((lane.number(), it.epoch), it)).collect();
        for found in self.topics.partitions() {
            let lane = self.lane(found.partition.partition);
            let makers = artifacts.makers(&lane).expect("they can be read");
            let mut written = Vec::new();
            for intent in intents.iter().filter(|((of, _), _)| *of == lane.number()).map(|(_, intent)| intent) {
                let epoch = epoch_column(intent.generation, intent.epoch);
                let maker = makers.iter().rev().find(|maker| maker.epoch <= epoch);
                if maker.is_none_or(|maker| VersionId::of_intent(intent) != maker.version()) {
                    wrong.push(format!("{lane}: epoch {} was made by another than {maker:?}", intent.epoch));
                }
                let made_by = VARIANTS.iter().find(|it| VersionId::of(&it.transform) == VersionId::of_intent(intent));
                if made_by.is_none_or(|variant| !version(&variant.transform).reads(&written)) {
                    wrong.push(format!("{lane}: epoch {} was made over state of versions {written:?}", intent.epoch));
                }
                written.extend(intent.state_version);
            }
        }
        for table in self.used.iter().filter(|table| !table.contains("dead_letters")) {
            for batch in self.tables.blocks(table).iter().flatten() {
                check_rows(table, batch, &intents, wrong);
            }
        }
    }

    fn runs(&mut self, published: &Mutex<Published>) {
        let Published { current, on_trial, .. } = locked(published).clone();
        (self.transform, self.on_trial) = (current, on_trial);
    }
}

impl Publisher {
    fn new(world: &World, published: &Arc<Mutex<Published>>, partitions: i32) -> Self {
        let plugins = world.plugins();
        Self {
            published: published.clone(),
            versions: plugins.all().into_iter().next().expect("there is one"),
            plugins,
            chance: world.chance.clone(),
            tables: world.tables.clone(),
            disk: world.disk.clone(),
            lanes: (0..partitions).map(|partition| world.lane(partition)).collect(),
        }
    }

    async fn publish(mut self) {
        loop {
            sleep(Duration::from_millis(self.chance.below(400).into())).await;
            self.hear();
            match self.chance.below(8) {
                0 => self.replace().await,
                1 => self.remove_for_a_while().await,
                _ => self.try_out().await,
            }
        }
    }

    /// What lanes have told is noted before anything else happens.
    fn hear(&self) {
        for news in self.versions.take_news() {
            let mut published = locked(&self.published);
            match news {
                News::Passed { .. } => {
                    if let Some((newcomer, _)) = published.on_trial.take() {
                        published.current = newcomer;
                    }
                }
                News::Withdrawn { .. } => published.on_trial = None,
                News::Moved { .. } => {}
            }
        }
    }

    /// A newcomer, noted before any lane can run it. A version with a bug is watched for as long as there are rows.
    async fn try_out(&self) {
        let variant = &VARIANTS[self.chance.below(u32::try_from(VARIANTS.len()).expect("few")) as usize];
        let kept_nothing = |lane| self.disk.lane(lane).0.state_versions.is_empty();
        if variant.blind && (self.versions.trial().is_some() || self.lanes.iter().any(kept_nothing)) {
            return; // it would take what it finds, and others could not read what it leaves
        }
        if !variant.blind && !self.fits(&variant.transform) {
            return; // refused: a lane keeps what it does not read
        }
        let for_ever = variant.faulty || variant.blind;
        let rules = Rollout {
            mode: if self.chance.per_mille(300) { Mode::Canary } else { Mode::Replace },
            share: 0.5,
            probation: if for_ever { Duration::MAX } else { Duration::from_millis(self.chance.below(600).into()) },
            probation_rows: (!for_ever && self.chance.per_mille(300)).then(|| self.chance.below(10).into()),
            promote: if self.chance.per_mille(700) { Promote::WhenEqual } else { Promote::ByHand },
            ..Rollout::default()
        };
        let newcomer = version(&variant.transform);
        if self.chance.per_mille(800) {
            newcomer.prepare(&self.tables.open(Process::default())).await.expect("there are all tables");
        }
        self.hear();
        let mut published = locked(&self.published);
        if self.versions.trial().is_some_and(|trial| trial.no_way_back)
            && let Some((former, _)) = published.on_trial.take()
        {
            published.current = former;
        }
        published.beyond |= variant.transform.state_version() == Some(3);
        published.on_trial =
            (!variant.transform.is_same(&published.current)).then(|| (variant.transform.clone(), rules.clone()));
        drop(published);
        self.versions.try_out(newcomer, rules);
    }

    /// Whether a version reads what lanes keep, and what the one that runs is about to write.
    fn fits(&self, transform: &Transform) -> bool {
        let stays = self.versions.trial().is_some_and(|trial| trial.no_way_back);
        let runs = self.versions.newcomer().filter(|_| stays).unwrap_or_else(|| self.versions.current());
        let mut kept = self.kept();
        kept.extend(runs.transform.state_version());
        version(transform).reads(&kept)
    }

    /// Versions of the state that lanes keep, or will.
    fn kept(&self) -> Vec<u32> {
        self.disk.state_versions(self.versions.tenant(), self.versions.name())
    }

    /// An operator's word: one of those that read whatever may be kept.
    async fn replace(&self) {
        let fits = |variant: &&Variant| {
            let beyond = locked(&self.published).beyond;
            !variant.faulty && !variant.blind && (!beyond || variant.transform.state_version() == Some(3))
        };
        let fit: Vec<_> = VARIANTS.iter().filter(fits).collect();
        let variant = fit[self.chance.below(u32::try_from(fit.len()).expect("few")) as usize];
        let now = version(&variant.transform);
        now.prepare(&self.tables.open(Process::default())).await.expect("there are all tables");
        let mut published = locked(&self.published);
        published.beyond |= variant.transform.state_version() == Some(3);
        (published.current, published.on_trial) = (variant.transform.clone(), None);
        drop(published);
        self.versions.replace(now);
    }

    /// The folder is away, and comes back with what ran.
    async fn remove_for_a_while(&mut self) {
        self.plugins.remove(self.versions.key());
        sleep(Duration::from_millis(self.chance.below(200).into())).await;
        self.hear(); // lanes that end may have withdrawn it
        let Published { current, on_trial, .. } = locked(&self.published).clone();
        let versions = Versions::new(version(&current));
        if let Some((newcomer, rules)) = on_trial {
            versions.try_out(version(&newcomer), rules);
            versions.trial_goes_on(&self.kept());
        }
        self.versions = Arc::new(versions);
        self.plugins.insert(self.versions.clone());
    }
}

/// Events on which versions without a bug never fault.
fn feed(topics: SimulatedTopics, chance: Chance, partitions: i32) -> JoinHandle<()> {
    tokio::spawn(async move {
        for _ in 0..chance.below(60) {
            let to = partition(i32::try_from(chance.below(partitions.unsigned_abs())).unwrap_or(0));
            let id = i64::from(chance.below(12)) + if chance.per_mille(300) { FOREVER } else { 0 };
            let k = if chance.per_mille(100) { BAD } else { [0, 1, 2, SILENT][chance.below(4) as usize] };
            let place = i64::try_from(topics.messages(&to).len()).unwrap_or(0);
            let t = place * 300 + i64::from(chance.below(3_000));
            let value = format!(r#"{{"before":null,"after":{{"id":{id},"k":{k},"t":{t}}},"op":"c"}}"#);
            topics.produce(&to, None, Some(value.as_bytes()));
            if chance.per_mille(600) {
                sleep(Duration::from_millis(chance.below(80).into())).await;
            }
        }
    })
}

fn vary(world: &mut World, round: u32) {
    world.clock.set(20_000 * i64::from(round + 1) + i64::from(world.chance.below(20_000)));
    world.until_idle = world.chance.per_mille(300);
    let pick = |choices: [u32; 3]| choices[world.chance.below(3) as usize];
    world.tables.trouble(pick([0, 100, 400]));
    world.topics.trouble(pick([0, 0, 300]));
    let fails = world.chance.per_mille(200);
    world.disk.fail_after(fails.then(|| world.chance.below(20)));
}

fn check_rows(table: &str, batch: &RecordBatch, intents: &BTreeMap<(u64, u64), Intent>, wrong: &mut Vec<String>) {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}"));
    let (lanes, epochs) = (column("_lane").as_primitive::<UInt64Type>(), column("_epoch").as_primitive::<UInt64Type>());
    let makers = column("_plugin").as_string::<i32>();
    let keys = column("k").as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        let epoch = epochs.value(row) & 0xffff_ffff_ffff;
        let Some(intent) = intents.get(&(lanes.value(row), epoch)) else {
            wrong.push(format!("{table}: a row of epoch {epoch}, which nobody has written down"));
            continue;
        };
        let maker = makers.value(row);
        if maker.split_once('@').is_none_or(|(_, digest)| !intent.plugin_digest.starts_with(digest)) {
            wrong.push(format!("{table}: a row of epoch {epoch} by {maker}, not {}", intent.plugin_digest));
        }
        let faulty = maker.contains(".9.");
        if faulty && table.contains("fresh") && keys.value(row) == BAD {
            wrong.push(format!("{table}: a row of epoch {epoch} by a version that fails on it"));
        }
    }
}

fn locked(published: &Mutex<Published>) -> MutexGuard<'_, Published> {
    published.lock().unwrap_or_else(PoisonError::into_inner)
}
