//! What a plugin reads: columns by name and type, and how the messages are written.

use crate::policy::Reading;
use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

mod selection;

pub use selection::{SelectBy, Selection};

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

impl Tombstone {
    /// What a null value means unless a setting says otherwise.
    #[must_use]
    pub fn by_default(format: Format) -> Self {
        match format {
            Format::Envelope => Self::Ignore,
            Format::Flat => Self::Delete,
        }
    }
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
    /// The columns, in the plugin's order.
    pub columns: Vec<InputColumn>,
    /// How the messages are written.
    pub format: Format,
    /// What a null value means.
    pub tombstone: Tombstone,
    /// How decimals are written.
    pub decimals: Decimals,
    /// The connector's `unavailable.value.placeholder`: what stands for a value that was not in the source's log.
    pub placeholder: String,
}

/// Debezium's default for `unavailable.value.placeholder`.
pub const PLACEHOLDER: &str = "__debezium_unavailable_value";

/// The name, as a [`Source::Row`] or [`Source::Before`], of all fields of the row that no other column reads: one object, in
/// a column of Json. No database has a column without a name.
pub const REST: &str = "";

/// One column that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputColumn {
    /// Under the name that the plugin gives it, which is unique. A null for a column that is not nullable sets the
    /// message aside, but for deletes that carry their key alone: there it is the type's zero.
    pub field: FieldRef,
    /// Where its values come from.
    pub source: Source,
    /// Whether a message is set aside whose row does not name the field at all. If not, such a field is null. Of the
    /// key-only row of a delete nothing is required.
    pub required: bool,
    /// How it is read beside its type.
    pub reading: Reading,
}

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This field of the row: as it is after the change; of a delete, the row that was deleted. [`REST`]: all that no
    /// other column reads.
    Row(String),
    /// This field of the row as it was before the change, where the message has one, else null. Envelopes only;
    /// the column is nullable.
    Before(String),
    /// The value of the last header of this name; the column is nullable, Utf8 or Binary.
    Header(String),
    /// What is known of the change beside its row.
    Change(ChangeColumn),
}

impl Input {
    /// An input of columns that say by their names where they come from, as the contract 0.1 has it: reserved names are
    /// [change columns](ChangeColumn), others are fields of the row, required where they are not nullable. Tombstones
    /// and decimals are what Debezium's defaults make of them.
    #[must_use]
    pub fn by_names(columns: &Schema, format: Format) -> Self {
        let column = |field: &FieldRef| InputColumn {
            field: field.clone(),
            source: match ChangeColumn::named(field.name()) {
                Some(change) => Source::Change(change),
                None => Source::Row(field.name().clone()),
            },
            required: !field.is_nullable(),
            reading: Reading::default(),
        };
        Self {
            columns: columns.fields().iter().map(column).collect(),
            format,
            tombstone: Tombstone::by_default(format),
            decimals: Decimals::Precise,
            placeholder: PLACEHOLDER.to_owned(),
        }
    }
}

/// What is known of a change beside its row, and the column names that the contract 0.1 reserves for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// The change column that this name is reserved for in the contract 0.1.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.field().name() == name)
    }

    /// Reserved name, type and nullability.
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
