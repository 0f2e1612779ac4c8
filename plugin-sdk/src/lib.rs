//! Write transforms for the engine: typed rows in, typed rows out, compiled to WebAssembly.
//!
//! A plugin is a crate with input rows ([`Row`]), output tables ([`Table`]), a function between them and one
//! [`export!`]. It sees nothing but its rows, its parameters, the epoch's clock and watermark ([`Ctx`]), and what it keeps
//! in [`state`]: no files, no network, no time of its own. Rows cross the border a batch at a time, as Arrow's buffers; the SDK reads and writes these buffers
//! in place, so that text is a `&str` into the batch and nothing is allocated per row.
//!
//! | module | is about |
//! |---|---|
//! | [`mod@column`], [`mod@list`] | which Rust types are columns |
//! | [`view`], [`builder`] | reading and writing columns: batch style works with them directly |
//! | [`row`], [`table`], [`batch`] | row style, output, batch style |
//! | [`state`] | what is remembered: keyed state, event time, deduplication, sessions, versions |
//! | [`description`], [`plugin`] | what the host is told, the entry |
//! | [`mod@text`] | kernels for short text |
//! | `testing` | the harness for `cargo test`, natively |
//!
//! **Promise.** Row style cannot emit columns of different lengths or rows that do not exist; what is not emitted or
//! rejected is dropped. A panic is logged with its place before the instance traps; the engine then looks for the row.

// The derives name this crate by its name, in its own tests as well.
extern crate self as plugin_sdk;

pub mod batch;
#[cfg(target_family = "wasm")]
pub mod border;
pub mod builder;
pub mod column;
pub mod context;
pub mod decimal;
pub mod description;
pub mod list;
pub mod plugin;
pub mod row;
pub mod state;
pub mod table;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;
pub mod time;
pub mod uuid;
pub mod view;
mod wide;

pub use batch::{Batch, Emit, RawBatch, process_batch};
pub use builder::{Bits, Builder, FixedBuilder, Lowercase, Uppercase};
pub use column::{ColumnType, Json, JsonString, Pass, ReadColumn, WriteColumn, pass};
pub use context::{Ctx, Parameters, Reject, RejectedRow};
pub use decimal::{Decimal, Decimal256};
pub use description::{
    ChangeColumn, Contradiction, DataType, Description, Format, ParameterType, ScalarType, Source, TableKind, TimeUnit,
};
pub use list::{Elements, List, Map};
pub use plugin::{Host, Plugin, RowsFrom};
pub use plugin_sdk_macros::{Parameters, Row, StateKey, StateValue, Table};
pub use row::{Builders, Change, Op, Row, process_row, process_rows};
pub use state::{
    Dedup, Entry, EventTime, KeySet, KeyedState, Late, Merge, Scd2, Session, Sessions, StateField, StateKey,
    StateValue, Version, count, days, hours, milliseconds, minutes, seconds,
};
pub use table::{Origin, Outputs, Table, Upsert, Writer};
pub use time::{Date, Micros, Millis, Nanos, Seconds, Time, Timestamp, Utc, Wall, WallClock};
pub use uuid::Uuid;

/// What Debezium writes in place of a text that was not in the database's log (PostgreSQL's TOAST), as its connectors come.
/// A plugin sees it where `plugin.toml` says `unavailable = "keep"` for the column.
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// The guide's code is compiled and run with the tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../guide/batch.md")]
    struct Batch;
    #[doc = include_str!("../guide/changes.md")]
    struct Changes;
    #[doc = include_str!("../guide/outputs.md")]
    struct Outputs;
    #[doc = include_str!("../guide/parameters.md")]
    struct Parameters;
    #[doc = include_str!("../guide/performance.md")]
    struct Performance;
    #[doc = include_str!("../guide/rejects.md")]
    struct Rejects;
    #[doc = include_str!("../guide/rollouts.md")]
    struct Rollouts;
    #[doc = include_str!("../guide/state.md")]
    struct State;
    #[doc = include_str!("../guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../guide/types.md")]
    struct Types;
}

#[cfg(test)]
mod tests {
    /// The SDK carries the contract within its own folder, so that it builds wherever it is copied.
    #[test]
    fn the_contract_is_the_repositorys() {
        assert_eq!(include_str!("../wit/transform.wit"), include_str!("../../schemas/wit/0.3/transform.wit"));
    }
}
