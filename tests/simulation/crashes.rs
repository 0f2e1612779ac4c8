//! Crashes, at every step there is.

use engine::simulation::{Phase, Process, Step};
use engine::sink::InsertFault;
use harness::simulation::{End, World, partition, simulate};

/// A topic of one partition with so many messages, in epochs of at most five.
fn world_with(world: &World, messages: usize) {
    world.topics.create("t", 1);
    world.produce(0, messages);
}

/// GIVEN a process that crashes at this step, WHEN the next one has run, THEN each message is one row.
fn crash_at(step: Step, nth: u32, open: usize) {
    simulate(1, 100, async |world| {
        world_with(world, 12);
        world.start(Process::ending_at(step, nth));
        assert!(matches!(world.ended().await, End::Crashed), "{step:?} is never taken");
        // The disk decides what it keeps when it is opened again: before that, only what was synced counts.
        assert_eq!(world.journal(0).1.len(), open, "open epochs after a crash at {step:?}");
        world.finish().await;
        world.check();
    });
}

#[test]
fn a_crash_before_the_intent_leaves_nothing() {
    crash_at(Step::Intend(Phase::Before), 0, 0);
    crash_at(Step::Intend(Phase::Between), 0, 0);
}

#[test]
fn a_crash_between_intent_and_insert_leaves_an_open_epoch() {
    crash_at(Step::Intend(Phase::After), 0, 1);
}

#[test]
fn a_crash_while_the_insert_is_on_its_way_leaves_an_open_epoch() {
    crash_at(Step::Insert(Phase::Between), 0, 1);
}

#[test]
fn a_crash_after_the_insert_leaves_an_open_epoch() {
    simulate(1, 100, async |world| {
        // One epoch alone, so that no second intent stands beside it.
        world_with(world, 1);
        world.start(Process::ending_at(Step::Commit(Phase::Before), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        assert_eq!((world.journal(0).1.len(), world.rows("rows").len()), (1, 1));
        world.finish().await;
        world.check();
    });
}

#[test]
fn a_crash_after_the_commit_leaves_nothing_to_do() {
    simulate(1, 100, async |world| {
        world_with(world, 1);
        world.start(Process::ending_at(Step::Commit(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        assert_eq!(world.journal(0).1.len(), 0);
        let intents = world.disk.intents().len();
        world.finish().await;
        assert_eq!(world.disk.intents().len(), intents, "nothing is decided again");
        world.check();
    });
}

/// GIVEN a run, WHEN its process crashes at its n-th step, for each n there is, and the process that recovers crashes
/// at each of its steps as well, THEN each message is one row.
#[test]
fn a_crash_at_any_step_and_again_during_recovery_loses_and_doubles_nothing() {
    let mut ran_through = false;
    for first in 0.. {
        for second in [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30] {
            let crashed = simulate(u64::from(first), 100, async |world| {
                world_with(world, 9);
                world.start(Process::ending_at_count(first));
                let crashed = matches!(world.ended().await, End::Crashed);
                world.start(Process::ending_at_count(second));
                drop(world.ended().await);
                world.finish().await;
                world.check();
                crashed
            });
            ran_through |= !crashed;
        }
        if ran_through {
            assert!(first > 15, "a run has more steps than {first}");
            return;
        }
    }
}

/// GIVEN two epochs in flight, WHEN the process crashes, THEN the next one ends both, in order.
#[test]
fn two_open_epochs_are_ended_in_order() {
    simulate(2, 100, async |world| {
        world_with(world, 10);
        world.batch.max_messages = 1;
        world.tables.script([Some(InsertFault::Hang)]);
        world.start(Process::ending_at(Step::Intend(Phase::After), 1));
        assert!(matches!(world.ended().await, End::Crashed));
        let open: Vec<_> = world.journal(0).1.iter().map(|intent| intent.epoch).collect();
        assert_eq!(open, [1, 2]);
        world.finish().await;
        let commits: Vec<_> = world.disk.commits().iter().map(|(_, commit)| commit.epoch).collect();
        assert_eq!(commits, (1..=10).collect::<Vec<_>>());
        world.check();
    });
}

/// GIVEN an epoch decided with other settings than those that run now, WHEN it is made again, THEN it goes where it was
/// decided to go, and the next epoch where the settings say now.
#[test]
fn an_open_epoch_is_ended_with_what_it_was_decided_with() {
    simulate(3, 100, async |world| {
        world_with(world, 1);
        world.start(Process::ending_at(Step::Intend(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        world.deploy_bronze("other");
        world.produce(0, 1);
        world.finish().await;
        let offsets = |table: &str| world.rows(table).iter().map(|row| row.offset).collect::<Vec<_>>();
        assert_eq!((offsets("rows"), offsets("other")), (vec![0], vec![1]));
        world.check();
    });
}

/// GIVEN an epoch that crashed before its intent, WHEN messages have come since, THEN it may be another epoch.
#[test]
fn what_was_not_decided_is_collected_anew() {
    simulate(4, 100, async |world| {
        world_with(world, 1);
        world.start(Process::ending_at(Step::Intend(Phase::Before), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        world.topics.hole(&partition(0), 3);
        world.produce(0, 4);
        world.finish().await;
        world.check();
    });
}
