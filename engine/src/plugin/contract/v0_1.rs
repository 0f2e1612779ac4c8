//! What a plugin of version 0.1 says of itself, and what that is in version 0.2.
//!
//! | 0.1 | becomes |
//! |---|---|
//! | input column of a reserved name (`_op`, …) | that change column |
//! | any other input column | the field of that name of the row; required unless it is nullable |
//! | parameter | one of type text |
//! | output | one without codecs, comments and indexes |

use wasmtime::component::{ComponentType, Lift};

use super::v0_2::{self, ChangeColumn, ParameterType, Source};
use super::{Format, Origin, ScalarType, TableKind};

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Column {
    pub(in crate::plugin) name: String,
    #[component(name = "data-type")]
    pub(in crate::plugin) data_type: ScalarType,
    pub(in crate::plugin) nullable: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct InputColumn {
    pub(in crate::plugin) column: Column,
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
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Parameter {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) doc: String,
    pub(in crate::plugin) default: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Description {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) version: String,
    pub(in crate::plugin) input: Input,
    pub(in crate::plugin) outputs: Vec<Output>,
    pub(in crate::plugin) parameters: Vec<Parameter>,
}

impl From<Description> for v0_2::Description {
    fn from(old: Description) -> Self {
        Self {
            name: old.name,
            version: old.version,
            input: v0_2::Input {
                columns: old.input.columns.into_iter().map(Into::into).collect(),
                format: old.input.format,
            },
            outputs: old.outputs.into_iter().map(Into::into).collect(),
            parameters: old.parameters.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Column> for v0_2::Column {
    fn from(old: Column) -> Self {
        Self { name: old.name, data_type: v0_2::DataType::Scalar(old.data_type), nullable: old.nullable }
    }
}

impl From<InputColumn> for v0_2::InputColumn {
    fn from(old: InputColumn) -> Self {
        let name = old.column.name.as_str();
        let source = reserved(name).map_or_else(|| Source::Row(name.to_owned()), Source::Change);
        Self { required: !old.column.nullable, source, crosses: old.crosses, column: old.column.into() }
    }
}

/// The change column that a name is reserved for.
fn reserved(name: &str) -> Option<ChangeColumn> {
    Some(match name {
        "_op" => ChangeColumn::Op,
        "_deleted" => ChangeColumn::Deleted,
        "_version" => ChangeColumn::Version,
        "_source_ts" => ChangeColumn::SourceTimestamp,
        "_topic" => ChangeColumn::Topic,
        "_partition" => ChangeColumn::Partition,
        "_offset" => ChangeColumn::Offset,
        "_key" => ChangeColumn::Key,
        _ => return None,
    })
}

impl From<Output> for v0_2::Output {
    fn from(old: Output) -> Self {
        Self {
            table: old.table,
            kind: old.kind,
            columns: old.columns.into_iter().map(Into::into).collect(),
            sort_key: old.sort_key,
            partition_by: old.partition_by,
            indexes: Vec::new(),
        }
    }
}

impl From<OutputColumn> for v0_2::OutputColumn {
    fn from(old: OutputColumn) -> Self {
        Self {
            column: old.column.into(),
            origin: old.origin,
            clickhouse_type: old.clickhouse_type,
            codec: None,
            doc: None,
        }
    }
}

impl From<Parameter> for v0_2::Parameter {
    fn from(old: Parameter) -> Self {
        Self { name: old.name, doc: old.doc, parameter_type: ParameterType::Text, default: old.default }
    }
}
