#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::offsets::OffsetRange;
use crate::state::Sealed;

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn lane(plugin: &str) -> LaneId {
    LaneId {
        tenant: "default".into(),
        plugin: plugin.into(),
        topic: "orders".into(),
        topic_id: String::new(),
        partition: 0,
    }
}

fn intent(epoch: u64, start: i64, end: i64) -> Intent {
    Intent {
        generation: 1,
        epoch,
        range: OffsetRange { start, end },
        messages: 1,
        input_digest: "ab".into(),
        plugin_digest: "cd".into(),
        settings_digest: "ef".into(),
        schemas: None,
        clock_ms: 7,
        watermark_ms: None,
        next_watermark_ms: None,
        state_digest: None,
        state_version: None,
        calls: vec![],
        poison: vec![],
        parked: None,
        expired: None,
        blocks: vec![],
        marks: vec![],
    }
}

pub(super) fn commit(epoch: u64, next_offset: i64) -> Commit {
    let position = Position { epoch, next_offset: Some(next_offset), ..Position::default() };
    Commit { epoch, position, state: Sealed::Unchanged }
}

/// GIVEN an intent, WHEN the process ends before the commit, THEN the next owner finds it open, with the old position.
#[test]
fn an_open_intent_is_found_by_the_next_owner() {
    let folder = tempfile::tempdir().unwrap();
    {
        let journal = LocalJournal::open(folder.path()).unwrap();
        let taken = block_on(journal.take(&lane("a"))).unwrap();
        block_on(journal.intend(&lane("a"), taken.owner, &intent(1, 0, 10))).unwrap();
    }
    let journal = reopen(folder.path());
    let taken = block_on(journal.take(&lane("a"))).unwrap();
    assert_eq!(taken.open, [intent(1, 0, 10)]);
    assert_eq!(taken.position, Position::default());
    assert_eq!(taken.owner, Owner(2));
}

/// GIVEN a commit, WHEN the process ends, THEN the position is there and the intent is gone.
#[test]
fn a_commit_moves_the_position_and_ends_the_intent() {
    let folder = tempfile::tempdir().unwrap();
    {
        let journal = LocalJournal::open(folder.path()).unwrap();
        let taken = block_on(journal.take(&lane("a"))).unwrap();
        block_on(journal.intend(&lane("a"), taken.owner, &intent(1, 0, 10))).unwrap();
        block_on(journal.intend(&lane("a"), taken.owner, &intent(2, 10, 20))).unwrap();
        block_on(journal.commit(&lane("a"), taken.owner, commit(1, 10))).unwrap();
    }
    let taken = block_on(reopen(folder.path()).take(&lane("a"))).unwrap();
    assert_eq!(taken.position.next_offset, Some(10));
    assert_eq!(taken.open, [intent(2, 10, 20)]);
}

/// GIVEN a lane taken twice, WHEN the first owner writes, THEN both its intents and its commits are refused.
#[test]
fn the_former_owner_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let first = block_on(journal.take(&lane("a"))).unwrap().owner;
    let second = block_on(journal.take(&lane("a"))).unwrap().owner;
    let refused = block_on(journal.intend(&lane("a"), first, &intent(1, 0, 1)));
    assert!(matches!(refused, Err(JournalError::Fenced { mine: 1, now: 2, .. })), "{refused:?}");
    let refused = block_on(journal.commit(&lane("a"), first, commit(1, 1)));
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "{refused:?}");
    block_on(journal.intend(&lane("a"), second, &intent(1, 0, 1))).unwrap();
}

/// GIVEN a committed epoch, WHEN it or an earlier one is committed again, THEN that is refused.
#[test]
fn a_commit_out_of_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    block_on(journal.commit(&lane("a"), owner, commit(2, 10))).unwrap();
    for epoch in [1, 2] {
        let refused = block_on(journal.commit(&lane("a"), owner, commit(epoch, 10)));
        assert!(matches!(refused, Err(JournalError::OutOfOrder { .. })), "{refused:?}");
    }
}

/// A lane whose name begins with another's name has intents of its own.
#[test]
fn lanes_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let longer = LaneId { partition: 11, ..lane("a") };
    let shorter = LaneId { partition: 1, ..lane("a") };
    let owner = block_on(journal.take(&longer)).unwrap().owner;
    block_on(journal.intend(&longer, owner, &intent(1, 0, 1))).unwrap();
    assert!(block_on(journal.take(&shorter)).unwrap().open.is_empty());
    assert_eq!(journal.lanes().unwrap().len(), 2);
}

/// GIVEN a lane of a topic, WHEN the topic is made again, THEN the new lane begins anew, in a greater generation.
#[test]
fn a_topic_made_again_has_a_greater_generation() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let first = LaneId { topic_id: "one".into(), ..lane("a") };
    let owner = block_on(journal.take(&first)).unwrap().owner;
    block_on(journal.commit(&first, owner, commit(7, 1000))).unwrap();
    let again = LaneId { topic_id: "two".into(), ..lane("a") };
    let taken = block_on(journal.take(&again)).unwrap();
    assert_eq!((taken.position.generation, taken.position.epoch, taken.position.next_offset), (2, 0, None));
    let other_topic = LaneId { topic: "orders2".into(), ..again };
    assert_eq!(block_on(journal.take(&other_topic)).unwrap().position.generation, 1);
}

/// GIVEN a topic of two partitions, WHEN it has four, then five, THEN the new ones begin above all others, which is enough
/// for four; for five the old ones wait for an operator.
#[test]
fn new_partitions_begin_in_a_greater_generation() {
    let folder = tempfile::tempdir().unwrap();
    let at = |partition| LaneId { partition, topic_id: "one".into(), ..lane("a") };
    let journal = LocalJournal::open(folder.path()).unwrap();
    let raised = |journal: &LocalJournal, count| block_on(journal.partitions(&at(0), count)).unwrap();
    let generation =
        |journal: &LocalJournal, partition| block_on(journal.take(&at(partition))).unwrap().position.generation;
    assert_eq!(raised(&journal, 2), None);
    assert_eq!(
        (generation(&journal, 0), generation(&journal, 1)),
        (1, 1),
        "a first start that was cut short is no raise"
    );
    let doubled = Raised { from: 2, to: 4, generation: 2, waits: false };
    assert_eq!(raised(&journal, 4), Some(doubled));
    drop(journal);
    let journal = reopen(folder.path());
    assert_eq!(raised(&journal, 4), Some(doubled), "remembered, and not raised again");
    assert_eq!((generation(&journal, 1), generation(&journal, 2), generation(&journal, 3)), (1, 2, 2));
    let odd = Raised { from: 4, to: 5, generation: 3, waits: true };
    assert_eq!(raised(&journal, 5), Some(odd));
    assert_eq!(generation(&journal, 4), 3);
    for partition in 0..4 {
        let position = Position { generation: generation(&journal, partition) + 3, ..Position::default() };
        block_on(journal.restart(&at(partition), position)).unwrap();
    }
    assert_eq!(raised(&journal, 5), Some(Raised { waits: false, ..odd }));
}

/// GIVEN a topic whose partitions were raised, WHEN an operator restarts its lanes before the new one was ever taken, THEN
/// that begins above them all the same.
#[test]
fn a_restart_before_a_new_partitions_lane_is_taken_stays_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |partition| LaneId { partition, topic_id: "one".into(), ..lane("a") };
    let journal = LocalJournal::open(folder.path()).unwrap();
    block_on(journal.partitions(&at(0), 2)).unwrap();
    for partition in 0..2 {
        block_on(journal.take(&at(partition))).unwrap();
    }
    block_on(journal.partitions(&at(0), 3)).unwrap();
    for (partition, generation) in [(0, 2), (1, 5)] {
        block_on(journal.restart(&at(partition), Position { generation, ..Position::default() })).unwrap();
    }
    drop(journal);
    assert_eq!(block_on(reopen(folder.path()).take(&at(2))).unwrap().position.generation, 6);
}

/// GIVEN a lane with an open epoch, WHEN an operator restarts it, THEN it goes on there in a new generation, nothing open,
/// and the former owner is shut out.
#[test]
fn a_restart_gives_up_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    block_on(journal.intend(&lane("a"), owner, &intent(1, 0, 10))).unwrap();
    let position = Position { generation: 2, next_offset: Some(5), ..Position::default() };
    block_on(journal.restart(&lane("a"), position.clone())).unwrap();
    let refused = block_on(journal.commit(&lane("a"), owner, commit(1, 10)));
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "{refused:?}");
    let taken = block_on(journal.take(&lane("a"))).unwrap();
    assert_eq!((taken.position, taken.open), (position, vec![]));
}

/// GIVEN an open journal, WHEN a second one is opened on its folder, THEN it is refused by name.
#[test]
fn a_folder_has_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let _first = LocalJournal::open(folder.path()).unwrap();
    let second = LocalJournal::open(folder.path());
    assert!(matches!(second, Err(JournalError::Locked { .. })), "{second:?}");
}

/// The journal's thread lets go of the folder a moment after the journal is dropped.
pub(super) fn reopen(folder: &Path) -> LocalJournal {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match LocalJournal::open(folder) {
            Err(JournalError::Locked { .. }) if std::time::Instant::now() < deadline => thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}
