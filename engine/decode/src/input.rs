//! What a plugin reads: columns by name and type, and how the messages are written.

use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// Metadata key of a field: Arrow's canonical extension name, such as `arrow.json` or `arrow.uuid`.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// How Debezium wrote the messages of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `before`, `after`, `source`, `op`.
    Envelope,
    /// The row itself, after `ExtractNewRecordState`.
    Flat,
}

/// What a null value (a tombstone) means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tombstone {
    /// It follows a delete that was a message of its own: nothing to do. Default for envelopes.
    Ignore,
    /// It *is* the delete, its row is the key. Default for flat messages, as it is Debezium's
    /// (`delete.tombstone.handling.mode=tombstone`).
    Delete,
}

/// How decimals are written where the message has no schema: Debezium's `decimal.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decimals {
    /// Base64 of the unscaled big-endian two's complement; the scale is the column's. JSON numbers are read as well.
    Precise,
    /// Decimal text, `"12.50"`. JSON numbers are read as well.
    String,
}

/// What one plugin reads from a topic. With embedded schema the message's own types win over what is said here of
/// their writing; without it this is all that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Columns in the plugin's order: fields of the row, or change columns (see [`ChangeColumn`]). A field that is
    /// absent or null in a message is null here; if it is not nullable here, the message is rejected, but for deletes
    /// that carry their key alone: there it is the type's zero.
    pub columns: SchemaRef,
    /// How the messages are written.
    pub format: Format,
    /// What a null value means.
    pub tombstone: Tombstone,
    /// How decimals are written.
    pub decimals: Decimals,
}

/// Reserved column names that are filled from the message itself and not from its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeColumn {
    /// `_op` UInt8: letter of the [`crate::decoded::Op`].
    Op,
    /// `_deleted` Boolean.
    Deleted,
    /// `_version` UInt64: generation << 48 | offset.
    Version,
    /// `_source_ts` Timestamp(ms, UTC), nullable.
    SourceTs,
    /// `_topic` Utf8.
    Topic,
    /// `_partition` Int32.
    Partition,
    /// `_offset` Int64.
    Offset,
    /// `_key` Binary, nullable: the message key's bytes.
    Key,
}

impl ChangeColumn {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 8] =
        [Self::Op, Self::Deleted, Self::Version, Self::SourceTs, Self::Topic, Self::Partition, Self::Offset, Self::Key];

    /// The column that this name is reserved for.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.field().name() == name)
    }

    /// Name, type and nullability.
    #[must_use]
    pub fn field(self) -> Field {
        let (name, data_type, nullable) = match self {
            Self::Op => ("_op", DataType::UInt8, false),
            Self::Deleted => ("_deleted", DataType::Boolean, false),
            Self::Version => ("_version", DataType::UInt64, false),
            Self::SourceTs => ("_source_ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
            Self::Topic => ("_topic", DataType::Utf8, false),
            Self::Partition => ("_partition", DataType::Int32, false),
            Self::Offset => ("_offset", DataType::Int64, false),
            Self::Key => ("_key", DataType::Binary, true),
        };
        Field::new(name, data_type, nullable)
    }
}

/// The version of a change: orders all changes of a key also where they carry the same millisecond. Not a clock, but
/// the lane's generation above the message's offset. 48 bits of offset last 281 million million messages a partition.
#[must_use]
pub fn version(generation: u16, offset: i64) -> u64 {
    (u64::from(generation) << 48) | (offset.cast_unsigned() & 0xffff_ffff_ffff)
}
