//! What a plugin says of itself in every version: columns, tables, parameters.

use wasmtime::component::{ComponentType, Lift};

use super::{Format, Origin, ScalarType, TableKind};

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct ListType {
    pub(in crate::plugin) element: ScalarType,
    pub(in crate::plugin) nullable: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct MapType {
    pub(in crate::plugin) key: ScalarType,
    pub(in crate::plugin) value: ScalarType,
    pub(in crate::plugin) nullable: bool,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in crate::plugin) enum DataType {
    #[component(name = "scalar")]
    Scalar(ScalarType),
    #[component(name = "list")]
    List(ListType),
    #[component(name = "map")]
    Map(MapType),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Column {
    pub(in crate::plugin) name: String,
    #[component(name = "data-type")]
    pub(in crate::plugin) data_type: DataType,
    pub(in crate::plugin) nullable: bool,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(in crate::plugin) enum ChangeColumn {
    #[component(name = "op")]
    Op,
    #[component(name = "deleted")]
    Deleted,
    #[component(name = "version")]
    Version,
    #[component(name = "source-timestamp")]
    SourceTimestamp,
    #[component(name = "topic")]
    Topic,
    #[component(name = "partition")]
    Partition,
    #[component(name = "offset")]
    Offset,
    #[component(name = "key")]
    Key,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in crate::plugin) enum Source {
    #[component(name = "row")]
    Row(String),
    #[component(name = "before")]
    Before(String),
    #[component(name = "header")]
    Header(String),
    #[component(name = "change")]
    Change(ChangeColumn),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct InputColumn {
    pub(in crate::plugin) column: Column,
    pub(in crate::plugin) source: Source,
    pub(in crate::plugin) required: bool,
    pub(in crate::plugin) crosses: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Input {
    pub(in crate::plugin) columns: Vec<InputColumn>,
    pub(in crate::plugin) format: Format,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct OutputColumn {
    pub(in crate::plugin) column: Column,
    pub(in crate::plugin) origin: Origin,
    #[component(name = "clickhouse-type")]
    pub(in crate::plugin) clickhouse_type: Option<String>,
    pub(in crate::plugin) codec: Option<String>,
    pub(in crate::plugin) doc: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Index {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) expression: String,
    pub(in crate::plugin) kind: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Output {
    pub(in crate::plugin) table: String,
    pub(in crate::plugin) kind: TableKind,
    pub(in crate::plugin) columns: Vec<OutputColumn>,
    #[component(name = "sort-key")]
    pub(in crate::plugin) sort_key: Vec<String>,
    #[component(name = "partition-by")]
    pub(in crate::plugin) partition_by: Option<String>,
    pub(in crate::plugin) indexes: Vec<Index>,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(in crate::plugin) enum ParameterType {
    #[component(name = "text")]
    Text,
    #[component(name = "integer")]
    Integer,
    #[component(name = "number")]
    Number,
    #[component(name = "boolean")]
    Boolean,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Parameter {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) doc: String,
    #[component(name = "parameter-type")]
    pub(in crate::plugin) parameter_type: ParameterType,
    pub(in crate::plugin) default: Option<String>,
}
