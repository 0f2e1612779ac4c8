//! What comes out of decoding: rows with what is known of each, and the messages that are no row.

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray, UInt8Array};

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
    /// Nobody claims it, in a topic that tenants share.
    Tenant,
    /// The bytes could not be read as the input says.
    Decode,
    /// The plugin rejected the row, or failed on it.
    Transform,
    /// The plugin failed on an entry of its state that expired.
    Expire,
    /// Nobody looked at the message: the plugin was not called, as it fails on too much.
    Parked,
}

impl Stage {
    /// The word for tables, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Expire => "expire",
            Self::Parked => "parked",
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
