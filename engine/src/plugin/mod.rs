//! Plugins: WebAssembly components in a sandbox.
//!
//! **Promise.** A plugin's answer depends on its bytes, the context, the batches of one instance and the state of its
//! lane, and on nothing else: no clock, randomness, files, network or threads reach it. It can't read or stop the engine or another plugin;
//! whatever it does wrong is a [`Fault`] that names it. Everything that comes back is checked before it is used.
//! **Assumed.** An instance is thrown away after each epoch and after each fault.
//! **After a crash** the same bytes, loaded by digest, give the same answers.

mod host;
mod ticker;
mod load;
mod loaded;
mod compiler;
mod compile;
mod compiled;
mod parts;
mod metadata;
mod describe;
mod contract;
mod instance;
mod sandbox;
mod guest_log;
mod call;
mod emit;
mod keyed;
mod frame;
mod rows;
mod fault;

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{Field, SchemaRef};

use crate::input::{Format, InputColumn};
use crate::state::{StateError, StateTable};
use crate::table::{Index, TableKind};

pub use compiled::CompiledCode;
pub use compiler::{ChildLimits, CompileChildArgs, Compiler, compile_child};
pub use guest_log::LINES_PER_S as LOG_LINES_PER_S;
pub use host::{Host, HostError, HostSettings};
pub use instance::{Instance, Remains};
pub use load::{Compiling, LoadError, Plugin};
pub use rows::Rows;

#[cfg(test)]
mod tests;

/// What a plugin says of itself, checked: names are unique, types exist, origins point to input columns of the same
/// type.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The version of the contract that it was built for, such as `0.2`.
    pub contract: &'static str,
    /// All input columns, in order, under the plugin's names.
    pub input: SchemaRef,
    /// The same columns, and where each comes from.
    pub columns: Vec<InputColumn>,
    /// For each input column, whether it crosses the border.
    pub crosses: Vec<bool>,
    /// How the messages are written.
    pub format: Format,
    /// Output tables.
    pub outputs: Vec<Output>,
    /// Parameters that plugin.toml may set.
    pub parameters: Vec<Parameter>,
    /// What it keeps from epoch to epoch.
    pub state: Option<StateDescription>,
    /// How its watermark follows its events. Without, nothing ever expires.
    pub event_time: Option<EventTime>,
}

/// The state that a plugin keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDescription {
    /// Of the bytes that it writes.
    pub version: u32,
    /// Older versions that it can read.
    pub reads: Vec<u32>,
    /// Its tables, by whose index it names them.
    pub tables: Vec<StateTable>,
}

/// How the watermark follows the events. plugin.toml may say it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// The watermark is the greatest event time less this.
    pub delay_ms: u64,
    /// A partition that has been at its end for so long lets the watermark follow the clock, less the delay.
    pub idle_ms: Option<u64>,
}

/// An output table, as the plugin declares it: without the engine's columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The table's default name.
    pub table: String,
    /// How its rows add up.
    pub kind: TableKind,
    /// Its columns and where each comes from. Metadata of a field: see [`crate::table`].
    pub columns: Vec<(Field, Origin)>,
    /// Column names or expressions.
    pub sort_key: Vec<String>,
    /// A ClickHouse expression.
    pub partition_by: Option<String>,
    /// Data skipping indexes.
    pub indexes: Vec<Index>,
}

/// Where an output column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin makes it.
    Made,
    /// Input column of this index, as it is.
    Input(usize),
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// One line for the user.
    pub doc: String,
    /// How its text is written.
    pub kind: ParameterType,
    /// Absent: must be set.
    pub default: Option<String>,
}

/// How a parameter's text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A decimal integer of 64 bits.
    Integer,
    /// A decimal number, neither infinite nor NaN.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl ParameterType {
    /// Whether a text is one.
    #[must_use]
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Integer => text.parse::<i64>().is_ok(),
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Boolean => matches!(text, "true" | "false"),
        }
    }

    /// What is wanted, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a decimal integer of 64 bits",
            Self::Number => "a decimal number",
            Self::Boolean => "true or false",
        }
    }
}

/// What an instance may depend on beside its batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// A value for each declared parameter, in order.
    pub parameters: Arc<[String]>,
    /// The epoch's clock, ms since 1970-01-01 UTC.
    pub now_ms: i64,
    /// The epoch's watermark, in the same unit; none before the first event.
    pub watermark_ms: Option<i64>,
}

/// Limits of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of linear memory.
    pub memory_bytes: usize,
    /// Longest time of one call, in ms.
    pub call_ms: u64,
    /// Most bytes that one call may give out, counted as its tables get them: columns that it made, columns that the
    /// host takes over for it, and 64 bytes a row for the engine's own. As much again it may read and write of its state.
    pub output_bytes: usize,
}

/// Rows for one output, validated: as many rows in each column as `rows` says.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// Index of the output in the description.
    pub output: usize,
    /// Where each row comes from.
    pub rows: Rows,
    /// The made columns alone, in the output's order.
    pub made: RecordBatch,
    /// Whether each row deletes its key, whatever its input row does. Only in tables of current rows.
    pub deletes: Option<BooleanArray>,
}

/// A row that the plugin rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its index in the batch.
    pub row: usize,
    /// The plugin's word for it.
    pub code: String,
    /// In words.
    pub reason: String,
}

/// What one call gives back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// In the order in which the plugin emitted.
    pub emitted: Vec<Emitted>,
    /// Rejected rows, by row.
    pub rejected: Vec<RejectedRow>,
    /// The greatest event time that it said, at most the clock; ms since 1970-01-01 UTC.
    pub event_time_ms: Option<i64>,
    /// What it counted: each name once.
    pub counts: Vec<(String, u64)>,
}

impl Fault {
    /// A stable word to count and search by.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack => "stack",
            Self::Output { .. } => "output",
            Self::Contract { .. } => "contract",
            Self::Engine { .. } => "engine",
            Self::Failed { .. } => "failed",
            Self::StateTraffic { .. } => "state_traffic",
            Self::State(_) => "state",
        }
    }
}

/// Why a call has no answer. The instance is dead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin panicked, or did what WebAssembly forbids.
    #[error("plugin trapped: {message}")]
    Trap {
        /// The panic's message, or the trap's name, with the plugin's own frames.
        message: String,
    },
    /// It ran longer than a call may.
    #[error("plugin ran longer than {limit_ms} ms in one call")]
    Deadline {
        /// The limit.
        limit_ms: u64,
    },
    /// It wanted more memory than it may have.
    #[error("plugin wanted more than {limit_bytes} bytes of memory")]
    Memory {
        /// The limit.
        limit_bytes: usize,
    },
    /// Its stack overflowed.
    #[error("plugin's stack overflowed: recursion without end?")]
    Stack,
    /// What it emitted is larger than a call may emit.
    #[error("plugin emitted more than {limit_bytes} bytes in one call")]
    Output {
        /// The limit.
        limit_bytes: usize,
    },
    /// What it gave back is not what it described.
    #[error("plugin broke the contract: {message}")]
    Contract {
        /// Which output and column, and what is wrong with it.
        message: String,
    },
    /// The engine could not run it: no free instance, no memory, or a bug here. Not the plugin's doing, and no row is
    /// to blame: the same call may succeed later.
    #[error("the engine could not run the plugin: {message}")]
    Engine {
        /// What is missing.
        message: String,
    },
    /// It read and wrote more state than one call may.
    #[error("plugin read and wrote more than {limit_bytes} bytes of state in one call")]
    StateTraffic {
        /// The limit.
        limit_bytes: usize,
    },
    /// It keeps more than it may. No row is to blame: rows that are set aside would be missing from the state.
    #[error("plugin keeps too much state")]
    State(#[source] StateError),
    /// It returned an error for the whole batch.
    #[error("plugin failed: {message}")]
    Failed {
        /// Its words.
        message: String,
    },
}
