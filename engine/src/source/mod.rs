//! Sources: where messages come from.
//!
//! **Promise.** A reader gives the messages of its partition from the asked offset on, in offset order, each once; no
//! batch without the offsets that it answers for. A position that the source can no longer serve is an error that
//! names the range, never a silent jump.
//! **Assumed.** Whoever opens a reader knows the position: the journal, not the source, remembers it.
//! **After a crash** nothing here needs recovery: readers are opened anew where the journal says.

mod budget;
mod chunk;
mod file;
mod filtered;
mod kafka;
mod part;
mod shared;
mod simulated;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::batch::RawBatch;
use crate::offsets::TopicPartition;
use crate::registry::RegistryError;

pub use budget::Budget;
pub use chunk::ChunkedMessage;
pub use file::{FILE_THREADS, FileSource};
pub use filtered::open_part;
pub use kafka::{KafkaSettings, KafkaSource};
pub use part::{Claims, Filter, Part, Unclaimed};
pub use shared::SharedSource;
pub use simulated::{SimulatedSource, SimulatedTopics};
pub use topics::{check_topic, names_topic};

/// A partition that exists at the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The partition.
    pub partition: TopicPartition,
    /// The topic's id; empty where the source has none.
    pub topic_id: Arc<str>,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first message that there is.
    Earliest,
    /// Behind the last message that there is now.
    Latest,
    /// At this offset, or at the first message after it if it is a hole.
    Offset(i64),
}

/// When a batch is large or old enough to be given out.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most messages in a batch.
    pub max_messages: usize,
    /// A batch is full once its messages have so many bytes (the last message may go over).
    pub max_bytes: usize,
    /// How long the first message of a batch waits for more.
    pub linger: Duration,
}

/// How far a reader is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The partition's end: the offset that its next message will get (last stable offset with transactions).
    pub end: i64,
    /// Offset after the last message that was given out; behind that, after the holes (control records, compacted
    /// messages) that are known to follow. Equal to `end` when there is nothing left to read.
    pub position: i64,
}

/// Where messages come from.
pub trait Source: Send + Sync {
    /// The partitions whose topics match: exact names, or patterns that begin with `^` (a regular expression, as in
    /// Kafka's own clients). Called again and again: what is new is started, so it must be cheap.
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>>;

    /// Opens a reader of one partition. Several readers of the same partition may be open at a time, each with a
    /// position of its own. Dropping the reader closes it.
    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>>;

    /// Opens a lane's reader of a part of a partition. Where lanes read parts of one partition, a source may read it once for
    /// all of them, as [`SharedSource`] does; others give the messages of the part from a reader of their own, and see no
    /// columns in Avro.
    fn follow<'a>(
        &'a self,
        found: &'a Found,
        start: Start,
        part: &'a Part,
    ) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move { Ok(filtered::filter(self.open(found, start).await?, found, start, part, None)) }.boxed()
    }

    /// The first offset that a partition holds and its end, as a reader would find them now.
    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>>;

    /// The first offset of a partition whose message is not older than this time (ms since 1970-01-01 UTC); its end where
    /// all are older.
    fn at_time<'a>(&'a self, partition: &'a TopicPartition, time_ms: i64) -> BoxFuture<'a, Result<i64, SourceError>>;

    /// What bounds its messages in memory, where that is bounded for all readers together.
    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    /// Tells outside lag tools how far a transform is: every row below `next_offset` is in its table. Best effort.
    fn mirror(&self, partition: &TopicPartition, plugin: &str, next_offset: i64);
}

/// Reads one partition.
pub trait Reader: Send {
    /// Waits for the next batch. `None`: the source has an end (a file) and it is reached.
    ///
    /// **Cancel safe.** A lane looks in between: it drops the call after a tenth of a second and calls again. So a dropped
    /// call loses nothing, neither messages nor work: what it had begun to collect, to read or to ask belongs to the reader,
    /// and the next call goes on with it (and with the limits that it was begun with). A batch that takes longer than the
    /// caller's patience would otherwise be begun for ever and given out never.
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>>;

    /// How far it is behind, as of the last fetch; `None` until the source has said.
    fn lag(&self) -> Option<Lag>;

    /// What keeps messages from coming, as of now: a broker that is gone, a leader that is not elected. The reader waits
    /// and goes on by itself; this is for status pages and logs.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Why a source can't give messages. Each variant is one decision for the lane.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Passing: a broker is gone, a leader moves. The client goes on trying by itself; the lane shows it and waits.
    #[error("source is not available: {message}")]
    Unavailable {
        /// What the client says.
        message: String,
    },
    /// The position is not there any more: retention or compaction went past it. The lane stops.
    #[error(
        "{partition}: offset {wanted} is gone, the topic now holds [{earliest}, {end}): {lost} offsets were deleted \
         before they were read. Nothing was skipped. To go on behind the gap: engine recover --plugin NAME --topic {} --partition {} --from {earliest}",
        partition.topic, partition.partition
    )]
    OffsetGone {
        /// The partition.
        partition: TopicPartition,
        /// The position asked for.
        wanted: i64,
        /// First offset there is.
        earliest: i64,
        /// The partition's end.
        end: i64,
        /// Offsets between.
        lost: i64,
    },
    /// The position lies behind the partition's end: the broker lost acknowledged messages, or the position is another
    /// topic's. The lane stops.
    #[error(
        "{partition}: offset {wanted} was never written, the partition ends at {end}: the broker lost messages (unclean \
         leader election, restored disk), or the topic was created again. To go on anyway: engine recover --plugin NAME --topic {} --partition {} \
         --from OFFSET",
        partition.topic, partition.partition
    )]
    OffsetAhead {
        /// The partition.
        partition: TopicPartition,
        /// The position asked for.
        wanted: i64,
        /// The partition's end.
        end: i64,
    },
    /// The topic is not there any more, or another one bears its name. The lane stops.
    #[error(
        "topic {topic} was deleted, or deleted and created again (id {had}, now {now}): its lane ends at offset {position}"
    )]
    TopicReplaced {
        /// The topic's name.
        topic: Arc<str>,
        /// The id that the lane began with.
        had: Arc<str>,
        /// The id now; empty if there is no such topic.
        now: String,
        /// The lane's position in the old topic.
        position: i64,
    },
    /// Whose messages are can't be told, as their schemas can't be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Wrong settings, credentials or file. The lane stops.
    #[error("{message}")]
    Refused {
        /// What is wrong, where, and what to do.
        message: String,
    },
}
