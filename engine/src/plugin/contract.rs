//! The types of `schemas/wit` as they cross the border. Here and in `described.rs` is what all versions have in common;
//! what differs is in one file for each version. The older is translated into the newer where it enters, so that nothing
//! behind knows more than one.
//!
//! Written out, not generated: what a guest *emits* is lifted as [`wasmtime::component::WasmList`], a checked range of guest memory that
//! nothing has been copied from yet. So the host can refuse too much before it allocates, and copy once into buffers
//! aligned as Arrow wants them; generated bindings would copy into `Vec`s first. The linker and the typed functions
//! compare every type here with the component's own, so a slip is an error at load and not a wrong value.

#![expect(dead_code, reason = "enums are lifted whole: the derive makes their values without naming the cases")]

pub(super) mod described;
pub(super) mod v0_2;
pub(super) mod v0_3;

use wasmtime::component::{ComponentType, Lift, Lower};

/// The package that every name of the contract begins with.
pub(super) const PACKAGE: &str = "engine:plugin/";
/// A version of the contract that this engine has: the current one and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V0_2,
    V0_3,
}

impl Version {
    /// All of them, the oldest first.
    pub(super) const ALL: [Self; 2] = [Self::V0_2, Self::V0_3];

    /// The version that is compatible with this one: the same but for its last number.
    pub(super) fn compatible(found: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| found.strip_prefix(it.name()).is_some_and(|patch| patch.starts_with('.')))
    }

    /// Major and minor number.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        }
    }

    /// The name of one of its interfaces, as an import says it: `types` has no functions, `host` and `state` have.
    pub(super) fn interface(self, name: &str) -> String {
        format!("{PACKAGE}{name}@{}.0", self.name())
    }
}

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
pub(super) enum ScalarType {
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
#[component(variant)]
pub(super) enum Origin {
    #[component(name = "made")]
    Made,
    #[component(name = "input")]
    Input(u32),
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

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Batch<'a> {
    pub(super) rows: u32,
    pub(super) buffers: &'a [&'a [u8]],
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
