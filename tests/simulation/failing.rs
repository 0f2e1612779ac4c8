//! A plugin that fails on everything for a while: its lane waits or parks its messages, and comes back by itself.

use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use engine::config::{Failure, FailurePolicy};
use engine::simulation::{Phase, Process, Step};
use engine::sink::InsertFault::FailAfterWrite;
use harness::simulation::{End, World, late_plugin, partition, passing_plugin, simulate};
use tokio::time::sleep;

/// When the plugin begins to work, by the clock of the world.
const WORKS: i64 = 1_000_000;

fn produce(world: &World, rows: std::ops::Range<i64>) {
    for n in rows {
        let value = format!(r#"{{"before":null,"after":{{"n":{n}}},"op":"c"}}"#);
        world.topics.produce(&partition(0), Some(b"{}"), Some(value.as_bytes()));
    }
}

/// A plugin that fails until [`WORKS`], and so many messages; its lane may lose nothing to failures.
fn world_of_failures(world: &mut World, policy: FailurePolicy, messages: i64) {
    world.failure = Failure { policy, max_failures: 0 };
    world.deploy_plugin(late_plugin(WORKS));
    (world.batch.max_messages, world.until_idle) = (2, false);
    world.topics.create("t", 1);
    produce(world, 0..messages);
}

/// Offsets of a table's rows, and of the letters that were parked, in order.
fn offsets(world: &World) -> (Vec<i64>, Vec<i64>) {
    let mut rows: Vec<_> = world.rows("passed").iter().map(|row| row.offset).collect();
    let mut letters = Vec::new();
    for batch in world.tables.blocks("`db`.`dead_letters`").iter().flatten() {
        let column = |name: &str| batch.column_by_name(name).expect("a column of dead letters");
        let stages = column("stage").as_string::<i32>();
        assert!(stages.iter().all(|stage| stage == Some("parked")), "{stages:?}");
        letters.extend_from_slice(column("offset").as_primitive::<Int64Type>().values());
    }
    rows.sort_unstable();
    letters.sort_unstable();
    (rows, letters)
}

/// The lane's state and its breaker's.
fn standing(world: &World) -> (&'static str, Option<(String, f64)>) {
    let view = world.lanes().all()[0].view();
    (view.state.as_str(), view.breaker.map(|breaker| (breaker.state, breaker.next_probe_seconds)))
}

/// GIVEN a plugin that fails on everything, WHEN it may pause its lane, THEN nothing is written and nothing committed, it is
/// tried ever more seldom; WHEN it works again, THEN the lane goes on by itself where it stood.
#[test]
fn a_lane_that_is_paused_comes_back_by_itself() {
    simulate(1, 100, async |world| {
        world_of_failures(world, FailurePolicy::Pause, 5);
        world.start(Process::default());
        sleep(Duration::from_millis(100)).await;
        for (pause, at) in [(1.0, 1_000), (2.0, 2_000), (4.0, 4_000), (8.0, 8_000)] {
            let (state, breaker) = standing(world);
            let (breaker, next) = breaker.expect("an open breaker");
            assert_eq!((state, breaker.as_str()), ("failing", "open"));
            assert!(next <= pause && next > pause - 0.3, "{next} s of {pause}");
            sleep(Duration::from_millis(at)).await;
        }
        assert_eq!((offsets(world), world.journal(0).0.next_offset), ((vec![], vec![]), None));
        world.clock.set(WORKS);
        sleep(Duration::from_secs(17)).await;
        assert_eq!(standing(world), ("running", None));
        assert_eq!((offsets(world).0, world.journal(0).0.next_offset), (vec![0, 1, 2, 3, 4], Some(5)));
        world.stop().await;
    });
}

/// GIVEN a lane that waits for the next probe, WHEN another version comes, or other rules, THEN it goes on at once.
#[test]
fn another_version_is_tried_at_once() {
    simulate(2, 100, async |world| {
        world_of_failures(world, FailurePolicy::Pause, 3);
        world.start(Process::default());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(standing(world).0, "failing");
        world.failure.max_failures = 1; // one of a batch of two, and the last one: not enough
        world.reload();
        sleep(Duration::from_millis(100)).await;
        let (state, breaker) = standing(world);
        assert!(state == "failing" && breaker.is_some_and(|(_, next)| next < 1.0), "tried anew, and given little time");
        world.deploy_plugin(passing_plugin());
        world.reload();
        sleep(Duration::from_millis(100)).await;
        assert_eq!((standing(world), offsets(world).0), (("running", None), vec![0, 1, 2]));
        world.stop().await;
    });
}

/// GIVEN a plugin that fails on everything, WHEN its messages are to be parked, THEN each is a letter, and the lane goes on;
/// WHEN it works again, THEN what comes is rows by itself.
#[test]
fn messages_are_parked_while_the_plugin_fails() {
    simulate(3, 100, async |world| {
        world_of_failures(world, FailurePolicy::Park, 5);
        world.start(Process::default());
        sleep(Duration::from_millis(500)).await;
        assert_eq!((offsets(world), world.journal(0).0.next_offset), ((vec![], vec![0, 1, 2, 3, 4]), Some(5)));
        assert_eq!(standing(world).0, "running");
        sleep(Duration::from_secs(1)).await;
        produce(world, 5..8); // the probe, which fails
        sleep(Duration::from_millis(200)).await;
        assert_eq!(offsets(world), (vec![], vec![0, 1, 2, 3, 4, 5, 6, 7]));
        world.clock.set(WORKS);
        produce(world, 8..10);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(offsets(world).1.len(), 10, "it is not tried before its time");
        sleep(Duration::from_secs(2)).await;
        produce(world, 10..13);
        sleep(Duration::from_millis(200)).await;
        assert_eq!((offsets(world).0, standing(world)), (vec![10, 11, 12], ("running", None)));
        world.stop().await;
    });
}

/// GIVEN messages that are parked, some of them with an answer lost, WHEN the process crashes at its n-th step, for each n there
/// is, and the plugin works by then, THEN each message is one letter or one row: what was decided to be parked is.
#[test]
fn a_crash_at_any_step_while_messages_are_parked() {
    let mut parked = 0;
    for step in 0.. {
        let crashed = simulate(step, if step % 2 == 0 { 0 } else { 100 }, async |world| {
            world_of_failures(world, FailurePolicy::Park, 5);
            world.tables.script([Some(FailAfterWrite)]);
            world.start(Process::ending_at_count(u32::try_from(step).expect("few")));
            let crashed = matches!(world.ended_within(Duration::from_millis(900)).await, Some(End::Crashed));
            world.crash().await;
            world.clock.set(WORKS);
            world.finish().await;
            let (rows, letters) = offsets(world);
            assert_eq!(letters, (0..letters.len() as i64).collect::<Vec<_>>(), "a crash at step {step}");
            assert_eq!(rows, (letters.len() as i64..5).collect::<Vec<_>>(), "a crash at step {step}");
            assert_eq!((world.journal(0).0.next_offset, world.journal(0).1.len()), (Some(5), 0));
            parked += usize::from(!letters.is_empty());
            crashed
        });
        if !crashed {
            assert!(parked > 0, "no run has parked anything");
            assert!(step > 20, "a run has more steps than {step}");
            return;
        }
    }
}

/// GIVEN an epoch that was decided to be parked, WHEN the process that ends it may not park any more, THEN it is ended as it was
/// decided, without the plugin.
#[test]
fn what_was_decided_to_be_parked_is_parked() {
    simulate(4, 100, async |world| {
        world_of_failures(world, FailurePolicy::Park, 2);
        world.start(Process::ending_at(Step::Intend(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        assert!(world.journal(0).1.iter().all(|intent| intent.parked.is_some()));
        world.failure = Failure { policy: FailurePolicy::Pause, max_failures: 0 };
        produce(world, 2..4);
        world.start(Process::default());
        sleep(Duration::from_secs(3)).await;
        assert_eq!((offsets(world), standing(world).0), ((vec![], vec![0, 1]), "failing"));
        world.stop().await;
    });
}

/// GIVEN a message that no letter holds whole, THEN it is not parked but waits, and those behind it; WHEN the plugin works, THEN
/// they are rows.
#[test]
fn what_no_letter_holds_waits() {
    simulate(5, 100, async |world| {
        world_of_failures(world, FailurePolicy::Park, 2);
        let long = format!(r#"{{"before":null,"after":{{"n":2}},"op":"c","more":"{}"}}"#, "x".repeat(1 << 20));
        world.topics.produce(&partition(0), Some(b"{}"), Some(long.as_bytes()));
        produce(world, 3..5);
        world.batch.max_bytes = 8 << 20;
        world.start(Process::default());
        sleep(Duration::from_secs(20)).await;
        let state = world.lanes().all()[0].view().state;
        assert!(state.error().is_some_and(|error| error.contains("offset 2 has more than")), "{state:?}");
        assert_eq!(offsets(world), (vec![], vec![0, 1]));
        world.clock.set(WORKS);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(offsets(world), (vec![2, 3, 4], vec![0, 1]));
        world.stop().await;
    });
}
