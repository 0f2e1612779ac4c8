//! A run that a seed decides: messages come, processes start, change, fail, stop and crash; at the end everything must
//! be there once.

use std::time::Duration;

use engine::engine::EngineError;
use engine::journal::{Commit, JournalError};
use engine::offsets::LaneId;
use engine::random::Random;
use engine::simulation::{Chance, Process};
use engine::sink::SimulatedTables;
use engine::source::SimulatedTopics;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{End, World, partition, simulate};

/// Parts that tables remember: all of a run, hardly any, none.
const WINDOWS: [usize; 3] = [10_000, 100, 0];

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Crashes, stops, failed disks and failed inserts.
    pub faults: u64,
    /// What was wrong at the end.
    pub wrong: Vec<String>,
    /// All that was committed, in order: two runs of a seed do the same.
    pub commits: Vec<(LaneId, Commit)>,
}

/// Runs a seed.
///
/// # Panics
/// If the run does not come to its end.
#[must_use]
pub fn run_seed(seed: u64) -> Outcome {
    let window = WINDOWS[Random::new(seed).index(WINDOWS.len())];
    simulate(seed, window, async |world| {
        let partitions = 1 + i32::try_from(world.chance.below(3)).unwrap_or(0);
        world.topics.create("t", partitions);
        world.batch.max_messages = 1 + world.chance.below(10) as usize;
        let (mut faults, mut feeders) = (0, Vec::new());
        for round in 0..1 + world.chance.below(6) {
            feeders.push(feed(world.topics.clone(), world.tables.clone(), world.chance.clone(), partitions));
            vary(world, round);
            let process = match world.chance.below(3) {
                0 => Process::default(),
                _ => Process::ending_at_count(world.chance.below(100)),
            };
            world.start(process);
            faults += 1;
            endure(world).await;
        }
        for feeder in feeders {
            drop(feeder.await);
        }
        world.finish().await;
        Outcome { faults: faults + world.tables.faults(), wrong: world.wrong(), commits: world.disk.commits() }
    })
}

/// Messages and holes, and another writer's parts in the tables, over two seconds.
fn feed(topics: SimulatedTopics, tables: SimulatedTables, chance: Chance, partitions: i32) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0..chance.below(60) {
            let to = partition(i32::try_from(chance.below(partitions.unsigned_abs())).unwrap_or(0));
            match chance.below(10) {
                0 => topics.hole(&to, 1 + i64::from(chance.below(3))),
                1 => drop(topics.produce(&to, Some(b"key"), None)),
                2 => tables.crowd("`db`.`rows`", chance.below(6).into()),
                _ => drop(topics.produce(&to, None, Some(format!("{to} {number}").as_bytes()))),
            }
            if chance.per_mille(400) {
                sleep(Duration::from_millis(chance.below(80).into())).await;
            }
        }
    })
}

/// Another time of day, other settings, other faults.
fn vary(world: &mut World, round: u32) {
    world.clock.set(1_000 + i64::from(world.chance.below(100)));
    world.until_idle = world.chance.per_mille(500);
    if world.chance.per_mille(300) {
        world.deploy_bronze(&format!("rows_{round}"));
    }
    let pick = |choices: [u32; 3]| choices[world.chance.below(3) as usize];
    world.tables.trouble(pick([0, 100, 400]));
    world.topics.trouble(pick([0, 0, 300]));
    let fails = world.chance.per_mille(200);
    world.disk.fail_after(fails.then(|| world.chance.below(20)));
}

/// Lets the process run until it ends, crashes, is stopped or is ended.
async fn endure(world: &mut World) {
    let patience = Duration::from_millis(world.chance.below(3_000).into());
    let end = match tokio::time::timeout(patience, world.ended()).await {
        Ok(end) => end,
        Err(_) if world.chance.per_mille(500) => world.stop().await,
        Err(_) => return world.crash().await,
    };
    match end {
        End::Crashed
        | End::Itself(Ok(()) | Err(EngineError::Journal(JournalError::Storage { .. } | JournalError::Closed))) => {}
        End::Itself(Err(error)) => panic!("{}", engine::disposition::in_words(&error)),
    }
}
