//! The journal of one machine: an embedded store in the data folder, written by one thread.
//!
//! All lanes' writes go through that thread, which takes whatever is waiting, writes it as one atomic batch and syncs
//! the disk once: group commit. A thousand lanes cost as many syncs as one.
//!
//! What lanes remember lies beside the store, in logs: a group's records are written and synced first, then the batch that
//! says where each log ends now. A snapshot, which may be large, is on the disk before its commit comes to the thread.
//!
//! The store's own lock keeps a second process out of the folder. Offsets in Kafka are for lag tools alone: a position
//! is read from here and from nowhere else.

mod state_files;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::state_log::LogEnd;
use super::{Commit, Intent, Journal, JournalError, Owner, Position, Raised, Taken};
use crate::offsets::LaneId;
use crate::state::{Sealed, StateError};
use state_files::StateFiles;
use writer::{Draft, MAX_GROUP, Request, Write, Writer};

/// The journal in a data folder.
#[derive(Debug)]
pub struct LocalJournal {
    requests: mpsc::SyncSender<Request>,
    store: Store,
}

#[derive(Clone)]
struct Store {
    database: Database,
    lanes: Keyspace,
    intents: Keyspace,
    topics: Keyspace,
    files: StateFiles,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// What is stored of a lane.
#[derive(Clone, Serialize, Deserialize)]
struct LaneRecord {
    lane: LaneId,
    owner: Owner,
    position: Position,
    /// Where its state ends.
    #[serde(default)]
    state: LogEnd,
}

/// What is stored of a transform's topic.
#[derive(Clone, Serialize, Deserialize)]
struct TopicRecord {
    partitions: i32,
    raised: Vec<Raised>,
}

impl LocalJournal {
    /// Opens the journal of this data folder, or makes it. Fails at once if another process has it open.
    pub fn open(data: &Path) -> Result<Self, JournalError> {
        let database = Database::builder(data.join("journal")).open().map_err(|source| {
            if matches!(source, fjall::Error::Locked) {
                return JournalError::Locked { path: data.display().to_string() };
            }
            JournalError::Storage { action: "opening the store", source }
        })?;
        let keyspace = |name| {
            database
                .keyspace(name, KeyspaceCreateOptions::default)
                .map_err(|source| JournalError::Storage { action: "opening a keyspace", source })
        };
        let files = StateFiles::open(data.join("state")).map_err(disk("opening the folder of state"))?;
        let (lanes, intents, topics) = (keyspace("lanes")?, keyspace("intents")?, keyspace("topics")?);
        let store = Store { lanes, intents, topics, database, files };
        let (requests, queue) = mpsc::sync_channel(MAX_GROUP);
        let writer = Writer::new(store.clone());
        thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&queue))
            .map_err(|e| JournalError::Storage { action: "starting the journal's thread", source: e.into() })?;
        Ok(Self { requests, store })
    }

    /// Sends a write to the thread and waits until it is durable. The queue is bounded by the lanes, each of which has
    /// one write under way, so the send blocks only while a sync is running.
    async fn write(&self, lane: &LaneId, write: Write) -> Result<LaneRecord, JournalError> {
        let (done, answer) = oneshot::channel();
        let request = Request { lane: lane.clone(), write, done };
        self.requests.send(request).map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// Writes and syncs the log that a snapshot begins, on a thread of its own, so that the commits of other lanes do not
    /// wait for it. It gets its name with the commit. None: the lane has another owner, as the commit will say.
    async fn draft(&self, lane: &LaneId, owner: Owner, snapshot: Sealed) -> Result<Option<Draft>, JournalError> {
        let (files, key) = (self.store.files.clone(), lane_key(lane));
        let Some(record) = self.store.lane(lane)?.filter(|record| record.owner == owner) else { return Ok(None) };
        let (done, answer) = oneshot::channel();
        let write = move || {
            let before = record.state;
            let append = before.append(&key, &snapshot);
            let draft = append.map(|append| {
                let path = files.draft(&key, &append, owner.0)?;
                Ok(Draft { path, before, end: append.end })
            });
            done.send(draft.transpose()).ok(); // the lane may be gone
        };
        thread::Builder::new().name("snapshot".into()).spawn(write).map_err(disk("starting a thread"))?;
        answer.await.map_err(|_| JournalError::Closed)?.map_err(disk("writing a snapshot"))
    }
}

impl Journal for LocalJournal {
    fn partitions<'a>(&'a self, lane: &'a LaneId, count: i32) -> BoxFuture<'a, Result<Option<Raised>, JournalError>> {
        async move {
            self.write(lane, Write::Partitions(count)).await?;
            let raised = self.store.topic(lane)?.and_then(|topic| topic.raised.last().copied());
            raised.map(|raised| self.store.waits(lane, raised)).transpose()
        }
        .boxed()
    }

    fn take<'a>(&'a self, lane: &'a LaneId) -> BoxFuture<'a, Result<Taken, JournalError>> {
        async move {
            let record = self.write(lane, Write::Take).await?;
            let open = self.store.open_intents(lane)?;
            Ok(Taken { owner: record.owner, position: record.position, open })
        }
        .boxed()
    }

    fn intend<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        intent: &'a Intent,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move { self.write(lane, Write::Intend(owner, Box::new(intent.clone()))).await.map(drop) }.boxed()
    }

    fn commit<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        mut commit: Commit,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            let draft = match std::mem::take(&mut commit.state) {
                snapshot @ Sealed::Snapshot(_) => self.draft(lane, owner, snapshot).await?,
                state @ (Sealed::Changes(_) | Sealed::Unchanged) => {
                    commit.state = state;
                    None
                }
            };
            self.write(lane, Write::Commit(owner, commit, draft)).await.map(drop)
        }
        .boxed()
    }

    fn state(
        &self,
        lane: &LaneId,
        owner: Owner,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError> {
        let Some(record) = self.store.lane(lane)? else { return Ok(()) };
        fence(&record, owner)?;
        self.store.state(&record, each)
    }

    fn restart<'a>(&'a self, lane: &'a LaneId, position: Position) -> BoxFuture<'a, Result<(), JournalError>> {
        async move { self.write(lane, Write::Restart(position)).await.map(drop) }.boxed()
    }

    fn disk_of(&self, lane: &LaneId) -> Option<PathBuf> {
        Some(self.store.files.disk(&lane_key(lane)))
    }

    fn lanes(&self) -> Result<Vec<(LaneId, Position, usize)>, JournalError> {
        let mut lanes = Vec::new();
        for entry in self.store.lanes.iter() {
            let (key, value) = entry.into_inner().map_err(storage("reading lanes"))?;
            let record: LaneRecord = parse(&key, &value)?;
            let open = self.store.open_intents(&record.lane)?.len();
            lanes.push((record.lane, record.position, open));
        }
        Ok(lanes)
    }

    fn state_versions(&self, tenant: &str, plugin: &str) -> Result<Vec<u32>, JournalError> {
        let mut versions = BTreeSet::new();
        for entry in self.store.lanes.iter() {
            let (key, value) = entry.into_inner().map_err(storage("reading lanes"))?;
            let LaneRecord { lane, position, .. } = parse(&key, &value)?;
            if lane.tenant == tenant && lane.plugin == plugin {
                let open = self.store.open_intents(&lane)?;
                versions.extend(position.state_versions);
                versions.extend(open.iter().filter_map(|intent| intent.state_version));
            }
        }
        Ok(versions.into_iter().collect())
    }
}

impl LocalJournal {
    /// The records of a lane's state, in order, for somebody who only looks.
    ///
    /// # Errors
    /// They can't be read.
    pub fn look(
        &self,
        lane: &LaneId,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError> {
        self.store.lane(lane)?.map_or(Ok(()), |record| self.store.state(&record, each))
    }
}

impl Store {
    fn state(
        &self,
        record: &LaneRecord,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError> {
        let key = lane_key(&record.lane);
        self.files.read(&key, record.state, each).map_err(|source| JournalError::State {
            lane: Box::new(record.lane.clone()),
            path: self.files.path(&key, record.state.number).display().to_string(),
            source,
        })
    }

    fn lane(&self, lane: &LaneId) -> Result<Option<LaneRecord>, JournalError> {
        let key = lane_key(lane);
        let value = self.lanes.get(&key).map_err(storage("reading a lane"))?;
        value.map(|value| parse(&key, &value)).transpose()
    }

    /// A lane that was never taken. Where its topic was deleted and made again, its generation is above those of the
    /// former topic's lanes: its offsets begin anew, and its versions must be the greater ones all the same.
    fn new_lane(&self, lane: &LaneId) -> Result<LaneRecord, JournalError> {
        let mut position = Position::default();
        for entry in self.lanes.prefix(topic_key(lane)) {
            let (key, value) = entry.into_inner().map_err(storage("reading lanes"))?;
            let former: LaneRecord = parse(&key, &value)?;
            if former.lane.topic_id != lane.topic_id {
                position.generation = position.generation.max(former.position.generation.saturating_add(1));
            }
        }
        for raised in self.topic(lane)?.map(|topic| topic.raised).unwrap_or_default() {
            if !(raised.from..raised.to).contains(&lane.partition) {
                continue;
            }
            position.generation = position.generation.max(raised.generation);
            // An operator may have raised the older lanes since, before this one was there to be raised with them.
            for older in self.lanes_of_topic(lane)?.iter().filter(|older| older.lane.partition < raised.from) {
                position.generation = position.generation.max(older.position.generation.saturating_add(1));
            }
        }
        Ok(LaneRecord { lane: lane.clone(), owner: Owner(0), position, state: LogEnd::default() })
    }

    fn topic(&self, lane: &LaneId) -> Result<Option<TopicRecord>, JournalError> {
        let key = topic_id_key(lane);
        let value = self.topics.get(&key).map_err(storage("reading a topic"))?;
        value.map(|value| parse(&key, &value)).transpose()
    }

    /// The lanes of a lane's topic that were ever taken, its own among them.
    fn lanes_of_topic(&self, lane: &LaneId) -> Result<Vec<LaneRecord>, JournalError> {
        self.lanes
            .prefix(topic_id_key(lane))
            .map(|entry| {
                let (key, value) = entry.into_inner().map_err(storage("reading lanes"))?;
                parse(&key, &value)
            })
            .collect()
    }

    /// The record of a topic that has so many partitions now, if that is news. A journal that is older than these records
    /// knows a topic by its lanes.
    fn with_partitions(&self, lane: &LaneId, count: i32) -> Result<Option<TopicRecord>, JournalError> {
        let lanes = self.lanes_of_topic(lane)?;
        let by_lanes = || {
            Some(TopicRecord {
                partitions: lanes.iter().map(|record| record.lane.partition + 1).max()?,
                raised: Vec::new(),
            })
        };
        let Some(mut topic) = self.topic(lane)?.or_else(by_lanes) else {
            return Ok(Some(TopicRecord { partitions: count, raised: Vec::new() }));
        };
        if count > topic.partitions {
            let generations = lanes.iter().map(|record| record.position.generation);
            let highest = generations.chain(topic.raised.iter().map(|raised| raised.generation)).max();
            let generation = highest.unwrap_or(Position::default().generation).saturating_add(1);
            topic.raised.push(Raised { from: topic.partitions, to: count, generation, waits: false });
            topic.partitions = count;
            return Ok(Some(topic));
        }
        Ok(None)
    }

    fn waits(&self, lane: &LaneId, raised: Raised) -> Result<Raised, JournalError> {
        let behind =
            |record: &LaneRecord| record.lane.partition < raised.from && record.position.generation < raised.generation;
        let waits = raised.to % raised.from != 0 && self.lanes_of_topic(lane)?.iter().any(behind);
        Ok(Raised { waits, ..raised })
    }

    fn open_intents(&self, lane: &LaneId) -> Result<Vec<Intent>, JournalError> {
        self.intents
            .prefix(lane_key(lane))
            .map(|entry| {
                let (key, value) = entry.into_inner().map_err(storage("reading intents"))?;
                parse(&key, &value)
            })
            .collect()
    }
}

fn fence(record: &LaneRecord, mine: Owner) -> Result<(), JournalError> {
    if record.owner == mine {
        return Ok(());
    }
    Err(JournalError::Fenced { lane: Box::new(record.lane.clone()), mine: mine.0, now: record.owner.0 })
}

/// Names can't hold a zero byte (Kafka's topic names, folder names), so it ends each part, and no lane's key is the
/// beginning of another's.
fn lane_key(lane: &LaneId) -> Vec<u8> {
    let mut key = topic_id_key(lane);
    key.extend_from_slice(format!("{}\0", lane.partition).as_bytes());
    key
}

/// The beginning that the keys of all lanes of a transform on one topic share.
fn topic_id_key(lane: &LaneId) -> Vec<u8> {
    let mut key = topic_key(lane);
    key.extend_from_slice(format!("{}\0", lane.topic_id).as_bytes());
    key
}

/// The beginning that the keys of all lanes of a transform on a topic share, whatever the topic's id.
fn topic_key(lane: &LaneId) -> Vec<u8> {
    format!("{}\0{}\0{}\0", lane.tenant, lane.plugin, lane.topic).into_bytes()
}

/// Big-endian, so that a lane's intents are read in epoch order.
fn intent_key(lane: &LaneId, epoch: u64) -> Vec<u8> {
    let mut key = lane_key(lane);
    key.extend_from_slice(&epoch.to_be_bytes());
    key
}

fn storage(action: &'static str) -> impl Fn(fjall::Error) -> JournalError {
    move |source| JournalError::Storage { action, source }
}

fn disk(action: &'static str) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Storage { action, source: source.into() }
}

/// JSON: a few hundred bytes an epoch, readable with any tool when something is wrong.
fn json<T: Serialize>(record: &T) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(record).map_err(|source| JournalError::Record { key: "to be written".into(), source })
}

fn parse<T: for<'a> Deserialize<'a>>(key: &[u8], value: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(value)
        .map_err(|source| JournalError::Record { key: String::from_utf8_lossy(key).into_owned(), source })
}

#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
