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
//! encode (Arrow stream) ──► http (one request) ──► trouble (what it means) ──► retry (again, or the error)
//! types, expression ──► ddl (statements) ──► existing (what is there, does it fit) ──► prepare (make it so)
//! ```

mod ddl;
mod encode;
mod existing;
mod expression;
mod http;
mod prepare;
mod retry;
mod stats;
mod trouble;
pub(crate) mod types;

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use self::http::Http;
use self::retry::{Attempt, Patience, What};
use self::trouble::{Decision, Trouble};
use super::{Guarantee, Inserted, Sink, SinkError};
use crate::batch::Block;
use crate::table::{Table, quote};

pub use prepare::TablePlan;
pub use retry::Backoff;
pub use stats::{SinkStats, SinkTotals};
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
#[derive(Clone, Default)]
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
#[derive(Clone, Debug)]
pub struct ClickHouseSettings {
    /// `http://host:8123` or `https://host:8443`, without user and password.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Password,
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
    patience: Patience,
    stats: SinkStats,
    compression: Compression,
    timeout: Duration,
    /// Lanes of one table prepare it one after the other; what they do is also safe beside another process.
    preparing: Mutex<()>,
}

/// Settings of every insert. Each is the server's default, or was, in some version or profile, and each default that
/// differs loses or repeats rows without a word.
const INSERT: [(&str, &str); 13] = [
    // Done when answered, and the token is the block's: batches gathered on the server mix tokens.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // One block, so that token and rows land together: nothing is cut by rows or bytes or among threads.
    ("input_format_parallel_parsing", "0"),
    ("max_insert_threads", "1"),
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

/// 2^40 rows or bytes.
const ABOVE_ANY_BLOCK: &str = "1099511627776";

impl ClickHouse {
    /// A sink for this server. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SinkError::Denied`] if the settings can't be those of a server.
    #[expect(clippy::needless_pass_by_value, reason = "settings hold a password: they end here")]
    pub fn new(settings: ClickHouseSettings) -> Result<Self, SinkError> {
        Ok(Self {
            http: Http::new(&settings)?,
            patience: Patience::new(settings.backoff),
            stats: SinkStats::default(),
            compression: settings.compression,
            timeout: settings.timeout,
            preparing: Mutex::new(()),
        })
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> &SinkStats {
        &self.stats
    }

    async fn insert_block(&self, block: &Block, token: &str) -> Result<Inserted, SinkError> {
        if block.rows == 0 {
            return Ok(Inserted { bytes: 0, attempts: 0 });
        }
        let table = block.table.quoted();
        let columns: Vec<String> = block.table.schema.fields().iter().map(|field| quote(field.name())).collect();
        let query = format!("INSERT INTO {table} ({}) FORMAT ArrowStream", columns.join(", "));
        let started = Instant::now();
        let attempt = |attempt: Attempt| self.attempt(block, token, &query, attempt);
        let name = What { table: &table, name: token };
        let settled = self.patience.until_settled(&self.stats, name, self.timeout, attempt).await;
        let (bytes, attempts) = settled.map_err(|trouble| insert_error(trouble, table, block.rows))?;
        self.stats.inserted(block.rows, bytes, started.elapsed());
        if attempts > 1 {
            tracing::info!(block = token, attempts, "ClickHouse confirmed after all");
        }
        Ok(Inserted { bytes, attempts })
    }

    /// Sends a block once; gives the bytes of its body.
    async fn attempt(&self, block: &Block, token: &str, query: &str, attempt: Attempt) -> Result<usize, Trouble> {
        let own = [
            ("insert_deduplication_token", token.to_owned()),
            // The server gives up when this attempt does, so that nobody's old request lands late.
            ("max_execution_time", attempt.timeout.as_secs().max(1).to_string()),
            ("query_id", format!("{token}-{}", attempt.number)),
        ];
        let fixed = INSERT.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let settings: Vec<(&str, String)> = fixed.chain(own).collect();
        let (body, encoding, sent) = encode::body(block, self.compression, self.stats.encoding());
        let answer = self.http.post(query, &settings, Some((body, encoding)), attempt.timeout).await?;
        let trouble = |cause, message| Err(Trouble { cause, code: 0, message });
        if !answer.text.trim().is_empty() {
            return trouble(Cause::NoVerdict, "the answer to an insert has a body".into());
        }
        // A repeat that was dropped counts its rows like any other, and views add theirs.
        match answer.written_rows {
            Some(written) if written < block.rows as u64 => {
                trouble(Cause::Short, format!("the server says it wrote {written} of {} rows", block.rows))
            }
            Some(_) | None => Ok(sent.load(Ordering::Relaxed)),
        }
    }
}

fn insert_error(trouble: Trouble, table: String, rows: usize) -> SinkError {
    let Trouble { cause, code, message } = trouble;
    match cause.decision() {
        Decision::Denied => SinkError::Denied { message },
        Decision::Table => SinkError::Table { table, mismatch: message, statement: None },
        Decision::Bug => SinkError::Encode { table, source: arrow_schema::ArrowError::IpcError(message) },
        Decision::Refused | Decision::NotNow | Decision::Unknown => SinkError::Refused { table, rows, code, message },
    }
}

impl Sink for ClickHouse {
    fn prepare<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>> {
        self.prepare_table(table).boxed()
    }

    fn insert<'a>(&'a self, block: &'a Block, token: &'a str) -> BoxFuture<'a, Result<Inserted, SinkError>> {
        self.insert_block(block, token).boxed()
    }
}
