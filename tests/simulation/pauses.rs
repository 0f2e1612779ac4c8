//! A tenant that an operator pauses and resumes.

use std::time::Duration;

use engine::lane_status::LaneState;
use engine::offsets::DEFAULT_TENANT;
use engine::simulation::Process;
use engine::sink::InsertFault::{FailAfterWrite, FailBefore, HalfWritten};
use harness::simulation::{World, simulate};
use tokio::time::sleep;

/// Lanes, each on a partition.
const LANES: i32 = 2;

/// GIVEN messages that keep coming, WHEN the tenant is paused and resumed at any time, while inserts fail and processes crash,
/// THEN what was open is ended, nothing is read while it is paused, and in the end each message is one row.
#[test]
fn a_paused_tenant_reads_nothing_and_loses_nothing() {
    for seed in 0..30 {
        simulate(seed, 100, async |world| {
            world.topics.create("t", LANES);
            world.until_idle = false;
            world.start(Process::default());
            for _ in 0..8 {
                load(world).await;
                let paused = world.tenants.pause(DEFAULT_TENANT, 0);
                assert!(paused.expect("nothing is written down here"));
                if world.chance.per_mille(300) {
                    restart(world).await;
                }
                stands_still(world).await;
                if world.chance.per_mille(300) {
                    restart(world).await;
                    stands_still(world).await;
                }
                let resumed = world.tenants.resume(DEFAULT_TENANT);
                assert!(resumed.expect("nothing is written down here"));
            }
            drop(world.stop().await);
            world.finish().await;
            world.check();
        });
    }
}

/// Messages, and now and then a fault.
async fn load(world: &mut World) {
    for partition in 0..LANES {
        world.produce(partition, 1 + world.chance.below(12) as usize);
    }
    match world.chance.below(6) {
        0 => world.tables.script([Some(FailAfterWrite), Some(FailBefore)]),
        1 => world.tables.script([Some(HalfWritten)]),
        2 => restart(world).await,
        _ => {}
    }
    sleep(Duration::from_millis(world.chance.below(400).into())).await;
}

async fn restart(world: &mut World) {
    world.crash().await;
    world.start(Process::default());
}

/// Waits until all lanes are paused; then nothing moves, whatever comes.
async fn stands_still(world: &World) {
    let is_paused = |state: &LaneState| matches!(state, LaneState::Paused { .. });
    for looks in 0.. {
        let states: Vec<_> = world.lanes().all().iter().map(|lane| lane.view().state).collect();
        if states.len() == LANES as usize && states.iter().all(is_paused) {
            break;
        }
        assert!(looks < 10_000, "not paused: {states:?}");
        sleep(Duration::from_millis(10)).await;
    }
    let stand = |partition| (world.journal(partition).0, world.journal(partition).1.len());
    let before: Vec<_> = (0..LANES).map(stand).collect();
    for partition in 0..LANES {
        world.produce(partition, 5);
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!((0..LANES).map(stand).collect::<Vec<_>>(), before);
}
