//! The types of `schemas/wit/0.1/transform.wit` as they cross the border.
//!
//! Written out, not generated: what a guest *emits* is lifted as [`WasmList`], a checked range of guest memory that
//! nothing has been copied from yet. So the host can refuse too much before it allocates, and copy once into buffers
//! aligned as Arrow wants them; generated bindings would copy into `Vec`s first. The linker and the typed functions
//! compare every type here with the component's own, so a slip is an error at load and not a wrong value.

#![expect(dead_code, reason = "enums are lifted whole: the derive makes their values without naming the cases")]

use wasmtime::component::{ComponentType, Lift, Lower, WasmList};

/// The package that every name of the contract begins with.
pub(super) const PACKAGE: &str = "engine:plugin/";
/// Major and minor version of the contract.
pub(super) const VERSION: &str = "0.1";
/// The interface of the imported functions.
pub(super) const HOST: &str = "engine:plugin/host@0.1.0";
/// The interface of the types: imported, but it has no functions.
pub(super) const TYPES: &str = "engine:plugin/types@0.1.0";
/// Functions that a plugin exports.
pub(super) const EXPORTS: [&str; 3] = ["describe", "start", "process"];

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum TimeUnit {
    #[component(name = "second")]
    Second,
    #[component(name = "millisecond")]
    Millisecond,
    #[component(name = "microsecond")]
    Microsecond,
    #[component(name = "nanosecond")]
    Nanosecond,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct TimestampType {
    pub(super) unit: TimeUnit,
    pub(super) utc: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct DecimalType {
    pub(super) precision: u8,
    pub(super) scale: i8,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum DataType {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "int8")]
    Int8,
    #[component(name = "int16")]
    Int16,
    #[component(name = "int32")]
    Int32,
    #[component(name = "int64")]
    Int64,
    #[component(name = "uint8")]
    UInt8,
    #[component(name = "uint16")]
    UInt16,
    #[component(name = "uint32")]
    UInt32,
    #[component(name = "uint64")]
    UInt64,
    #[component(name = "float32")]
    Float32,
    #[component(name = "float64")]
    Float64,
    #[component(name = "utf8")]
    Utf8,
    #[component(name = "binary")]
    Binary,
    #[component(name = "json")]
    Json,
    #[component(name = "uuid")]
    Uuid,
    #[component(name = "date")]
    Date,
    #[component(name = "time")]
    Time(TimeUnit),
    #[component(name = "timestamp")]
    Timestamp(TimestampType),
    #[component(name = "decimal")]
    Decimal(DecimalType),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Column {
    pub(super) name: String,
    #[component(name = "data-type")]
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct InputColumn {
    pub(super) column: Column,
    pub(super) crosses: bool,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Format {
    #[component(name = "envelope")]
    Envelope,
    #[component(name = "flat")]
    Flat,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Input {
    pub(super) columns: Vec<InputColumn>,
    pub(super) format: Format,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Origin {
    #[component(name = "made")]
    Made,
    #[component(name = "input")]
    Input(u32),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct OutputColumn {
    pub(super) column: Column,
    pub(super) origin: Origin,
    #[component(name = "clickhouse-type")]
    pub(super) clickhouse_type: Option<String>,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum TableKind {
    #[component(name = "append")]
    Append,
    #[component(name = "current")]
    Current,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Output {
    pub(super) table: String,
    pub(super) kind: TableKind,
    pub(super) columns: Vec<OutputColumn>,
    #[component(name = "sort-key")]
    pub(super) sort_key: Vec<String>,
    #[component(name = "partition-by")]
    pub(super) partition_by: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) default: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) input: Input,
    pub(super) outputs: Vec<Output>,
    pub(super) parameters: Vec<Parameter>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Context<'a> {
    pub(super) parameters: &'a [String],
    #[component(name = "now-ms")]
    pub(super) now_ms: i64,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Batch<'a> {
    pub(super) rows: u32,
    pub(super) buffers: &'a [&'a [u8]],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Rows {
    #[component(name = "all")]
    All,
    #[component(name = "selected")]
    Selected(WasmList<u8>),
    #[component(name = "taken")]
    Taken(WasmList<u32>),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Reject {
    pub(super) row: u32,
    pub(super) code: String,
    pub(super) reason: String,
}

#[derive(ComponentType, Lift, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}
