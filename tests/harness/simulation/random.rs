//! A run that a seed decides: messages come, processes start, change, take other transforms while they run, fail, stop and
//! crash; at the end everything must be there once.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use engine::clock::{Clock, SimulatedClock};
use engine::config::{Failure, FailurePolicy};
use engine::engine::EngineError;
use engine::journal::{Commit, JournalError};
use engine::offsets::LaneId;
use engine::random::Random;
use engine::simulation::{Chance, Process};
use engine::sink::SimulatedTables;
use engine::source::SimulatedTopics;
use engine::transform::EventTimeSettings;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::reloading::run_reloading;
use super::remembering::{CURSED, DAY, FOREVER, LITTLE, POISON, remembering_plugin, unsteady_plugin};
use super::{End, World, partition, simulate};

/// Parts that tables remember: all of a run, hardly any, none.
const WINDOWS: [usize; 3] = [10_000, 100, 0];

/// The plugin that remembers, in versions that do the same.
static VERSIONS: LazyLock<[Bytes; 3]> =
    LazyLock::new(|| ["1.0.0", "1.0.1", "1.1.0"].map(|version| remembering_plugin(version, 1, &[])));

/// The same on bad days, which come and go.
static UNSTEADY: LazyLock<[Bytes; 2]> = LazyLock::new(|| ["1.0.0", "1.0.1"].map(unsteady_plugin));

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Crashes, stops, reloads, failed disks and failed inserts.
    pub faults: u64,
    /// What was wrong at the end.
    pub wrong: Vec<String>,
    /// All that was committed, in order: two runs of a seed do the same.
    pub commits: Vec<(LaneId, Commit)>,
}

/// Runs a seed: of eight, three messages as they are, two a plugin that remembers, one the same with bad days, and two one that
/// changes under its lanes.
///
/// # Panics
/// If the run does not come to its end.
#[must_use]
pub fn run_seed(seed: u64) -> Outcome {
    let window = WINDOWS[Random::new(seed).index(WINDOWS.len())];
    simulate(seed, window, async |world| {
        if seed % 4 == 3 {
            return run_reloading(world).await;
        }
        let what = match seed % 8 {
            0 | 2 | 4 => What::Bronze,
            6 => What::Unsteady,
            _ => What::Remembering,
        };
        let partitions = 1 + i32::try_from(world.chance.below(3)).unwrap_or(0);
        world.topics.create("t", partitions);
        world.batch.max_messages = 1 + world.chance.below(10) as usize;
        if what != What::Bronze {
            remember(world, what);
        }
        let (mut faults, mut feeders) = (0, Vec::new());
        for round in 0..1 + world.chance.below(6) {
            feeders.push(feed(world.topics.clone(), world.tables.clone(), world.chance.clone(), partitions, what));
            vary(world, round, what);
            let process = match world.chance.below(3) {
                0 => Process::default(),
                _ => Process::ending_at_count(world.chance.below(100)),
            };
            world.start(process);
            let days = (what == What::Unsteady).then(|| days(world.clock.clone(), world.chance.clone()));
            faults += 1;
            faults += exchange(world, round, what).await;
            endure(world).await;
            days.iter().for_each(JoinHandle::abort);
        }
        for feeder in feeders {
            drop(feeder.await);
        }
        if what == What::Unsteady {
            good_day(world, partitions);
        }
        world.finish().await;
        let wrong = match what {
            What::Bronze => world.wrong(),
            What::Remembering | What::Unsteady => world.wrong_memories(),
        };
        let faults = faults + world.tables.faults() + world.disk.torn();
        Outcome { faults, wrong, commits: world.disk.commits() }
    })
}

/// What runs in the lanes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Bronze,
    Remembering,
    /// A plugin that remembers, and fails on everything for a while.
    Unsteady,
}

/// Days go by while the process runs.
fn days(clock: SimulatedClock, chance: Chance) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(10 + u64::from(chance.below(100)))).await;
            clock.set(clock.now_ms() + i64::from(chance.below(2_000)));
        }
    })
}

/// The plugin works from now on, also for lanes whose clock is ahead.
fn good_day(world: &World, partitions: i32) {
    let clocks = (0..partitions).map(|partition| {
        let (position, open) = world.journal(partition);
        open.last().map_or(position.clock_ms, |intent| intent.clock_ms)
    });
    let now = clocks.fold(world.clock.now_ms(), i64::max);
    world.clock.set((now | (2 * DAY - 1)) + 1);
}

/// Messages and holes, and another writer's parts in the tables, over two seconds.
fn feed(
    topics: SimulatedTopics,
    tables: SimulatedTables,
    chance: Chance,
    partitions: i32,
    what: What,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0..chance.below(60) {
            let to = partition(i32::try_from(chance.below(partitions.unsigned_abs())).unwrap_or(0));
            match chance.below(10) {
                0 => topics.hole(&to, 1 + i64::from(chance.below(3))),
                1 => drop(topics.produce(&to, Some(b"key"), None)),
                2 => {
                    tables.crowd("`db`.`rows`", chance.below(6).into());
                    tables.crowd("`db`.`fresh`", chance.below(6).into());
                }
                _ => {
                    let value = match what {
                        What::Bronze => format!("{to} {number}"),
                        What::Remembering => event(&chance, topics.messages(&to).len(), true),
                        What::Unsteady => event(&chance, topics.messages(&to).len(), false),
                    };
                    topics.produce(&to, None, Some(value.as_bytes()));
                }
            }
            if chance.per_mille(400) {
                sleep(Duration::from_millis(chance.below(80).into())).await;
            }
        }
    })
}

/// An event of few ids and keys, so that they repeat, whose time goes on with the partition, out of order, and is now and
/// then far beyond the clock. On some of those with poison the plugin fails on any day.
fn event(chance: &Chance, place: usize, poison: bool) -> String {
    let id = i64::from(chance.below(12)) + if chance.per_mille(300) { FOREVER } else { 0 };
    let harmless = u32::try_from(CURSED).unwrap_or(0); // those below it
    let k = match poison {
        true if chance.per_mille(20) => POISON,
        true => i64::from(chance.below(harmless + 1)),
        false => i64::from(chance.below(harmless)),
    };
    let t = i64::try_from(place).unwrap_or(0) * 300 + i64::from(chance.below(3_000));
    let t = if chance.per_mille(5) { t + 1_000_000 } else { t };
    format!(r#"{{"before":null,"after":{{"id":{id},"k":{k},"t":{t}}},"op":"c"}}"#)
}

/// A plugin that remembers, in one of its versions; the watermark of an idle partition may follow the clock.
fn remember(world: &mut World, what: What) {
    let wasm = if what == What::Unsteady {
        let policy = if world.chance.per_mille(600) { FailurePolicy::Park } else { FailurePolicy::Pause };
        world.failure = Failure { policy, max_failures: 0 };
        UNSTEADY[world.chance.below(2) as usize].clone()
    } else {
        VERSIONS[world.chance.below(3) as usize].clone()
    };
    // Few of them: each is another transform, and to compile one takes longer than a run.
    let idle_ms = world.chance.per_mille(300).then(|| [200, 500, 1_000][world.chance.below(3) as usize]);
    let event_time = EventTimeSettings { delay_ms: None, idle_ms };
    // Each run of entries on the disk is synced, really: seldom.
    let little = world.chance.per_mille(50);
    world.deploy_plugin_with(wasm, |settings| {
        settings.event_time = event_time;
        if little {
            settings.limits.state_bytes = LITTLE;
        }
    });
}

/// Another time of day, other settings, other faults.
fn vary(world: &mut World, round: u32, what: What) {
    world.clock.set(match what {
        What::Bronze => 1_000 + i64::from(world.chance.below(100)),
        What::Remembering | What::Unsteady => 20_000 * i64::from(round + 1) + i64::from(world.chance.below(20_000)),
    });
    world.until_idle = world.chance.per_mille(500) && what != What::Unsteady; // it would end with the lane that waits
    if world.chance.per_mille(300) {
        deploy(world, round, what);
    }
    let pick = |choices: [u32; 3]| choices[world.chance.below(3) as usize];
    world.tables.trouble(pick([0, 100, 400]));
    world.topics.trouble(pick([0, 0, 300]));
    let fails = world.chance.per_mille(200);
    world.disk.fail_after(fails.then(|| world.chance.below(20)));
}

/// Another transform.
fn deploy(world: &mut World, round: u32, what: What) {
    match what {
        What::Bronze => world.deploy_bronze(&format!("rows_{round}_{}", world.chance.below(3))),
        What::Remembering | What::Unsteady => remember(world, what),
    }
}

/// Now and then gives the process other transforms while it runs, some of them in quick succession. Says how often.
async fn exchange(world: &mut World, round: u32, what: What) -> u64 {
    let times = [0, 0, 1, 3][world.chance.below(4) as usize];
    for _ in 0..times {
        // Not longer than the process runs: whether it has ended is looked at behind this.
        sleep(Duration::from_millis(world.chance.below(400).into())).await;
        deploy(world, round, what);
        world.reload();
    }
    times
}

/// Lets the process run until it ends, crashes, is stopped or is ended.
pub(super) async fn endure(world: &mut World) {
    let patience = Duration::from_millis(world.chance.below(3_000).into());
    let end = match world.ended_within(patience).await {
        Some(end) => end,
        None if world.chance.per_mille(500) => world.stop().await,
        None => return world.crash().await,
    };
    match end {
        End::Crashed
        | End::Itself(Ok(()) | Err(EngineError::Journal(JournalError::Storage { .. } | JournalError::Closed))) => {}
        End::Itself(Err(error)) => panic!("{}", engine::disposition::in_words(&error)),
    }
}
