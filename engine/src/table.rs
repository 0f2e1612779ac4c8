//! Output tables: what a plugin's description and the engine's own columns add up to.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub use debezium_decode::EXTENSION_NAME;

/// Metadata key of a field: the ClickHouse type to use in place of the default one for its Arrow type.
pub const CLICKHOUSE_TYPE: &str = "clickhouse_type";
/// Metadata key of a field: ClickHouse's `CODEC` of the column, without the word.
pub const CLICKHOUSE_CODEC: &str = "clickhouse_codec";
/// Metadata key of a field: what the column means, its comment in the table.
pub const COMMENT: &str = "comment";

/// Metadata key of a table's schema: the ClickHouse expression after which it drops a row. It is in the `CREATE TABLE`
/// alone: a table that is there keeps its own.
pub const TABLE_TTL: &str = "clickhouse_ttl";

/// How rows of one sort key add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Each row stays.
    Append,
    /// The row with the greatest `_version` counts, unless it says `_deleted`.
    Current,
}

/// A table that the engine writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The ClickHouse database.
    pub database: Arc<str>,
    /// The table's name.
    pub name: Arc<str>,
    /// How its rows add up.
    pub kind: TableKind,
    /// All columns, the engine's own last. Nullability is the table's.
    pub schema: SchemaRef,
    /// Column names or ClickHouse expressions over them.
    pub sort_key: Vec<String>,
    /// A ClickHouse expression.
    pub partition_by: Option<String>,
    /// Data skipping indexes.
    pub indexes: Vec<Index>,
}

/// A data skipping index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Unique in its table.
    pub name: String,
    /// A ClickHouse expression over the columns.
    pub expression: String,
    /// Such as `minmax`, `set(100)`, `bloom_filter(0.01)`.
    pub kind: String,
}

impl Table {
    /// The name as ClickHouse wants it, quoted.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.database), quote(&self.name))
    }
}

/// Quotes an identifier for ClickHouse.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The columns that the engine adds to every output table, in this order, after the plugin's.
///
/// | column | meaning |
/// |---|---|
/// | `_op` | c, u, d or r |
/// | `_deleted` | 1: the row was deleted at the source |
/// | `_version` | generation << 48 \| offset: orders all changes of a key |
/// | `_source_ts` | when the source database made the change |
/// | `_topic`, `_partition`, `_offset` | the message that the row was made from |
/// | `_lane` | which transform on which partition: a hash of the names |
/// | `_epoch`, `_row` | generation << 48 \| epoch of the lane, and the row's ordinal in that epoch and table |
/// | `_ingested_at` | the epoch's clock |
#[must_use]
pub fn engine_columns() -> Vec<Field> {
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    vec![
        low_cardinality("_op"),
        Field::new("_deleted", DataType::UInt8, false),
        Field::new("_version", DataType::UInt64, false),
        Field::new("_source_ts", milliseconds.clone(), true),
        low_cardinality("_topic"),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_lane", DataType::UInt64, false),
        Field::new("_epoch", DataType::UInt64, false),
        Field::new("_row", DataType::UInt32, false),
        Field::new("_ingested_at", milliseconds, false),
    ]
}

fn low_cardinality(name: &str) -> Field {
    let metadata = HashMap::from([(CLICKHOUSE_TYPE.to_owned(), "LowCardinality(String)".to_owned())]);
    Field::new(name, DataType::Utf8, false).with_metadata(metadata)
}

/// The column that says which plugin made a row, such as `1.2.0@5f2b8c0d9e1a`: the version that its author gave it, and the
/// first digits of its digest. Behind all others of a plugin's tables, where plugin.toml asks for it.
#[must_use]
pub fn plugin_column() -> Field {
    low_cardinality("_plugin")
}

/// Those of the engine's columns that say which epoch made a row and when: `_lane`, `_epoch`, `_row`, `_ingested_at`.
#[must_use]
pub fn provenance_columns() -> Vec<Field> {
    let names = ["_lane", "_epoch", "_row", "_ingested_at"];
    engine_columns().into_iter().filter(|field| names.contains(&field.name().as_str())).collect()
}

/// The schema of a table with these columns of its own, the engine's columns added.
#[must_use]
pub fn with_engine_columns(own: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(own.into_iter().chain(engine_columns()).collect::<Vec<_>>()))
}
