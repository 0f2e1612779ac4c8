//! Sinks: where blocks go.
//!
//! **Promise.** `insert` returns `Ok` only when the block is durably in its table. Sent again with the same token
//! within the table's deduplication window, the same block has no further effect.
//! **Assumed.** The caller has a durable intent for the block, and repeats a block only unchanged.
//! **After a crash** the caller sends the block again, with the same token.

mod bronze;
mod clickhouse;
mod dead_letter;
mod messages;
mod range;
mod simulated;

use futures::future::BoxFuture;

use crate::batch::Block;
use crate::table::Table;

pub use bronze::{bronze_block, bronze_table};
pub use clickhouse::{
    Backoff, Cause, ClickHouse, ClickHouseSettings, Compression, Password, SinkStats, SinkTotals, TablePlan,
};
pub use dead_letter::{DeadLetter, KEPT_DAYS, MOST_KEPT_BYTES, dead_letter_block, dead_letter_table};
pub use messages::Provenance;
pub use range::{OutOfRange, out_of_range};
pub use simulated::{InsertFault, SimulatedSink, SimulatedTables};

/// What a repeated insert into a table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// The server remembers the tokens of the last `parts` parts: a repeat within them has no effect.
    Window {
        /// How many parts the table remembers.
        parts: u64,
    },
    /// No window: a repeat of a lost answer doubles rows (append) or changes nothing (current).
    None,
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Bytes sent.
    pub bytes: usize,
    /// Attempts, the successful one included.
    pub attempts: u32,
}

/// Where blocks go.
pub trait Sink: Send + Sync {
    /// Makes the table ready: creates it, or checks the one that is there and adds columns that it lacks. What would
    /// lose data is refused, with the statement that an operator would have to run.
    fn prepare<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>>;

    /// Inserts one block: one `INSERT`, one block. Repeats it by itself, with back-off and the same token, after every
    /// answer that says "not now" or that leaves open whether the rows are in, for as long as it takes: only an answer
    /// that repeating can't change is an error. Cancel safe.
    fn insert<'a>(&'a self, block: &'a Block, token: &'a str) -> BoxFuture<'a, Result<Inserted, SinkError>>;
}

/// Why a sink refuses, once and for all. What passes (server down, timeout, too many parts, memory) is not here: it
/// is repeated inside.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The table is not what the plugin needs, and making it so would lose data.
    #[error("table {table} does not fit: {mismatch}{}", statement.as_ref().map(|s| format!("\n  to change it yourself: {s}")).unwrap_or_default())]
    Table {
        /// The table's name.
        table: String,
        /// Each column that does not fit, in words.
        mismatch: String,
        /// What an operator would have to run.
        statement: Option<String>,
    },
    /// The server understood the block and refuses it: a type, a constraint, a quota.
    #[error("table {table} refused {rows} rows: {message} (ClickHouse code {code})")]
    Refused {
        /// The table's name.
        table: String,
        /// Rows of the block.
        rows: usize,
        /// ClickHouse's error code.
        code: u32,
        /// ClickHouse's words.
        message: String,
    },
    /// Wrong address, user, password or grants.
    #[error("ClickHouse does not let the engine in: {message}")]
    Denied {
        /// What the server says, and what to do.
        message: String,
    },
    /// A bug here: the block could not be encoded.
    #[error("block for table {table} could not be encoded")]
    Encode {
        /// The table's name.
        table: String,
        /// What Arrow says.
        #[source]
        source: arrow_schema::ArrowError,
    },
}
