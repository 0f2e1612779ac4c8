//! A run that a seed decides: messages come, processes start, change, take other transforms while they run, fail, stop and
//! crash; at the end everything must be there once.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
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
use super::remembering::{FOREVER, LITTLE, POISON, remembering_plugin};
use super::{End, World, partition, simulate};

/// Parts that tables remember: all of a run, hardly any, none.
const WINDOWS: [usize; 3] = [10_000, 100, 0];

/// The plugin that remembers, in versions that do the same.
static VERSIONS: LazyLock<[Bytes; 3]> =
    LazyLock::new(|| ["1.0.0", "1.0.1", "1.1.0"].map(|version| remembering_plugin(version, 1, &[])));

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

/// Runs a seed: half of them messages as they are, half of them a plugin that remembers, and every second time changes under
/// its lanes.
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
        let what = if seed.is_multiple_of(2) { What::Bronze } else { What::Remembering };
        let partitions = 1 + i32::try_from(world.chance.below(3)).unwrap_or(0);
        world.topics.create("t", partitions);
        world.batch.max_messages = 1 + world.chance.below(10) as usize;
        if what == What::Remembering {
            remember(world);
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
            faults += 1;
            faults += exchange(world, round, what).await;
            endure(world).await;
        }
        for feeder in feeders {
            drop(feeder.await);
        }
        world.finish().await;
        let wrong = match what {
            What::Bronze => world.wrong(),
            What::Remembering => world.wrong_memories(),
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
                        What::Remembering => event(&chance, topics.messages(&to).len()),
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
/// then far beyond the clock.
fn event(chance: &Chance, place: usize) -> String {
    let id = i64::from(chance.below(12)) + if chance.per_mille(300) { FOREVER } else { 0 };
    let k = if chance.per_mille(20) { POISON } else { i64::from(chance.below(6)) };
    let t = i64::try_from(place).unwrap_or(0) * 300 + i64::from(chance.below(3_000));
    let t = if chance.per_mille(5) { t + 1_000_000 } else { t };
    format!(r#"{{"before":null,"after":{{"id":{id},"k":{k},"t":{t}}},"op":"c"}}"#)
}

/// A plugin that remembers, in one of its versions; the watermark of an idle partition may follow the clock.
fn remember(world: &mut World) {
    let wasm = VERSIONS[world.chance.below(3) as usize].clone();
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
        What::Remembering => 20_000 * i64::from(round + 1) + i64::from(world.chance.below(20_000)),
    });
    world.until_idle = world.chance.per_mille(500);
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
        What::Remembering => remember(world),
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
