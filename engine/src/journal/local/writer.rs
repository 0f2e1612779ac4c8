//! The journal's thread: group commit.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;

use fjall::{OwnedWriteBatch, PersistMode};
use tokio::sync::oneshot;

use super::super::state_log::LogEnd;
use super::super::{Commit, Intent, JournalError, Owner, Position};
use super::state_files::StateFiles;
use super::{LaneRecord, Store, fence, intent_key, json, lane_key, topic_id_key};
use crate::offsets::LaneId;

/// Most writes that share one sync: bounds the batch, and the wait of its first write.
pub(super) const MAX_GROUP: usize = 256;

/// A write, and who waits for it.
pub(super) struct Request {
    pub lane: LaneId,
    pub write: Write,
    pub done: oneshot::Sender<Result<LaneRecord, JournalError>>,
}

/// What is written of a lane.
pub(super) enum Write {
    Take,
    Intend(Owner, Box<Intent>),
    Commit(Owner, Commit, Option<Draft>),
    Restart(Position),
    Partitions(i32),
}

/// A log that a snapshot begins, on the disk already, and not under its name.
pub(super) struct Draft {
    pub path: PathBuf,
    /// Where the lane's log ended when it was written.
    pub before: LogEnd,
    /// Where the new one ends.
    pub end: LogEnd,
}

/// The thread that writes.
pub(super) struct Writer {
    store: Store,
    /// The lanes written so far: the fence is checked against memory, not the disk.
    known: HashMap<LaneId, LaneRecord>,
}

impl Writer {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: HashMap::new() }
    }

    pub(super) fn run(mut self, queue: &mpsc::Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let group: Vec<_> = std::iter::once(first).chain(queue.try_iter().take(MAX_GROUP - 1)).collect();
            if self.write_group(group).is_err() {
                return; // reported to the group; the store takes no more writes after a failed sync
            }
        }
    }

    /// Writes a group in one batch, syncs, then answers. A refused write is left out of the batch.
    fn write_group(&mut self, group: Vec<Request>) -> Result<(), ()> {
        let mut staged = Staged::new(self.store.database.batch().durability(Some(PersistMode::SyncAll)));
        let outcomes: Vec<_> =
            group.into_iter().map(|request| (self.stage(&mut staged, &request), request.done)).collect();
        let written = staged.write();
        for (lane, end) in written.iter().flatten() {
            self.store.files.clean(lane, *end);
        }
        for (outcome, done) in outcomes {
            let outcome = match &written {
                Ok(_) => outcome,
                Err(e) => Err(JournalError::Storage { action: "writing", source: repeat(e) }),
            };
            // The lane may have been dropped meanwhile: then nobody waits, and the next taker reads the record.
            drop(done.send(outcome));
        }
        written.map(drop).map_err(drop)
    }

    /// Checks one write against the lane as it stands after the writes staged before it, and adds it to the batch.
    fn stage(&mut self, staged: &mut Staged, request: &Request) -> Result<LaneRecord, JournalError> {
        let (lane, store) = (&request.lane, &self.store);
        let mut record = match self.known.get(lane) {
            Some(record) => record.clone(),
            None => match store.lane(lane)? {
                Some(record) => record,
                None => store.new_lane(lane)?,
            },
        };
        match &request.write {
            Write::Take => {
                record.owner.0 += 1;
                staged.unclean.insert(lane_key(lane), record.state);
            }
            Write::Intend(owner, intent) => {
                fence(&record, *owner)?;
                staged.batch.insert(&store.intents, intent_key(lane, intent.epoch), json(intent)?);
                return Ok(record);
            }
            Write::Commit(owner, commit, draft) => {
                fence(&record, *owner)?;
                let of_another = draft.as_ref().is_some_and(|draft| draft.before != record.state);
                if of_another || commit.epoch <= record.position.epoch || commit.position.epoch != commit.epoch {
                    return Err(JournalError::OutOfOrder { lane: Box::new(lane.clone()), epoch: commit.epoch });
                }
                record.position = commit.position.clone();
                record.state = staged.remember(&store.files, lane, record.state, commit, draft.as_ref());
                staged.batch.remove(&store.intents, intent_key(lane, commit.epoch));
            }
            Write::Partitions(count) => {
                if let Some(topic) = store.with_partitions(lane, *count)? {
                    staged.batch.insert(&store.topics, topic_id_key(lane), json(&topic)?);
                }
                return Ok(record);
            }
            Write::Restart(position) => {
                for open in store.open_intents(lane)? {
                    staged.batch.remove(&store.intents, intent_key(lane, open.epoch));
                }
                record.owner.0 += 1;
                record.position = position.clone();
                record.state = record.state.next();
                staged.unclean.insert(lane_key(lane), record.state);
            }
        }
        staged.batch.insert(&store.lanes, lane_key(lane), json(&record)?);
        self.known.insert(lane.clone(), record.clone());
        Ok(record)
    }
}

/// A group on its way to the disk.
struct Staged {
    batch: OwnedWriteBatch,
    /// Logs that were written, to be synced before the batch.
    unsynced: BTreeMap<Vec<u8>, File>,
    /// Lanes with files that nothing names once the batch is durable, and where their logs end then.
    unclean: BTreeMap<Vec<u8>, LogEnd>,
    /// The first write that the disk refused: nothing of the group counts then.
    failed: Option<io::Error>,
}

impl Staged {
    fn new(batch: OwnedWriteBatch) -> Self {
        Self { batch, unsynced: BTreeMap::new(), unclean: BTreeMap::new(), failed: None }
    }

    fn try_io<T>(&mut self, io: impl FnOnce() -> io::Result<T>) -> Option<T> {
        match io() {
            Ok(done) => Some(done),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// Writes what a commit changed of the lane's state; gives its new end.
    fn remember(
        &mut self,
        files: &StateFiles,
        lane: &LaneId,
        end: LogEnd,
        commit: &Commit,
        draft: Option<&Draft>,
    ) -> LogEnd {
        let key = lane_key(lane);
        if let Some(draft) = draft {
            self.try_io(|| files.name(&draft.path, &key, draft.end.number));
            self.unclean.insert(key, draft.end);
            return draft.end;
        }
        let Some(append) = end.append(&key, &commit.state) else { return end };
        if let Some(file) = self.try_io(|| files.append(&key, &append)) {
            self.unsynced.insert(key.clone(), file);
        }
        if append.end.number != end.number {
            self.unclean.insert(key, append.end);
        }
        append.end
    }

    /// Logs first, then the batch that names their ends. Gives the lanes that have files to be cleaned.
    fn write(mut self) -> Result<BTreeMap<Vec<u8>, LogEnd>, fjall::Error> {
        for file in std::mem::take(&mut self.unsynced).into_values() {
            self.try_io(|| file.sync_data());
        }
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        self.batch.commit()?;
        Ok(self.unclean)
    }
}

/// fjall's errors can't be cloned, and each write of a failed group is told of it.
fn repeat(error: &fjall::Error) -> fjall::Error {
    fjall::Error::Io(io::Error::other(error.to_string()))
}
