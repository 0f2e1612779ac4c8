//! A plugin that keeps state: crashes, quiet partitions, other versions of it.

use arrow_array::cast::AsArray;
use engine::journal::Journal;
use engine::journal::Position;
use engine::simulation::{Phase, Process, Step};
use engine::sink::InsertFault;
use engine::source::SimulatedTopics;
use engine::transform::{EventTimeSettings, TransformSettings};
use harness::simulation::remembering::{CURSED, DELAY, GAP, LITTLE, POISON, remembering_plugin};
use harness::simulation::{End, World, partition, simulate};

/// A topic of one partition, and the plugin.
fn remembers(world: &mut World) {
    world.clock.set(1_000_000);
    world.deploy_plugin(remembering_plugin("1.0.0", 1, &[]));
    world.topics.create("t", 1);
}

/// Events whose ids and keys come again, one of them poison, and time enough between them that counts are closed.
fn events(world: &World) {
    for n in 0..10 {
        world.event(0, [n % 5, if n == 6 { POISON } else { n % 3 }, n * 900]);
    }
}

fn messages(topics: &SimulatedTopics) -> i64 {
    i64::try_from(topics.messages(&partition(0)).len()).expect("few")
}

/// GIVEN a process that crashes at its n-th step, for each n there is, and again while it recovers, THEN rows, state and
/// watermark are those of one undisturbed run of these epochs.
#[test]
fn a_crash_at_any_step_changes_nothing() {
    let mut ran_through = false;
    for first in 0.. {
        for second in [0, 7, 20] {
            let crashed = simulate(u64::from(first), 100, async |world| {
                remembers(world);
                events(world);
                world.batch.max_messages = 1 + world.chance.below(5) as usize;
                world.start(Process::ending_at_count(first));
                let crashed = matches!(world.ended().await, End::Crashed);
                world.start(Process::ending_at_count(second));
                drop(world.ended().await);
                world.finish().await;
                world.check_memories();
                crashed
            });
            ran_through |= !crashed;
        }
        if ran_through {
            assert!(first > 30, "a run has more steps than {first}");
            return;
        }
    }
}

/// GIVEN memory for hardly anything, so that most of what is remembered lies on the disk, WHEN the process crashes at its n-th
/// step, THEN rows, state and watermark are those of one undisturbed run all the same.
#[test]
fn a_crash_changes_nothing_of_what_lies_on_the_disk() {
    for first in (0..).step_by(3) {
        let ran_through = simulate(u64::from(first), 100, async |world| {
            remembers(world);
            let little = |settings: &mut TransformSettings| settings.limits.state_bytes = LITTLE;
            world.deploy_plugin_with(remembering_plugin("1.0.0", 1, &[]), little);
            events(world);
            world.batch.max_messages = 1 + world.chance.below(3) as usize;
            world.start(Process::ending_at_count(first));
            let crashed = matches!(world.ended().await, End::Crashed);
            world.start(Process::ending_at_count(7));
            drop(world.ended().await);
            world.finish().await;
            world.check_memories();
            let folder = world.disk.disk_of(&world.lane(0)).expect("it was given one");
            let files = std::fs::read_dir(folder).expect("the lane's").flatten();
            let runs = files.filter(|file| file.path().extension().is_some_and(|it| it == "run")).count();
            assert!(runs > 1, "{runs} runs are on the disk");
            !crashed
        });
        if ran_through {
            assert!(first > 30, "a run has more steps than {first}");
            return;
        }
    }
}

/// GIVEN a count that is due by the last event's watermark, WHEN nothing more comes, THEN an epoch without messages closes it,
/// and that epoch is made again after a crash without any message.
#[test]
fn what_is_due_on_a_quiet_partition_is_an_epoch_of_its_own() {
    for crash in [None, Some(Step::Intend(Phase::After)), Some(Step::Commit(Phase::Before))] {
        simulate(1, 100, async |world| {
            remembers(world);
            world.event(0, [1, 7, 100]);
            world.finish().await;
            assert!(world.closed(0).is_empty(), "nothing is due");
            world.event(0, [2, 8, 100 + GAP + DELAY]);
            if let Some(step) = crash {
                // The second time: the first is the epoch of the event.
                world.start(Process::ending_at(step, 1));
                assert!(matches!(world.ended().await, End::Crashed));
                assert_eq!(
                    world.journal(0).1.last().map(|intent| intent.messages),
                    Some(0),
                    "an epoch of timers is open"
                );
                // Retention takes nothing from it.
                world.topics.truncate(&partition(0), messages(&world.topics));
            }
            world.finish().await;
            assert_eq!(world.closed(0), [[7, 1, 100 + GAP]]);
            let (position, open) = world.journal(0);
            assert_eq!((position.next_offset, position.watermark_ms, open.len()), (Some(2), Some(100 + GAP), 0));
        });
    }
}

/// GIVEN a partition that has been at its end for the idle time, THEN the clock closes what is open; not without that setting.
#[test]
fn an_idle_partition_follows_the_clock() {
    for idle_ms in [None, Some(500)] {
        simulate(1, 100, async |world| {
            remembers(world);
            let event_time = EventTimeSettings { delay_ms: Some(5_000), idle_ms };
            world.deploy_plugin_with(remembering_plugin("1.0.0", 1, &[]), |settings| settings.event_time = event_time);
            world.until_idle = false;
            world.event(0, [1, 7, 999_000]);
            world.start(Process::default());
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            assert!(world.closed(0).is_empty(), "the clock stands");
            world.clock.set(999_000 + GAP + 5_000);
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            let expected: &[[i64; 3]] = if idle_ms.is_some() { &[[7, 1, 999_000 + GAP]] } else { &[] };
            assert_eq!(world.closed(0), expected);
            assert!(matches!(world.stop().await, End::Itself(Ok(()))));
        });
    }
}

/// GIVEN an open epoch, WHEN the plugin's file is another one, THEN the epoch is ended by the old bytes, over the state that
/// they left, and the new plugin goes on with that state.
#[test]
fn an_open_epoch_is_ended_by_the_plugin_that_remembers() {
    simulate(2, 100, async |world| {
        remembers(world);
        world.event(0, [1, 7, 100]);
        world.finish().await;
        world.event(0, [2, 7, 200]);
        world.start(Process::ending_at(Step::Intend(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        let old = world.journal(0).1[0].plugin_digest.clone();
        world.deploy_plugin(remembering_plugin("2.0.0", 2, &[1]));
        world.event(0, [3, 7, 300]);
        world.finish().await;
        world.check_memories();
        let made_by: Vec<_> = world.disk.intents().into_iter().map(|(_, intent)| intent.plugin_digest).collect();
        assert_eq!((made_by.len(), &made_by[0], &made_by[1]), (3, &old, &old));
        assert_ne!(made_by[2], old);
        assert_eq!(world.journal(0).0.state_versions, [1, 2]);
    });
}

/// GIVEN state of version 1, WHEN the plugin keeps another version and does not read that one, or keeps none, THEN the lane
/// stops and says what to do, and the plugin before goes on.
#[test]
fn a_plugin_that_does_not_read_the_state_is_refused() {
    simulate(3, 100, async |world| {
        remembers(world);
        world.event(0, [1, 7, 100]);
        world.finish().await;
        world.event(0, [1, 7, 200]);
        world.deploy_plugin(remembering_plugin("3.0.0", 3, &[2]));
        let halted = world.halts().await;
        for words in ["in version 1", "keeps version 3 and reads version 2", "engine recover --plugin plugin --topic t"]
        {
            assert!(halted.contains(words), "{halted}");
        }
        world.deploy_bronze("rows");
        let halted = world.halts().await;
        assert!(halted.contains("now it keeps none"), "{halted}");
        world.deploy_plugin(remembering_plugin("1.0.1", 1, &[]));
        world.finish().await;
        world.check_memories();
    });
}

/// GIVEN a damaged state, THEN the lane stops and says what to do; WHEN the operator gives the state up, THEN it goes on with
/// nothing remembered.
#[test]
fn a_damaged_state_stops_the_lane() {
    simulate(4, 100, async |world| {
        remembers(world);
        world.event(0, [1, 7, 100]);
        world.finish().await;
        world.disk.damage_state();
        world.event(0, [1, 7, 200]);
        let halted = world.halts().await;
        assert!(halted.contains("is damaged") && halted.contains("engine recover --plugin plugin"), "{halted}");
        let (lane, old) = (world.lane(0), world.journal(0).0);
        let position = Position { generation: 2, epoch: 0, state_versions: Vec::new(), ..old };
        world.disk.open(Process::default()).restart(&lane, position).await.expect("an operator may");
        world.finish().await;
        let fresh: usize = world.tables.blocks("`db`.`fresh`").iter().flatten().map(|batch| batch.num_rows()).sum();
        assert_eq!(fresh, 2, "the id was forgotten");
    });
}

/// GIVEN a limit of what may be kept, WHEN the plugin wants more, THEN the lane stops and no row is blamed; WHEN the limit is
/// raised, THEN it goes on.
#[test]
fn too_much_state_stops_the_lane_and_blames_no_row() {
    simulate(5, 100, async |world| {
        remembers(world);
        let wasm = remembering_plugin("1.0.0", 1, &[]);
        world.deploy_plugin_with(wasm.clone(), |settings| {
            settings.limits.state_bytes = 100;
            settings.limits.state_disk_bytes = 0;
        });
        events(world);
        let halted = world.halts().await;
        assert!(halted.contains("raise limits.state_mib"), "{halted}");
        world.deploy_plugin(wasm);
        world.finish().await;
        world.check_memories();
    });
}

/// GIVEN an epoch whose insert hangs, WHEN the one behind it has rows of state alone, whose version the next message has too,
/// THEN these wait: of two rows with one version the one that lands last counts.
#[test]
fn rows_of_state_land_in_the_order_of_epochs() {
    simulate(6, 100, async |world| {
        remembers(world);
        world.batch.max_messages = 1;
        world.event(0, [1, 7, 100]);
        world.event(0, [2, 8, 100 + GAP + DELAY]);
        world.event(0, [3, 7, 100 + GAP + DELAY]);
        world.tables.script([None, None, None, None, Some(InsertFault::Hang)]);
        world.start(Process::default());
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        world.tables.release();
        drop(world.ended().await);
        world.finish().await;
        world.check_memories();
    });
}

/// GIVEN a count on which the plugin traps when it is final, among others, THEN the others are closed, it is a dead letter with
/// its table, key and count, the lane goes on, and an epoch that is made again after a crash comes to the same.
#[test]
fn a_poison_entry_is_a_dead_letter() {
    for crash in [None, Some(Step::Intend(Phase::After)), Some(Step::Commit(Phase::Before))] {
        simulate(7, 100, async |world| {
            remembers(world);
            for (id, k) in [(1, 7), (2, CURSED), (3, 8), (4, CURSED)] {
                world.event(0, [id, k, 100]);
            }
            world.finish().await;
            world.event(0, [5, 9, 100 + GAP + DELAY]);
            if let Some(step) = crash {
                world.start(Process::ending_at(step, 1));
                assert!(matches!(world.ended().await, End::Crashed));
            }
            world.finish().await;
            assert_eq!(world.closed(0), [[7, 1, 100 + GAP], [8, 1, 100 + GAP]]);
            let blocks = world.tables.blocks("`db`.`dead_letters`");
            let letters: Vec<_> = blocks.iter().flatten().collect();
            let [letter] = letters[..] else { panic!("{} letters", letters.len()) };
            let text = |name: &str| letter.column_by_name(name).expect(name).as_string::<i32>().value(0).to_owned();
            let bytes = |name: &str| letter.column_by_name(name).expect(name).as_binary::<i32>().value(0).to_vec();
            assert_eq!([text("stage"), text("code"), text("column")], ["expire", "trap", "open"]);
            assert_eq!([bytes("key"), bytes("value")], [CURSED.to_le_bytes(), 2_i64.to_le_bytes()]);
            world.event(0, [6, CURSED, 100 + GAP + DELAY]);
            world.finish().await;
            world.check_memories();
        });
    }
}
