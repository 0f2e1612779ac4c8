//! What travels along the data path. Data and position never part: each form carries the offsets that it came from.
//!
//! ```text
//! RawBatch ──decode──► Decoded ──plugin──► Emitted ──assemble──► Block
//! ```

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray, UInt8Array};

use crate::offsets::{OffsetRange, TopicPartition};
use crate::source::KafkaMessage;
use crate::table::Table;

/// A header of a message: its key, and its value if it has one.
pub type Header = (String, Option<Vec<u8>>);

/// One message as it lies in its topic.
#[derive(Debug)]
pub struct Message {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp, ms since 1970-01-01 UTC, where it has one.
    pub timestamp: Option<i64>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Owned {
        key: Option<Box<[u8]>>,
        value: Option<Box<[u8]>>,
        headers: Vec<Header>,
    },
    /// Borrowed from the Kafka client, which keeps the fetched bytes alive: nothing is copied.
    Kafka(KafkaMessage),
}

impl Message {
    /// A message whose bytes are its own.
    #[must_use]
    pub fn owned(
        offset: i64,
        timestamp: Option<i64>,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        headers: Vec<Header>,
    ) -> Self {
        let body = Body::Owned { key: key.map(Into::into), value: value.map(Into::into), headers };
        Self { offset, timestamp, body }
    }

    /// A message that still lies in the Kafka client's buffer.
    #[must_use]
    pub fn kafka(offset: i64, timestamp: Option<i64>, message: KafkaMessage) -> Self {
        Self { offset, timestamp, body: Body::Kafka(message) }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Owned { key, .. } => key.as_deref(),
            Body::Kafka(message) => message.key(),
        }
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Owned { value, .. } => value.as_deref(),
            Body::Kafka(message) => message.value(),
        }
    }

    /// The headers, copied: they are read for a few messages only.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        match &self.body {
            Body::Owned { headers, .. } => headers.clone(),
            Body::Kafka(message) => message.headers(),
        }
    }

    /// The same message with bytes of its own, so that the client's buffer and the source's budget are free of it.
    #[must_use]
    pub fn into_owned(self) -> Self {
        match &self.body {
            Body::Owned { .. } => self,
            Body::Kafka(message) => Self::owned(
                self.offset,
                self.timestamp,
                message.key().map(<[u8]>::to_vec),
                message.value().map(<[u8]>::to_vec),
                message.headers(),
            ),
        }
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.value().map_or(0, <[u8]>::len)
    }
}

/// Consecutive messages of one partition, in offset order.
#[derive(Debug)]
pub struct RawBatch {
    /// Where the messages lie.
    pub partition: TopicPartition,
    /// The offsets that this batch answers for, holes included.
    pub range: OffsetRange,
    /// The messages.
    pub messages: Vec<Message>,
    /// Sum of the messages' bytes.
    pub bytes: usize,
}

/// The kind of a change, as its Debezium letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// A row was inserted.
    Create = b'c',
    /// A row was changed.
    Update = b'u',
    /// A row was deleted.
    Delete = b'd',
    /// A row was found by a snapshot.
    Read = b'r',
}

/// What the engine knows of each decoded row, beside the columns that the plugin asked for. All of one length.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The letter of the row's [`Op`].
    pub op: UInt8Array,
    /// The offset of the row's message.
    pub offset: Int64Array,
    /// When the source database made the change, ms since 1970-01-01 UTC, where the message says so.
    pub source_ts: TimestampMillisecondArray,
}

impl Changes {
    /// A part of the rows, without a copy.
    #[must_use]
    pub fn slice(&self, start: usize, length: usize) -> Self {
        Self {
            op: self.op.slice(start, length),
            offset: self.offset.slice(start, length),
            source_ts: self.source_ts.slice(start, length),
        }
    }
}

/// A message that is no row: recognised, without effect on tables, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoOp {
    /// A value of null that follows a delete.
    Tombstone,
    /// `op` t: the source table was truncated.
    Truncate,
    /// `op` m: a logical decoding message.
    LogicalMessage,
    /// A connector's heartbeat.
    Heartbeat,
    /// A transaction's begin or end.
    Transaction,
    /// A change of the source's schema.
    SchemaChange,
}

impl NoOp {
    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Truncate => "truncate",
            Self::LogicalMessage => "logical_message",
            Self::Heartbeat => "heartbeat",
            Self::Transaction => "transaction",
            Self::SchemaChange => "schema_change",
        }
    }
}

/// Which stage of the path set a message aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The bytes could not be read as the input says.
    Decode,
    /// The plugin rejected the row, or failed on it.
    Transform,
}

impl Stage {
    /// The word for tables, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
        }
    }
}

/// A message set aside with the reason. Its bytes are found in the raw batch by its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The message's offset.
    pub offset: i64,
    /// Where it was set aside.
    pub stage: Stage,
    /// A stable word to count and search by: `invalid_json`, `out_of_range`, `trap`, or the plugin's own.
    pub code: String,
    /// The column to blame, where there is one.
    pub column: Option<String>,
    /// What is wrong, in words, without the row's values.
    pub reason: String,
}

/// Messages decoded: each became a row of `rows`, a reject or a no-op, and the three add up to the messages.
#[derive(Debug)]
pub struct Decoded {
    /// The columns that the input names, in its order and with its types.
    pub rows: RecordBatch,
    /// The change columns of the same rows.
    pub changes: Changes,
    /// Messages set aside, in offset order.
    pub rejects: Vec<Reject>,
    /// Messages without a row, in offset order.
    pub no_ops: Vec<(i64, NoOp)>,
}

/// Rows of one epoch for one table: what one `INSERT` sends. Sealed: never changed, only sent again.
#[derive(Clone, Debug)]
pub struct Block {
    /// The table, all its columns named.
    pub table: Arc<Table>,
    /// The rows; schema equal to the table's.
    pub batches: Vec<RecordBatch>,
    /// Rows in all batches.
    pub rows: usize,
    /// Hash of the rows: of every buffer's content, in order.
    pub digest: u128,
}
