//! The same with a plugin, and with epochs that send nothing.

use engine::simulation::{Phase, Process, Step};
use engine::sink::InsertFault::FailAfterWrite;
use harness::simulation::{End, World, partition, passing_plugin, simulate};

/// A row that was created; `None` is a tombstone, which is no row.
fn produce(world: &World, rows: &[Option<i64>]) {
    for row in rows {
        let value = row.map(|n| format!(r#"{{"before":null,"after":{{"n":{n}}},"op":"c"}}"#));
        world.topics.produce(&partition(0), Some(b"{}"), value.as_deref().map(str::as_bytes));
    }
}

/// In order: blocks of two epochs in flight may land in any.
fn offsets(world: &World) -> Vec<i64> {
    let mut offsets: Vec<_> = world.rows("passed").iter().map(|row| row.offset).collect();
    offsets.sort_unstable();
    offsets
}

/// GIVEN tombstones alone, THEN their epoch is committed without an intent, and sends nothing.
#[test]
fn an_epoch_that_sends_nothing_needs_no_intent() {
    simulate(1, 100, async |world| {
        world.deploy_plugin(passing_plugin());
        world.topics.create("t", 1);
        produce(world, &[None; 5]);
        world.start(Process::default());
        assert!(matches!(world.ended().await, End::Itself(Ok(()))));
        let (position, open) = world.journal(0);
        assert_eq!((position.next_offset, open.len(), world.disk.intents().len()), (Some(5), 0, 0));
        assert!(offsets(world).is_empty());
        produce(world, &[None, Some(7), None]);
        world.finish().await;
        assert_eq!((offsets(world), world.journal(0).0.next_offset), (vec![6], Some(8)));
    });
}

/// GIVEN rows and tombstones in any epochs, WHEN the process crashes at its n-th step, for each n there is, THEN each row
/// is there once: also when an epoch without rows was not committed before the intent behind it was durable.
#[test]
fn a_crash_at_any_step_between_epochs_with_and_without_rows() {
    for step in 0.. {
        let crashed = simulate(step, 100, async |world| {
            world.deploy_plugin(passing_plugin());
            world.batch.max_messages = 1 + world.chance.below(2) as usize;
            world.topics.create("t", 1);
            produce(world, &[Some(1), None, None, None, Some(2), Some(3), None]);
            world.tables.script([Some(FailAfterWrite)]);
            world.start(Process::ending_at_count(u32::try_from(step).expect("few")));
            let crashed = matches!(world.ended().await, End::Crashed);
            world.finish().await;
            assert_eq!(offsets(world), [0, 4, 5], "a crash at step {step}");
            assert_eq!((world.journal(0).0.next_offset, world.journal(0).1.len()), (Some(7), 0));
            crashed
        });
        if !crashed {
            assert!(step > 20, "a run has more steps than {step}");
            return;
        }
    }
}

/// GIVEN an epoch that a plugin decided, WHEN bronze has taken its place, THEN the epoch is ended by the plugin, kept in the
/// artifacts, and the next message is bronze.
#[test]
fn an_open_epoch_is_ended_by_the_plugin_that_decided_it() {
    simulate(2, 100, async |world| {
        world.deploy_plugin(passing_plugin());
        world.topics.create("t", 1);
        produce(world, &[Some(1)]);
        world.start(Process::ending_at(Step::Intend(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        world.deploy_bronze("rows");
        produce(world, &[Some(2)]);
        world.finish().await;
        let bronze: Vec<_> = world.rows("rows").iter().map(|row| row.offset).collect();
        assert_eq!((offsets(world), bronze), (vec![0], vec![1]));
    });
}
