//! The journal: what each lane has decided and done. The exactly-once argument rests on it.
//!
//! **Promise.** What `intend` and `commit` returned `Ok` for survives a crash of the process and a power cut. A commit
//! is one atomic step: position, clock, watermark, changes of the lane's state, end of the intent. Both are refused for an
//! owner that is no longer the lane's.
//! **Assumed.** The disk keeps what it has synced.
//!
//! | crash | found | recovery |
//! |---|---|---|
//! | before the intent is durable | the old position | collect anew; nothing had left |
//! | intent durable; nothing, some or all of its blocks inserted | open intent | make the blocks again, insert under the same tokens, commit |
//! | state's record written, commit not durable | open intent, the old position and the old end of the state | the record is cut off; as above |
//! | commit durable | the new position and state | nothing |
//!
//! *Invariant:* no block leaves for a table before the intent that names it is durable.
//! *Invariant:* commits of a lane are made in epoch order, and each begins where the one before it ended.
//! *Invariant:* position and state are never apart: both are what the last commit says.

mod local;
mod simulated;
mod state_log;

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::offsets::{LaneId, OffsetRange};
use crate::state::{Sealed, StateError};

pub use local::LocalJournal;
pub use simulated::{SimulatedDisk, SimulatedJournal};
pub use state_log::LogError;

/// Grows by one each time a process takes the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub u64);

/// Where a lane stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Raised by an operator's replay, a re-snapshot, a changed partition count; part of every token and version.
    pub generation: u16,
    /// The last committed epoch; 0 before the first.
    pub epoch: u64,
    /// The offset after the last committed range; `None` before the first commit.
    pub next_offset: Option<i64>,
    /// The last committed epoch's clock, ms since 1970-01-01 UTC: the clock never goes back.
    pub clock_ms: i64,
    /// Digest of the plugin that made the last committed epoch.
    pub plugin_digest: Option<String>,
    /// What the next epoch sees as its watermark, ms since 1970-01-01 UTC; `None` before the first event. Never goes back.
    #[serde(default)]
    pub watermark_ms: Option<i64>,
    /// The versions of the plugin's state that wrote the lane's entries, ascending; none: there are no entries.
    #[serde(default)]
    pub state_versions: Vec<u32>,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            generation: 1,
            epoch: 0,
            next_offset: None,
            clock_ms: 0,
            plugin_digest: None,
            watermark_ms: None,
            state_versions: Vec::new(),
        }
    }
}

impl Position {
    /// Where a lane goes on by an operator's decision: in another generation, with nothing remembered. Where it does not go on
    /// where it stands, the time of its events begins anew as well.
    #[must_use]
    pub fn restarted(&self, generation: u16, next_offset: Option<i64>) -> Self {
        Self {
            generation,
            epoch: 0,
            next_offset,
            clock_ms: self.clock_ms,
            plugin_digest: self.plugin_digest.clone(),
            watermark_ms: self.watermark_ms.filter(|_| next_offset == self.next_offset),
            state_versions: Vec::new(),
        }
    }
}

/// One call of the plugin within an epoch: a range of decoded rows of one decoded chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Ordinal of the decoded chunk in the epoch.
    pub chunk: u32,
    /// First row of the chunk.
    pub start: u32,
    /// Row after the last.
    pub end: u32,
    /// Whether the call began a fresh instance.
    pub fresh: bool,
}

/// A row on which the plugin failed, found by bisection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poison {
    /// The message's offset.
    pub offset: i64,
    /// The fault's word.
    pub code: String,
    /// The fault in words.
    pub reason: String,
}

/// How the entries that had expired were given to the plugin, where a call failed on some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// The calls that succeeded, in order. A chunk is a batch of entries, in the order in which they are handed out.
    pub calls: Vec<Call>,
    /// The entries that no call succeeded on.
    pub poison: Vec<PoisonEntry>,
}

/// An expired entry on which the plugin failed, found by bisection. What it held is in the state that the epoch began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoisonEntry {
    /// Ordinal of its batch in the epoch.
    pub batch: u32,
    /// Which entry of the batch.
    pub entry: u32,
    /// The fault's word.
    pub code: String,
    /// The fault in words.
    pub reason: String,
}

/// What an epoch will insert into one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBlock {
    /// Database and table.
    pub table: String,
    /// Rows of the block.
    pub rows: usize,
    /// The block's digest, in hex.
    pub digest: String,
}

/// Everything that an epoch depends on, written down before anything leaves, so that it can be made again exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The lane's generation.
    pub generation: u16,
    /// The epoch's number; never used again, not even when the epoch is given up.
    pub epoch: u64,
    /// The offsets that the epoch covers; an epoch of timers alone covers none.
    pub range: OffsetRange,
    /// Messages found in the range.
    pub messages: usize,
    /// Digest of the decoded input, in hex.
    pub input_digest: String,
    /// Digest of the plugin's bytes; empty for bronze.
    pub plugin_digest: String,
    /// Digest of what else decides the output: parameters, input options, limits, tables, contract version.
    pub settings_digest: String,
    /// Digests of the schemas that the registry gave for the batch's ids, `None` where it had none of that id. Nothing:
    /// there was no id, or no registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<BTreeMap<u32, Option<String>>>,
    /// The epoch's clock, ms since 1970-01-01 UTC.
    pub clock_ms: i64,
    /// The watermark that its calls saw.
    #[serde(default)]
    pub watermark_ms: Option<i64>,
    /// The watermark that the next epoch sees.
    #[serde(default)]
    pub next_watermark_ms: Option<i64>,
    /// Digest of what it changed of the lane's state, in hex; `None`: the plugin keeps no state.
    #[serde(default)]
    pub state_digest: Option<String>,
    /// The version of that state.
    #[serde(default)]
    pub state_version: Option<u32>,
    /// The calls on expired entries; `None`: each batch of them was one call, and none failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
    /// The calls on rows that succeeded, in order.
    pub calls: Vec<Call>,
    /// The rows that no call succeeded on.
    pub poison: Vec<Poison>,
    /// Its messages were parked, for this reason: each is a letter, and the plugin was not called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// What it inserts.
    pub blocks: Vec<PlannedBlock>,
    /// For each block, how far its table had come before it: [`crate::sink::Sink::mark`]. Tells a recovery whether the
    /// table can still know the block's token.
    #[serde(default)]
    pub marks: Vec<Option<u64>>,
}

/// The end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The epoch's number.
    pub epoch: u64,
    /// Where the lane stands from now on.
    pub position: Position,
    /// What the epoch changed of the lane's state.
    pub state: Sealed,
}

/// A lane just taken: read after the former owner was shut out.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Proves, with each write, that the lane is still this process's.
    pub owner: Owner,
    /// Where the lane stands.
    pub position: Position,
    /// Epochs that were decided and not ended, in order.
    pub open: Vec<Intent>,
}

/// A topic's number of partitions was raised: keys have moved to other partitions, where offsets are smaller.
///
/// New partitions begin in a generation above all others. With partitions chosen as Kafka's clients do, hash modulo count,
/// a key that now has a new partition was in an old one before and never goes back, so its rows win: nothing else is
/// needed where the new count is a multiple of the old one. Otherwise keys have moved between old partitions as well, and
/// nobody can tell from the topic at which offset: that takes an operator, see [`Raised::waits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// Partitions before.
    pub from: i32,
    /// Partitions now.
    pub to: i32,
    /// The generation in which the new ones began.
    pub generation: u16,
    /// Keys have moved between old partitions, whose lanes are still in an earlier generation.
    #[serde(skip)]
    pub waits: bool,
}

/// Remembers lanes.
pub trait Journal: Send + Sync {
    /// Notes, durably and before any of its lanes is taken, how many partitions a lane's topic has. Gives back the last
    /// raise of that number, if there was one.
    fn partitions<'a>(&'a self, lane: &'a LaneId, count: i32) -> BoxFuture<'a, Result<Option<Raised>, JournalError>>;

    /// Takes a lane: raises its owner, durably, and only then reads where it stands.
    fn take<'a>(&'a self, lane: &'a LaneId) -> BoxFuture<'a, Result<Taken, JournalError>>;

    /// Writes an intent, durably.
    fn intend<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        intent: &'a Intent,
    ) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Ends an epoch, durably and in one step.
    fn commit<'a>(&'a self, lane: &'a LaneId, owner: Owner, commit: Commit) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Gives the records of a lane's state, in the order of their commits: a snapshot or the first changes, then changes.
    /// Reads the disk on the calling thread, for seconds where there is much: not for an async worker.
    fn state(
        &self,
        lane: &LaneId,
        owner: Owner,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError>;

    /// The folder for what a lane remembers and memory has no room for; `None`: there is none.
    fn disk_of(&self, lane: &LaneId) -> Option<PathBuf>;

    /// An operator's decision: the lane goes on from this position, in a new generation, its open epochs given up and its
    /// state forgotten.
    fn restart<'a>(&'a self, lane: &'a LaneId, position: Position) -> BoxFuture<'a, Result<(), JournalError>>;

    /// All lanes that were ever taken, with their positions and the number of open intents.
    fn lanes(&self) -> Result<Vec<(LaneId, Position, usize)>, JournalError>;

    /// The versions of its state in which a plugin's lanes keep entries, or will when their open epochs are ended; ascending.
    fn state_versions(&self, tenant: &str, plugin: &str) -> Result<Vec<u32>, JournalError>;
}

/// Why the journal refuses. All of them stop the lane: writing on without a journal would lose or repeat rows.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The data folder is in use by another process.
    #[error("{path} is in use by another engine: two engines must not share a data folder")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The disk or the store failed.
    #[error("journal: {action} failed")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// What the store says.
        #[source]
        source: fjall::Error,
    },
    /// A record can't be read: written by a newer engine, or damaged.
    #[error("journal: record {key} can't be read")]
    Record {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// What a lane remembers can't be read, so that its next rows would be others than before.
    #[error(
        "the state of lane {lane} in {path} can't be read. Restore the whole data folder from a backup, or give the state up: \
         stop the engine and run: engine recover --plugin {} --topic {} --partition {} --from start (to make everything \
         again from the topic) or --from here (to go on with nothing remembered)", lane.key(), lane.topic, lane.partition
    )]
    State {
        /// The lane.
        lane: Box<LaneId>,
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: LogError,
    },
    /// Somebody else has taken the lane since.
    #[error("lane {lane} was taken by another owner ({now}, this one is {mine})")]
    Fenced {
        /// The lane.
        lane: Box<LaneId>,
        /// The owner that tried to write.
        mine: u64,
        /// The owner now.
        now: u64,
    },
    /// A bug here: the commit does not continue the lane.
    #[error("lane {lane}: commit of epoch {epoch} does not follow the last commit")]
    OutOfOrder {
        /// The lane.
        lane: Box<LaneId>,
        /// The epoch that was to be committed.
        epoch: u64,
    },
    /// The journal's thread has ended, after an error that it reported.
    #[error("the journal is closed after an earlier error")]
    Closed,
}
