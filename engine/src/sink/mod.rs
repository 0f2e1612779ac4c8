//! Sinks: where blocks go.
//!
//! **Promise.** `insert` returns `Ok` only when the block is durably in its table, once: what became of an attempt is
//! found out before the next one (`claim`, `settle`), by the table's memory of tokens or by its rows.
//! **Assumed.** The caller has a durable intent for the block, and repeats a block only unchanged.
//! **After a crash** the caller claims the lane, which shuts out all that is still on its way, and sends the block again.

mod bronze;
mod claim;
mod clickhouse;
mod dead_letter;
mod json;
mod messages;
mod range;
mod settle;
mod simulated;

use futures::future::BoxFuture;

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Block;
use crate::config::Tenant;
use crate::journal::Owner;
use crate::offsets::LaneId;
use crate::table::Table;

pub use bronze::{bronze_block, bronze_table};
pub use claim::Claim;
pub(crate) use clickhouse::server::INSERTS_PER_SECOND;
pub use clickhouse::{
    Audited, Backoff, Cause, ClickHouse, ClickHouseSettings, ClickHouses, Comparable, Compression, EpochSide, Group,
    NamedRows, Password, RowsFrom, SeenEpoch, SeenReplay, SinkStats, SinkTotals, Statement, StatementError, Stranger,
    TablePlan, create_statements, encoded_bytes, fence_statement,
};
pub use dead_letter::{DeadLetter, KEPT_DAYS, MOST_KEPT_BYTES, dead_letter_block, dead_letter_table, is_kept_whole};
pub use messages::{Provenance, epoch_column};
pub use range::{OutOfRange, out_of_range};
pub(crate) use settle::{Names, names, without};
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
    /// CPU time of writing it into requests.
    pub encoding: Duration,
}

/// Where blocks go.
pub trait Sink: Send + Sync {
    /// Makes the table ready: creates it, or checks the one that is there and adds columns that it lacks. What would
    /// lose data is refused, with the statement that an operator would have to run.
    fn prepare<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>>;

    /// Claims a lane for its tables, all of one database: from now on nothing that an earlier claim sent can land, however
    /// late it comes. Waits until that is so.
    fn claim<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        tables: &'a [Arc<Table>],
    ) -> BoxFuture<'a, Result<Claim, SinkError>>;

    /// Whether a table holds rows of the lane of a later epoch than this value of `_epoch`: rows that a journal does not
    /// know of, which is then an old copy. Rows before `since_ms` (epoch's clock) need not be looked at.
    fn holds_later<'a>(
        &'a self,
        table: &'a Table,
        lane: &'a LaneId,
        epoch: u64,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<bool, SinkError>>;

    /// How far a table has come: grows with each part that any writer adds. May be a few seconds old. `None` where the
    /// server does not say.
    fn mark<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Option<u64>>;

    /// Inserts one block: one `INSERT`, one block. Goes on by itself, with back-off, after every answer that says "not now"
    /// or that leaves open whether the rows are in, for as long as it takes: only an answer that repeating can't change
    /// is an error. Cancel safe.
    fn insert<'a>(&'a self, send: &'a Sending) -> BoxFuture<'a, Result<Inserted, SinkError>>;

    /// All blocks of an epoch are in: so many.
    fn inserted(&self, _: &LaneId, _blocks: usize) {}

    /// How long a lane should gather rows for an epoch, at least, as many lanes share the server.
    fn linger(&self, _: &LaneId) -> Duration {
        Duration::ZERO
    }

    /// Sets a tenant's part of what the server takes, and the inserts a second that it may make at most.
    fn share(&self, _tenant: &str, _weight: u32, _inserts_per_second: Option<u32>) {}
}

/// Which sink a tenant's rows go to.
pub trait Sinks: Send + Sync {
    /// The tenant's, at its server, as its user.
    ///
    /// # Errors
    /// [`SinkError::Denied`] if its settings can't be those of a server.
    fn of(&self, tenant: &Tenant) -> Result<Arc<dyn Sink>, SinkError>;
}

/// One sink for all tenants.
pub struct OneSink(pub Arc<dyn Sink>);

impl Sinks for OneSink {
    fn of(&self, _: &Tenant) -> Result<Arc<dyn Sink>, SinkError> {
        Ok(self.0.clone())
    }
}

/// A block on its way.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The rows.
    pub block: Block,
    /// Its name at the table.
    pub token: String,
    /// [`Sink::mark`] of its table before it was sent for the first time.
    pub mark: Option<u64>,
    /// It may have been sent before, by a process that is gone.
    pub again: bool,
    /// Whose it is.
    pub claim: Arc<Claim>,
}

impl Sending {
    /// A block that no running lane sends: nobody is shut out for it, and a repeat has no effect within the window.
    #[must_use]
    pub fn unclaimed(block: Block, token: String) -> Self {
        Self { block, token, mark: None, again: false, claim: Arc::new(Claim::unjudged()) }
    }
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
    /// Another engine has the lane.
    #[error(
        "lane {lane} is not this engine's any more: {reason}. Nothing of it was written since. Two engines must not \
             run the same lanes: stop one of them"
    )]
    Fenced {
        /// The lane.
        lane: Box<LaneId>,
        /// Who has it, as far as the fence says.
        reason: String,
    },
    /// The tables are ahead of the journal.
    #[error(
        "table {table} holds rows of lane {lane} that this journal knows nothing of: the data folder is an old copy. Going \
         on would write them again. Bring the right data folder back, or start a new generation: engine recover \
         --plugin {} --topic {} --partition {} --from OFFSET",
        lane.key(), lane.topic, lane.partition
    )]
    OldJournal {
        /// The table's name.
        table: String,
        /// The lane.
        lane: Box<LaneId>,
    },
    /// Nobody can tell whether the block is in.
    #[error(
        "a block may be in table {table} or not: the table no longer remembers its token, and its rows can't be counted \
         (it sums up rows, or has none of the engine's columns). Compare it by hand, then go on with engine recover"
    )]
    Undecided {
        /// The table's name.
        table: String,
    },
    /// More rows than an epoch has made.
    #[error(
        "table {table} holds rows that no epoch made: {what}. Somebody else writes or copies rows with the engine's columns"
    )]
    Surplus {
        /// The table's name.
        table: String,
        /// What is too much.
        what: String,
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
