//! Where going on would lose or double something, the lane stops and says why.

use engine::simulation::{Phase, Process, Step};
use harness::simulation::{End, World, partition, simulate};

/// Leaves one epoch open that covers offsets 0 to 4.
async fn leave_an_open_epoch(world: &mut World) {
    world.topics.create("t", 1);
    for offset in 0..5_u8 {
        world.topics.produce(&partition(0), None, Some(&[offset]));
    }
    loop {
        world.start(Process::ending_at(Step::Intend(Phase::After), 0));
        assert!(matches!(world.ended().await, End::Crashed));
        let (_, open) = world.journal(0);
        if open.iter().any(|intent| intent.range.end == 5) {
            return;
        }
    }
}

/// The lane halts with these words, once and again, and nothing is written or committed.
async fn stays_halted(world: &mut World, words: &str) {
    let before = world.journal(0);
    for _ in 0..2 {
        let rows = world.rows("rows").len();
        let error = world.halts().await;
        assert!(error.contains(words), "{error}");
        assert_eq!(world.rows("rows").len(), rows);
    }
    let after = world.journal(0);
    assert_eq!((after.0.epoch > before.0.epoch, after.1.is_empty()), (false, false));
}

#[test]
fn an_open_epoch_whose_messages_were_deleted() {
    simulate(1, 100, async |world| {
        leave_an_open_epoch(world).await;
        world.topics.truncate(&partition(0), 5);
        stays_halted(world, "offsets were deleted before they were read").await;
    });
}

#[test]
fn an_open_epoch_whose_messages_the_broker_lost() {
    simulate(2, 100, async |world| {
        leave_an_open_epoch(world).await;
        let start = world.journal(0).1.last().expect("open").range.start;
        world.topics.cut(&partition(0), start);
        stays_halted(world, "the source ends before").await;
    });
}

#[test]
fn an_open_epoch_out_of_which_a_message_was_compacted() {
    simulate(3, 100, async |world| {
        leave_an_open_epoch(world).await;
        world.topics.compact(&partition(0), 4);
        stays_halted(world, "differs from its intent in the number of messages").await;
    });
}

#[test]
fn an_open_epoch_whose_messages_are_others_now() {
    simulate(4, 100, async |world| {
        leave_an_open_epoch(world).await;
        world.topics.replace(&partition(0), 4, b"other");
        stays_halted(world, "differs from its intent in the decoded input").await;
    });
}

/// GIVEN a lane that was stopped for long, WHEN retention went past its position, THEN it halts and skips nothing.
#[test]
fn a_position_that_retention_went_past() {
    simulate(5, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 5);
        world.start(Process::default());
        drop(world.ended().await);
        world.produce(0, 5);
        world.topics.truncate(&partition(0), 7);
        let error = world.halts().await;
        assert!(error.contains("offset 5 is gone"), "{error}");
        assert_eq!(world.journal(0).0.next_offset, Some(5));
    });
}

/// GIVEN a position behind the partition's end, THEN the lane halts.
#[test]
fn a_position_that_was_never_written() {
    simulate(6, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 5);
        world.start(Process::default());
        drop(world.ended().await);
        world.topics.cut(&partition(0), 3);
        let error = world.halts().await;
        assert!(error.contains("offset 5 was never written"), "{error}");
    });
}

/// GIVEN a topic that is deleted and made again while the engine runs, THEN the lane of the old one halts, and the new
/// one's messages are another lane's, from the first on.
#[test]
fn a_topic_made_again_is_another_lane() {
    simulate(7, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, 5);
        world.until_idle = false;
        world.start(Process::default());
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.topics.create("t", 1);
        world.produce(0, 2);
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let states: Vec<_> = world.lanes().all().iter().map(|lane| lane.view().state.as_str()).collect();
        assert_eq!(states, ["halted", "running"]);
        assert_eq!(world.journal(0).0.next_offset, Some(2));
        assert_eq!(world.rows("rows").len(), 7);
    });
}
