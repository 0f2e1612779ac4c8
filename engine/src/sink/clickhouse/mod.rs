//! ClickHouse over HTTP.
//!
//! **Promise.** As the trait says. One block is one `INSERT`, one block in the server, and one part for each table
//! partition that it touches; every attempt carries the same bytes and the same token. An attempt that may have
//! landed is never taken for one that failed: it is repeated with its token until the server confirms.
//! **Assumed.** The table's window covers what all writers add between the first attempt and the confirmed one;
//! `prepare` says how far it reaches. Values were checked with [`crate::sink::out_of_range`] before.
//! **After a crash** nothing here needs recovery.
//!
//! ```text
//! insert (a block) ──► encode (Arrow stream) ──► http (one request) ──► trouble (what it means) ──► retry (again, or the error)
//!   └─ fence (whose lane is it), marks (does the table remember), rows that are there
//! server (what all share who insert into it) ──► when, and how many at a time
//! audit (rows beside rows made again), select (questions), statement (a person's)
//! types, expression ──► ddl (statements) ──► existing (what is there, does it fit) ──► prepare (make it so)
//! ```

mod audit;
mod ddl;
mod encode;
mod existing;
mod expression;
mod fence;
mod http;
mod insert;
mod marks;
mod pace;
mod pool;
mod prepare;
mod retry;
pub(crate) mod server;
mod select;
mod statement;
mod stats;
mod storage;
mod swap;
mod trouble;
pub(crate) mod types;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::prepare::Preparing;
use futures::FutureExt;
use futures::future::BoxFuture;

use self::http::{Clients, Http};
use self::marks::Known;
use self::retry::Patience;
use self::server::{INSERTS_PER_SECOND, Server};
use super::{Claim, Guarantee, Inserted, Sending, Sink, SinkError};
use crate::journal::Owner;
use crate::offsets::LaneId;
use crate::table::Table;
use crate::tls::Tls;

pub use audit::{Audited, Comparable, Group, Names as NamedRows, SeenEpoch, SeenReplay, Stranger};
pub use ddl::create_statements;
pub use encode::encoded_bytes;
pub use fence::fence_statement;
pub use pool::ClickHouses;
pub use prepare::TablePlan;
pub use retry::Backoff;
pub use statement::{Statement, StatementError};
pub use stats::{SinkStats, SinkTotals};
pub use swap::{EpochSide, RowsFrom};
pub use trouble::Cause;

/// How blocks are compressed on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: cheapest on the same machine and in a fast network.
    #[default]
    None,
    /// LZ4 frames: a quarter to half of the bytes, for about six times the client's and half again the server's CPU
    /// time.
    Lz4,
}

/// A password: never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// For a request that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(hidden)" })
    }
}

/// Which server, as whom, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouseSettings {
    /// `http://host:8123` or `https://host:8443`, without user and password.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Password,
    /// Whom to trust and who we are, at an address with `https`.
    pub tls: Tls,
    /// How blocks are compressed.
    pub compression: Compression,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time of one request, from its first byte to the end of the answer. It doubles for a block that needs
    /// more, up to sixteen times.
    pub timeout: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

impl ClickHouseSettings {
    /// The server at this address, as user `default` without password.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: "default".into(),
            password: Password::default(),
            tls: Tls::default(),
            compression: Compression::None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            backoff: Backoff::default(),
        }
    }
}

/// A ClickHouse server.
#[derive(Debug)]
pub struct ClickHouse {
    http: Http,
    server: Arc<Server>,
    patience: Patience,
    stats: SinkStats,
    compression: Compression,
    timeout: Duration,
    preparing: Preparing,
    /// What is known of each table, by its quoted name.
    known: std::sync::Mutex<HashMap<String, Known>>,
    /// Databases whose fence table is there.
    fences: std::sync::Mutex<HashSet<String>>,
}

/// Settings of every insert. Each is the server's default, or was, in some version or profile, and each default that
/// differs loses or repeats rows without a word.
const INSERT: [(&str, &str); 14] = [
    // Done when answered, and the token is the block's: batches gathered on the server mix tokens.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // One block, so that token and rows land together: nothing is cut by rows or bytes or among threads.
    ("input_format_parallel_parsing", "0"),
    ("max_insert_threads", "1"),
    ("max_threads", "1"),
    ("max_insert_block_size", ABOVE_ANY_BLOCK),
    ("min_insert_block_size_rows", ABOVE_ANY_BLOCK),
    ("min_insert_block_size_bytes", ABOVE_ANY_BLOCK),
    // The default of 100 would refuse a load of old data in a table by day, for ever. One part in the window for each
    // partition: beyond the window the block's own parts would push out its tokens.
    ("max_partitions_per_insert_block", "10000"),
    // A null or a column that is missing is a bug, and must not become a zero.
    ("input_format_null_as_default", "0"),
    ("input_format_arrow_allow_missing_columns", "0"),
    // Rows are checked before; what slips through is an error and not another date.
    ("date_time_overflow_behavior", "throw"),
    // The status line comes after the outcome is known.
    ("wait_end_of_query", "1"),
];

/// Numbers in answers are numbers, whatever the user's profile says.
const QUOTE_NO_NUMBERS: (&str, &str) = ("output_format_json_quote_64bit_integers", "0");

/// 2^40 rows or bytes.
const ABOVE_ANY_BLOCK: &str = "1099511627776";

impl ClickHouse {
    /// A sink for this server. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SinkError::Denied`] if the settings can't be those of a server.
    #[expect(clippy::needless_pass_by_value, reason = "settings hold a password: they end here")]
    pub fn new(settings: ClickHouseSettings) -> Result<Self, SinkError> {
        Self::by(&mut Clients::default(), Arc::new(Server::new(INSERTS_PER_SECOND)), &settings)
    }

    /// A sink that shares connections and a server with others.
    fn by(clients: &mut Clients, server: Arc<Server>, settings: &ClickHouseSettings) -> Result<Self, SinkError> {
        Ok(Self {
            http: Http::new(clients, settings)?,
            server,
            patience: Patience::new(settings.backoff),
            stats: SinkStats::default(),
            compression: settings.compression,
            timeout: settings.timeout,
            preparing: Preparing::default(),
            known: std::sync::Mutex::default(),
            fences: std::sync::Mutex::default(),
        })
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> &SinkStats {
        &self.stats
    }
}

impl Sink for ClickHouse {
    fn prepare<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>> {
        self.prepare_table(table).boxed()
    }

    fn claim<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        tables: &'a [Arc<Table>],
    ) -> BoxFuture<'a, Result<Claim, SinkError>> {
        let table = tables.first().expect("each transform has a table for its dead letters");
        self.server.pace.begins(lane);
        self.take_claim(lane, owner, table).boxed()
    }

    fn holds_later<'a>(
        &'a self,
        table: &'a Table,
        lane: &'a LaneId,
        epoch: u64,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        self.later_rows(table, lane, epoch, since_ms).boxed()
    }

    fn mark<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Option<u64>> {
        self.mark_of(table).boxed()
    }

    fn insert<'a>(&'a self, send: &'a Sending) -> BoxFuture<'a, Result<Inserted, SinkError>> {
        self.insert_block(send).boxed()
    }

    fn inserted(&self, lane: &LaneId, blocks: usize) {
        self.server.pace.inserted(lane, blocks);
    }

    fn linger(&self, lane: &LaneId) -> Duration {
        self.server.pace.linger(lane)
    }

    fn share(&self, tenant: &str, weight: u32, inserts_per_second: Option<u32>) {
        self.server.share(tenant, weight, inserts_per_second);
    }
}
