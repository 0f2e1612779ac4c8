//! The state of lanes on the disk: what a crash leaves, and what damage is told.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::tests::{block_on, commit, lane, reopen};
use super::*;
use crate::journal::LogError;
use crate::state::Sealed;

/// A commit that changes the state.
fn remembers(epoch: u64, state: Sealed) -> Commit {
    Commit { state, ..commit(epoch, i64::try_from(epoch).unwrap() * 10) }
}

fn changes(text: &str) -> Sealed {
    Sealed::Changes(text.into())
}

fn snapshot(text: &str) -> Sealed {
    Sealed::Snapshot(text.into())
}

/// The records of a lane's state.
fn records(journal: &LocalJournal, lane: &LaneId, owner: Owner) -> Result<Vec<String>, JournalError> {
    let mut records = Vec::new();
    let each = &mut |record: &[u8]| {
        records.push(String::from_utf8(record.to_vec()).unwrap());
        Ok(())
    };
    journal.state(lane, owner, each).map(|()| records)
}

/// Takes a lane and reads its state.
fn retaken(journal: &LocalJournal, lane: &LaneId) -> Result<Vec<String>, JournalError> {
    let owner = block_on(journal.take(lane)).unwrap().owner;
    records(journal, lane, owner)
}

/// The same in a new process.
fn taken(folder: &Path, lane: &LaneId) -> Result<Vec<String>, JournalError> {
    retaken(&reopen(folder), lane)
}

/// The files in the folder of state.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(folder.join("state")).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.sort();
    logs
}

/// A folder in which lane `a` has committed these, one epoch each.
fn folder_with(states: &[Sealed]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    for (epoch, state) in (1..).zip(states) {
        block_on(journal.commit(&lane("a"), owner, remembers(epoch, state.clone()))).unwrap();
    }
    drop(journal);
    folder
}

/// Why the state of lane `a` can't be read, and that the error says what to do.
fn refused(journal: &LocalJournal) -> LogError {
    match retaken(journal, &lane("a")) {
        Err(error @ JournalError::State { .. }) => {
            let words = error.to_string();
            assert!(words.contains("engine recover --plugin a --topic orders --partition 0"), "{words}");
            assert!(words.contains("/state/") && words.contains(".log"), "it names the file: {words}");
            let JournalError::State { source, .. } = error else { unreachable!() };
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_committed_is_there_in_order() {
    let folder = folder_with(&[changes("one"), Sealed::Unchanged, changes(""), changes("three")]);
    assert_eq!(taken(folder.path(), &lane("a")).unwrap(), ["one", "", "three"]);
    assert!(taken(folder.path(), &lane("b")).unwrap().is_empty());
    let again = folder_with(&[Sealed::Unchanged]);
    assert!(taken(again.path(), &lane("a")).unwrap().is_empty());
    assert!(logs(again.path()).is_empty(), "a lane that remembers nothing has no file");
}

#[test]
fn a_snapshot_takes_the_place_of_all_before_it() {
    let folder = folder_with(&[changes("one"), changes("two"), snapshot("both"), changes("three")]);
    assert_eq!(taken(folder.path(), &lane("a")).unwrap(), ["both", "three"]);
    assert_eq!(logs(folder.path()).len(), 1);
    let first = folder_with(&[snapshot("all")]);
    assert_eq!(taken(first.path(), &lane("a")).unwrap(), ["all"]);
}

/// GIVEN a crash while a record was appended, however far it came, WHEN the lane is taken, THEN it is cut off, and the next
/// record follows the last committed one.
#[test]
fn a_torn_record_is_cut_off() {
    for garbage in [&b"x"[..], &[0; 16], &[0xff; 1000]] {
        let folder = folder_with(&[changes("one")]);
        let log = logs(folder.path()).remove(0);
        let whole = fs::read(&log).unwrap();
        fs::write(&log, [&whole, garbage].concat()).unwrap();
        let journal = reopen(folder.path());
        let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
        assert_eq!(records(&journal, &lane("a"), owner).unwrap(), ["one"]);
        block_on(journal.commit(&lane("a"), owner, remembers(2, changes("two")))).unwrap();
        assert_eq!(records(&journal, &lane("a"), owner).unwrap(), ["one", "two"]);
        assert!(fs::read(&log).unwrap().starts_with(&whole));
    }
}

/// GIVEN a crash at each step of the change to a new log, WHEN the lane is taken, THEN it has the state of its last commit, and
/// the other log is gone.
#[test]
fn a_crash_at_any_step_of_a_snapshot_leaves_one_log() {
    let before = folder_with(&[changes("one")]);
    let after = folder_with(&[changes("one"), snapshot("two")]);
    let (old, new) = (logs(before.path()).remove(0), logs(after.path()).remove(0));
    let (old_bytes, new_bytes) = (fs::read(&old).unwrap(), fs::read(&new).unwrap());
    // The new log is written, in part or whole, and the commit is not.
    let journal = reopen(before.path());
    for written in 0..=new_bytes.len() {
        fs::write(before.path().join("state").join(new.file_name().unwrap()), &new_bytes[..written]).unwrap();
        assert_eq!(retaken(&journal, &lane("a")).unwrap(), ["one"]);
        assert_eq!(logs(before.path()), std::slice::from_ref(&old));
    }
    // The commit is, and the old log is still there.
    fs::write(after.path().join("state").join(old.file_name().unwrap()), &old_bytes).unwrap();
    assert_eq!(taken(after.path(), &lane("a")).unwrap(), ["two"]);
    assert_eq!(logs(after.path()), [new]);
}

/// GIVEN a snapshot that was on its way when the process ended, or whose lane was taken meanwhile, THEN its draft is removed by the
/// next process, and what was committed stays.
#[test]
fn a_snapshot_without_a_commit_leaves_nothing() {
    let folder = folder_with(&[changes("one")]);
    let journal = reopen(folder.path());
    let former = block_on(journal.take(&lane("a"))).unwrap().owner;
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    let refused = block_on(journal.commit(&lane("a"), former, remembers(2, snapshot("two"))));
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "{refused:?}");
    assert_eq!(records(&journal, &lane("a"), owner).unwrap(), ["one"]);
    drop(journal);
    fs::write(logs(folder.path())[0].with_extension("7.draft"), "half").unwrap();
    assert_eq!(taken(folder.path(), &lane("a")).unwrap(), ["one"]);
    assert_eq!(logs(folder.path()).len(), 1);
}

#[test]
fn a_log_that_is_gone_or_short_is_told() {
    let folder = folder_with(&[changes("one"), changes("two")]);
    let log = logs(folder.path()).remove(0);
    let (whole, journal) = (fs::read(&log).unwrap(), reopen(folder.path()));
    for length in 0..whole.len() {
        fs::write(&log, &whole[..length]).unwrap();
        let error = refused(&journal);
        assert!(matches!(error, LogError::Short { bytes } if bytes == whole.len() as u64), "{length}: {error:?}");
    }
    fs::remove_file(&log).unwrap();
    assert!(matches!(refused(&journal), LogError::Io(_)));
}

#[test]
fn any_damaged_bit_is_told() {
    let folder = folder_with(&[changes("one"), changes("two")]);
    let log = logs(folder.path()).remove(0);
    let (whole, journal) = (fs::read(&log).unwrap(), reopen(folder.path()));
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        fs::write(&log, &damaged).unwrap();
        let error = refused(&journal);
        assert!(matches!(error, LogError::Damaged { .. } | LogError::Foreign), "byte {byte}: {error:?}");
    }
}

/// GIVEN a log of another lane, of another number or of another history under the lane's name, THEN it is not taken for the
/// lane's, also where all its records are whole.
#[test]
fn a_foreign_log_is_told() {
    let folder = folder_with(&[changes("one")]);
    let log = logs(folder.path()).remove(0);
    let journal = reopen(folder.path());
    let other = block_on(journal.take(&lane("b"))).unwrap().owner;
    block_on(journal.commit(&lane("b"), other, remembers(1, changes("one")))).unwrap();
    let others = logs(folder.path()).into_iter().find(|path| *path != log).unwrap();
    fs::copy(&others, &log).unwrap();
    assert!(matches!(refused(&journal), LogError::Foreign));

    let history = folder_with(&[changes("two")]);
    fs::copy(&logs(history.path())[0], &log).unwrap();
    assert!(matches!(refused(&journal), LogError::Damaged { .. }));
    let numbered = folder_with(&[changes("one"), snapshot("one")]);
    fs::copy(&logs(numbered.path())[0], &log).unwrap();
    assert!(matches!(refused(&journal), LogError::Foreign));
}

#[test]
fn a_record_that_says_nothing_is_told() {
    let folder = folder_with(&[changes("one")]);
    let journal = reopen(folder.path());
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    let read = journal.state(&lane("a"), owner, &mut |_| Err(StateError::Damaged("nonsense")));
    assert!(matches!(read, Err(JournalError::State { source: LogError::Record(_), .. })), "{read:?}");
}

/// GIVEN a former owner, WHEN it commits or reads, THEN it is refused, and the log is as the new owner left it.
#[test]
fn a_former_owner_neither_reads_nor_writes() {
    let folder = folder_with(&[changes("one")]);
    let journal = reopen(folder.path());
    let former = block_on(journal.take(&lane("a"))).unwrap().owner;
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    for state in [changes("stale"), snapshot("stale")] {
        let late = block_on(journal.commit(&lane("a"), former, remembers(2, state)));
        assert!(matches!(late, Err(JournalError::Fenced { .. })), "{late:?}");
    }
    assert!(matches!(records(&journal, &lane("a"), former), Err(JournalError::Fenced { .. })));
    assert_eq!(records(&journal, &lane("a"), owner).unwrap(), ["one"]);
}

/// GIVEN a state, WHEN an operator restarts the lane, THEN nothing is remembered, and what is remembered from then on is alone.
#[test]
fn a_restart_forgets() {
    let folder = folder_with(&[changes("one"), snapshot("two")]);
    let journal = reopen(folder.path());
    block_on(journal.restart(&lane("a"), Position::default())).unwrap();
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    assert!(records(&journal, &lane("a"), owner).unwrap().is_empty());
    assert!(logs(folder.path()).is_empty());
    block_on(journal.commit(&lane("a"), owner, remembers(1, changes("anew")))).unwrap();
    drop(journal);
    assert_eq!(taken(folder.path(), &lane("a")).unwrap(), ["anew"]);
}

/// GIVEN a disk that refuses the log, WHEN a commit changes the state, THEN it fails, the journal takes nothing more, and the
/// next one has the commit before: position and state.
#[test]
fn a_commit_whose_state_can_t_be_written_is_none() {
    let folder = folder_with(&[changes("one")]);
    let log = logs(folder.path()).remove(0);
    let journal = reopen(folder.path());
    let owner = block_on(journal.take(&lane("a"))).unwrap().owner;
    let bytes = fs::read(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let failed = block_on(journal.commit(&lane("a"), owner, remembers(2, changes("two"))));
    assert!(matches!(failed, Err(JournalError::Storage { .. })), "{failed:?}");
    let closed = block_on(journal.commit(&lane("a"), owner, remembers(2, Sealed::Unchanged)));
    assert!(matches!(closed, Err(JournalError::Closed)), "{closed:?}");
    drop(journal);
    fs::write(&log, bytes).unwrap();
    let journal = reopen(folder.path());
    let again = block_on(journal.take(&lane("a"))).unwrap();
    assert_eq!((again.position.epoch, records(&journal, &lane("a"), again.owner).unwrap()), (1, vec!["one".into()]));
}

/// GIVEN many lanes that commit at a time, so that groups hold many of them, THEN each has its own state.
#[test]
fn a_group_of_lanes_keeps_their_states_apart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(folder.path()).unwrap();
    let lanes: Vec<_> = (0..50).map(|partition| LaneId { partition, ..lane("a") }).collect();
    let run = |id: LaneId| {
        let journal = &journal;
        async move {
            let owner = journal.take(&id).await.unwrap().owner;
            for epoch in 1..=8 {
                let text = format!("{id} {epoch}");
                let state = if epoch % 3 == 0 { snapshot(&text) } else { changes(&text) };
                journal.commit(&id, owner, remembers(epoch, state)).await.unwrap();
            }
        }
    };
    block_on(futures::future::join_all(lanes.iter().cloned().map(run)));
    drop(journal);
    let journal = reopen(folder.path());
    for id in &lanes {
        let owner = block_on(journal.take(id)).unwrap().owner;
        let expected: Vec<_> = (6..=8).map(|epoch| format!("{id} {epoch}")).collect();
        assert_eq!(records(&journal, id, owner).unwrap(), expected);
    }
    assert_eq!(logs(folder.path()).len(), lanes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever is committed, in whatever processes: the records are those since the last snapshot or restart.
    #[test]
    fn the_log_is_what_was_committed(steps in proptest::collection::vec((0..6u8, 0..3i32, ".{0,20}"), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = reopen(folder.path());
        let mut owners: BTreeMap<i32, (Owner, u64)> = BTreeMap::new();
        let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (step, partition, text) in steps {
            let id = LaneId { partition, ..lane("a") };
            let (owner, epoch) = owners.entry(partition).or_insert_with(|| {
                let taken = block_on(journal.take(&id)).unwrap();
                (taken.owner, taken.position.epoch)
            });
            let known = expected.entry(partition).or_default();
            let state = match step {
                0 => { known.clear(); known.push(text.clone()); Sealed::Snapshot(text.into()) }
                1 => {
                    known.clear();
                    block_on(journal.restart(&id, Position::default())).unwrap();
                    owners.remove(&partition);
                    continue;
                }
                2 => {
                    drop(journal);
                    journal = reopen(folder.path());
                    owners.clear();
                    continue;
                }
                3 => Sealed::Unchanged,
                _ => { known.push(text.clone()); Sealed::Changes(text.into()) }
            };
            *epoch += 1;
            block_on(journal.commit(&id, *owner, remembers(*epoch, state))).unwrap();
        }
        for (partition, known) in expected {
            let id = LaneId { partition, ..lane("a") };
            let owner = block_on(journal.take(&id)).unwrap().owner;
            prop_assert_eq!(records(&journal, &id, owner).unwrap(), known);
        }
    }
}
