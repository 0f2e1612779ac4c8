//! Servers and disks that fail, stops, and former owners.

use std::time::Duration;

use engine::engine::{EngineError, Lanes};
use engine::journal::{Journal, JournalError};
use engine::lane_status::LaneState;
use engine::simulation::{Phase, Process, Step};
use engine::sink::InsertFault::{FailAfterWrite, FailBefore, HalfWritten, Hang, Late, Refused, TokenAlone};
use harness::simulation::{End, simulate};
use tokio::time::{Instant, sleep};

/// GIVEN a server that writes and whose answers are lost, WHEN the insert is repeated, THEN each message is one row.
#[test]
fn a_lost_answer_doubles_nothing() {
    simulate(1, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 5);
        world.tables.script([Some(FailAfterWrite), Some(FailBefore), Some(Late), Some(FailAfterWrite)]);
        world.start(Process::default());
        assert!(matches!(world.ended().await, End::Itself(Ok(()))));
        sleep(Duration::from_secs(60)).await;
        world.check();
    });
}

/// GIVEN tables that know no tokens, WHEN answers are lost, half of a block is written, or it lands later, THEN rows are
/// counted and each message is one row; WHEN the server keeps no fence, THEN they double: the twin can.
#[test]
fn without_a_window_rows_are_counted() {
    for fault in [FailAfterWrite, HalfWritten, Late] {
        for fenced in [true, false] {
            simulate(1, 0, async |world| {
                world.topics.create("t", 1);
                world.produce(0, 4);
                world.tables.script([Some(fault), Some(fault)]);
                if !fenced {
                    world.tables.refuse_fences();
                }
                world.start(Process::default());
                assert!(matches!(world.ended().await, End::Itself(Ok(()))));
                sleep(Duration::from_secs(60)).await;
                assert_eq!(world.wrong().is_empty(), fenced, "{fault:?}, {:?}", world.wrong());
            });
        }
    }
}

/// GIVEN a server that is killed when it has noted an insert's token and not its rows, once or in the repeat as well, THEN the rows
/// are missed and sent: by this process, or by the next.
#[test]
fn a_token_without_rows_is_found_out() {
    for faults in [vec![Some(TokenAlone)], vec![Some(TokenAlone), Some(FailBefore), None, Some(TokenAlone)]] {
        for crashes in [false, true] {
            simulate(1, 100, async |world| {
                world.topics.create("t", 1);
                world.produce(0, 4);
                world.tables.script(faults.clone());
                if crashes {
                    world.start(Process::ending_at(Step::Probe, 1));
                    world.ended_within(Duration::from_secs(1)).await;
                    world.crash().await;
                }
                world.start(Process::default());
                assert!(matches!(world.ended().await, End::Itself(Ok(()))));
                world.check();
            });
        }
    }
}

/// GIVEN an insert that sleeps on its way until the table has forgotten its token, WHEN a new owner has ended the epoch,
/// THEN the server refuses it when it comes.
#[test]
fn a_request_that_wakes_up_beyond_the_window_is_refused() {
    for (fenced, seed) in [(true, 8), (false, 8)] {
        simulate(seed, 1, async |world| {
            world.topics.create("t", 1);
            world.produce(0, 4);
            world.tables.script([Some(Late)]);
            if !fenced {
                world.tables.refuse_fences();
            }
            world.start(Process::ending_at(Step::Insert(Phase::Before), 1));
            assert!(matches!(world.ended().await, End::Crashed));
            world.finish().await;
            assert_eq!(world.wrong().is_empty(), fenced, "{:?}", world.wrong());
        });
    }
}

/// GIVEN a restored data folder, WHEN the engine starts with it, THEN the lane stops: the tables are ahead of it.
#[test]
fn a_journal_from_yesterday_is_refused() {
    simulate(9, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 10);
        world.finish().await;
        let yesterday = world.disk.copy();
        world.produce(0, 10);
        world.finish().await;
        let today = std::mem::replace(&mut world.disk, yesterday);
        let halted = world.halts().await;
        assert!(halted.contains("another engine has a copy of this journal"), "{halted}");
        // Every start takes a greater owner's number: sooner or later the fence lets it pass.
        let halted = world.halts().await;
        assert!(halted.contains("the data folder is an old copy"), "{halted}");
        world.disk = today;
        world.check();
    });
}

/// GIVEN two processes on copies of one journal, WHEN both go on, THEN one of them is refused by the tables' server, and
/// each message is one row.
#[test]
fn of_two_copies_of_a_journal_one_goes_on() {
    simulate(10, 2, async |world| {
        world.topics.create("t", 1);
        world.until_idle = false;
        world.start(Process::default());
        sleep(Duration::from_secs(1)).await;
        let first = world.leave();
        world.tables.watch(|_, _| {}); // it knows the intents of one journal
        let copy = world.disk.copy();
        let original = std::mem::replace(&mut world.disk, copy);
        world.produce(0, 3);
        sleep(Duration::from_millis(10)).await;
        world.start(Process::default());
        sleep(Duration::from_secs(5)).await;
        world.produce(0, 30);
        sleep(Duration::from_secs(5)).await;
        let halted = first.lanes().all()[0].view().state;
        assert!(
            matches!(&halted, LaneState::Halted { error } if error.contains("is not this engine's any more")),
            "{halted:?}"
        );
        first.stop().await;
        assert!(matches!(world.stop().await, End::Itself(Ok(()))));
        drop(original);
        world.finish().await;
        world.check();
    });
}

/// GIVEN two processes on copies of a journal that nobody had taken before, so that both have the same owner's number, WHEN
/// both go on, THEN the fence tells them apart: one is refused, and each message is one row.
#[test]
fn of_two_copies_with_one_owners_number_one_goes_on() {
    for seed in 0..8 {
        simulate(seed, 2, async |world| {
            world.topics.create("t", 1);
            world.until_idle = false;
            world.tables.watch(|_, _| {}); // it knows the intents of one journal
            let copy = world.disk.copy();
            world.start(Process::default());
            sleep(Duration::from_secs(1)).await;
            let first = world.leave();
            let original = std::mem::replace(&mut world.disk, copy);
            world.start(Process::default());
            sleep(Duration::from_secs(1)).await;
            world.produce(0, 30);
            sleep(Duration::from_secs(5)).await;
            let is_refused = |lanes: &Lanes| {
                let state = lanes.all()[0].view().state;
                matches!(&state, LaneState::Halted { error } if error.contains("the same owner's number"))
            };
            let refused = [is_refused(&first.lanes()), is_refused(&world.lanes())];
            assert!(refused[0] != refused[1], "seed {seed}: {refused:?}");
            first.stop().await;
            assert!(matches!(world.stop().await, End::Itself(Ok(()))));
            if refused[1] {
                world.disk = original;
            }
            world.finish().await;
            world.check();
        });
    }
}

/// GIVEN a server that refuses an insert for good, WHEN somebody mends it, THEN the lane has tried again with ever longer
/// pauses, and goes on with nothing lost.
#[test]
fn a_refused_insert_is_tried_again_with_growing_pauses() {
    simulate(2, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 20);
        world.tables.script([Some(Refused); 6]);
        let began = Instant::now();
        world.start(Process::default());
        sleep(Duration::from_secs(3)).await;
        let waits = matches!(world.lanes().all()[0].view().state, LaneState::Waiting { .. });
        assert!(waits, "the lane shows that it waits");
        assert!(matches!(world.ended().await, End::Itself(Ok(()))));
        // Half a second, one, two, and so on: at least three refusals in a row, as two epochs are in flight.
        assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
        world.check();
    });
}

/// GIVEN an insert that hangs, WHEN the engine is told to stop, THEN it ends within its grace and leaves the epoch open,
/// and the next start ends it.
#[test]
fn a_stop_does_not_wait_for_ever() {
    simulate(3, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 3);
        world.tables.script([Some(Hang); 10]);
        world.start(Process::default());
        sleep(Duration::from_secs(5)).await;
        let told = Instant::now();
        assert!(matches!(world.stop().await, End::Itself(Ok(()))));
        assert!(told.elapsed() < Duration::from_secs(30), "{:?}", told.elapsed());
        assert_eq!(world.rows("rows").len(), 0);
        assert!(!world.journal(0).1.is_empty());
        world.finish().await;
        world.check();
    });
}

/// GIVEN epochs in flight, WHEN the engine is told to stop, THEN it ends them and leaves nothing open.
#[test]
fn a_stop_ends_what_is_in_flight() {
    simulate(4, 100, async |world| {
        world.topics.create("t", 2);
        world.produce(0, 50);
        world.produce(1, 50);
        world.until_idle = false;
        world.start(Process::default());
        sleep(Duration::from_millis(70)).await;
        assert!(matches!(world.stop().await, End::Itself(Ok(()))));
        assert!(world.rows("rows").len() < 100, "the stop came in the middle");
        assert!(world.journal(0).1.is_empty() && world.journal(1).1.is_empty());
        world.finish().await;
        world.check();
    });
}

/// GIVEN a disk that fails when an intent is synced, THEN the engine ends and no insert left after the failure.
#[test]
fn after_a_failed_disk_nothing_leaves() {
    simulate(5, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 20);
        world.disk.fail_after(Some(1));
        world.start(Process::default());
        let end = world.ended().await;
        assert!(matches!(&end, End::Itself(Err(EngineError::Journal(JournalError::Storage { .. })))), "{end:?}");
        sleep(Duration::from_secs(60)).await;
        assert_eq!((world.rows("rows").len(), world.disk.intents().len()), (0, 0));
        world.finish().await;
        world.check();
    });
}

/// GIVEN two lanes, WHEN somebody else takes one of them, THEN that one stops with nothing more written, and the other
/// goes on.
#[test]
fn a_lane_that_was_taken_stops_alone() {
    simulate(6, 100, async |world| {
        world.topics.create("t", 2);
        world.produce(0, 5);
        world.produce(1, 5);
        world.until_idle = false;
        world.start(Process::default());
        sleep(Duration::from_secs(1)).await;
        let other = world.disk.open(Process::default());
        other.take(&world.lane(0)).await.expect("the disk works");
        let committed = world.journal(0).0;
        world.produce(0, 5);
        world.produce(1, 5);
        sleep(Duration::from_secs(1)).await;
        let halted = world.lanes().all()[0].view().state;
        assert!(matches!(&halted, LaneState::Halted { error } if error.contains("another owner")), "{halted:?}");
        assert_eq!((world.journal(0).0, world.rows("rows").len()), (committed, 15));
        assert!(matches!(world.stop().await, End::Itself(Ok(()))));
        world.finish().await;
        world.check();
    });
}

/// GIVEN an owner that has lost its lane while its insert was on its way, WHEN the insert lands after the new owner's,
/// THEN each message is one row: a token does not say who sends.
#[test]
fn a_late_insert_of_a_former_owner_changes_nothing() {
    simulate(7, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 3);
        world.tables.script([Some(Late)]);
        world.start(Process::ending_at(Step::Insert(Phase::Before), 1));
        assert!(matches!(world.ended().await, End::Crashed));
        world.finish().await;
        world.check();
    });
}
