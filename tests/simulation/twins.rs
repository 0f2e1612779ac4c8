//! The simulated twins: that they promise what the real ones promise, and that a seed decides a run.

use engine::journal::{Commit, Intent, Journal, JournalError, LocalJournal, Owner, Position, SimulatedDisk};
use engine::offsets::{LaneId, OffsetRange};
use engine::simulation::{Chance, Process};
use engine::state::Sealed;
use futures::FutureExt;
use harness::simulation::run_seed;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn lane() -> LaneId {
    let name = |text: &str| text.to_owned();
    LaneId { tenant: name("x"), plugin: name("p"), topic: name("t"), topic_id: String::new(), partition: 0 }
}

fn intent(epoch: u64) -> Intent {
    let end = i64::try_from(epoch).expect("small") * 10;
    Intent {
        generation: 1,
        epoch,
        range: OffsetRange { start: end - 10, end },
        messages: 1,
        input_digest: "ab".into(),
        plugin_digest: String::new(),
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

fn position(epoch: u64) -> Position {
    Position { epoch, next_offset: Some(intent(epoch).range.end), ..Position::default() }
}

/// What both journals promise, claim by claim.
async fn keeps_the_promises_of_a_journal(journal: &dyn Journal) {
    let lane = lane();
    let commit = |epoch: u64| Commit { epoch, position: position(epoch), state: Sealed::Unchanged };
    let first = journal.take(&lane).await.expect("a new lane");
    assert_eq!((first.owner, first.position, first.open.len()), (Owner(1), Position::default(), 0));
    for epoch in 1..=3 {
        journal.intend(&lane, first.owner, &intent(epoch)).await.expect("its owner writes");
    }
    journal.commit(&lane, first.owner, commit(1)).await.expect("its owner commits");
    let again = journal.commit(&lane, first.owner, commit(1)).await;
    assert!(matches!(again, Err(JournalError::OutOfOrder { epoch: 1, .. })), "{again:?}");

    let second = journal.take(&lane).await.expect("taken over");
    assert_eq!((second.owner, second.position), (Owner(2), position(1)));
    assert_eq!(second.open, [intent(2), intent(3)]);
    let fenced =
        [journal.intend(&lane, first.owner, &intent(4)).await, journal.commit(&lane, first.owner, commit(2)).await];
    for refused in fenced {
        assert!(matches!(refused, Err(JournalError::Fenced { mine: 1, now: 2, .. })), "{refused:?}");
    }

    let restarted = Position { generation: 2, epoch: 0, ..position(1) };
    journal.restart(&lane, restarted.clone()).await.expect("an operator may");
    assert_eq!(journal.lanes().expect("readable"), [(lane.clone(), restarted.clone(), 0)]);
    let third = journal.take(&lane).await.expect("taken again");
    assert_eq!((third.owner, third.position, third.open.len()), (Owner(4), restarted, 0));
}

#[test]
fn the_local_journal_and_its_twin_keep_the_same_promises() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let local = LocalJournal::open(folder.path()).expect("a journal");
    block_on(keeps_the_promises_of_a_journal(&local));
    let disk = SimulatedDisk::new(Chance::new(1));
    block_on(keeps_the_promises_of_a_journal(&disk.open(Process::default())));
}

/// A former owner commits while a new one takes the lane: the new one sees the commit, or it was refused.
async fn a_take_sees_or_refuses(journal: &dyn Journal, turns: usize) {
    let lane = LaneId { partition: i32::try_from(turns).expect("few"), ..lane() };
    let former = journal.take(&lane).await.expect("a new lane").owner;
    let commit = Commit { epoch: 1, position: position(1), state: Sealed::Unchanged };
    let mut take = journal.take(&lane);
    for _ in 0..turns {
        if let Some(taken) = take.as_mut().now_or_never() {
            taken.expect("taken over");
            let late = journal.commit(&lane, former, commit).await;
            return assert!(matches!(late, Err(JournalError::Fenced { .. })), "{late:?}");
        }
    }
    let committed = journal.commit(&lane, former, commit).await.is_ok();
    let seen = take.await.expect("taken over").position.epoch == 1;
    assert_eq!(committed, seen, "after {turns} turns of the take");
}

#[test]
fn a_take_sees_all_that_was_not_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let local = LocalJournal::open(folder.path()).expect("a journal");
    let disk = SimulatedDisk::new(Chance::new(1));
    let twin = disk.open(Process::default());
    for turns in 0..4 {
        block_on(a_take_sees_or_refuses(&local, turns));
        block_on(a_take_sees_or_refuses(&twin, turns));
    }
}

/// GIVEN writes of which the last was not synced, WHEN the process ends, THEN what was synced is there, and the last one
/// is there or not, as the seed has it.
#[test]
fn a_disk_keeps_what_was_synced_and_perhaps_more() {
    let kept = |seed: u64| {
        let disk = SimulatedDisk::new(Chance::new(seed));
        let journal = disk.open(Process::default());
        let owner = block_on(journal.take(&lane())).expect("a new lane").owner;
        block_on(journal.intend(&lane(), owner, &intent(1))).expect("its owner writes");
        disk.fail_after(Some(0));
        assert!(block_on(journal.intend(&lane(), owner, &intent(2))).is_err());
        assert!(matches!(block_on(journal.take(&lane())), Err(JournalError::Closed)));
        block_on(disk.open(Process::default()).take(&lane())).expect("the disk works again").open.len()
    };
    let kept: Vec<_> = (0..20).map(kept).collect();
    assert!(kept.contains(&1) && kept.contains(&2) && kept.iter().all(|open| (1..=2).contains(open)), "{kept:?}");
}

#[test]
fn a_seed_decides_a_run() {
    for seed in 0..10 {
        assert_eq!(run_seed(seed), run_seed(seed), "seed {seed}");
    }
}
