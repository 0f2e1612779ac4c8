//! Gold: tables and views that ClickHouse makes of silver, kept as SQL files in folders.
//!
//! **Promise.** What a plan shows is what is run, in the order of the files' names; what is there as its file says is left
//! alone, so to apply twice is to apply once; nothing that holds rows is ever dropped, and what is there otherwise than its file
//! says is shown, line by line, and not touched. A backfill puts the days of a table that differ from what its views make
//! of the source in the place of the old ones, each at once, and makes them a second time to compare; run again, it finds
//! nothing to do.
//! **Assumed.** Nobody else changes these objects meanwhile; [`lock`] keeps two of these commands apart. Days into which rows
//! still come are left as they are.
//! **After a crash** of either command: run it again. The lock that it left says in words how to take it away.
//!
//! ```text
//! folders ──► statement (what each file says) ──► plan (what is there, what to do) ──► apply
//!                                          └────► cluster (the same for many servers, in words alone)
//! backfill: source checked ──► days made in a table beside ──► compared ──► put in place ──► made and compared again
//! ```

pub mod backfill;
pub mod cluster;
mod difference;
pub mod lock;
pub mod plan;
mod source;
pub mod statement;
pub mod target;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::sink::{ClickHouse, Statement, StatementError};

/// Statements that create something, and questions about it.
const QUICK: Duration = Duration::from_secs(120);
/// A range made anew, or read as a whole: as long as the server takes, within a day.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// The server, and the database of silver and gold.
#[derive(Clone, Debug)]
pub struct Database {
    server: Arc<ClickHouse>,
    /// Its name.
    pub name: String,
    /// Statements so far, for their ids.
    asked: Arc<AtomicU32>,
}

impl Database {
    /// This one; nothing is sent yet.
    #[must_use]
    pub fn new(server: Arc<ClickHouse>, name: impl Into<String>) -> Self {
        Self { server, name: name.into(), asked: Arc::default() }
    }

    async fn run(&self, sql: &str, values: &[(&str, &str)], timeout: Duration) -> Result<(), SchemaError> {
        let statement = Statement { database: &self.name, sql, values, id: &self.id(), timeout };
        let done = self.server.run_once(&statement).await;
        done.map(drop).map_err(|source| SchemaError::Statement { statement: first_line(sql), source })
    }

    async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        values: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Vec<T>, SchemaError> {
        let statement = Statement { database: &self.name, sql, values, id: &self.id(), timeout };
        let rows = self.server.rows_once(&statement).await;
        rows.map_err(|source| SchemaError::Statement { statement: first_line(sql), source })
    }

    /// How the ids of statements of these commands on this database begin, whoever runs them.
    fn ids(&self) -> String {
        format!("engine-schema/{}/", self.name)
    }

    fn id(&self) -> String {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        format!("{}{}-{:x}-{asked}", self.ids(), std::process::id(), start())
    }

    /// Ends all that commands on this database have under way.
    async fn end_statements(&self) -> Result<(), SchemaError> {
        let done = self.server.end_statements(&self.ids(), QUICK).await;
        done.map_err(|source| SchemaError::Statement { statement: "KILL QUERY".to_owned(), source })
    }
}

/// When this process began to ask: tells it from others with its number, on other machines.
fn start() -> u128 {
    use std::sync::LazyLock;
    use std::time::SystemTime;

    static START: LazyLock<u128> =
        LazyLock::new(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos()));
    *START
}

/// Enough of a statement to know it again.
fn first_line(statement: &str) -> String {
    let line = statement.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(100).collect()
}

/// Why gold can't be planned, applied or filled.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The folder or a file of it can't be read.
    #[error("{} can't be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in the folder.
    #[error("there is no statement in the .sql files of {}: name the folder of gold", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A file holds something that is not done from here.
    #[error("{}:{line}: {words}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The statement's first line.
        line: usize,
        /// What is wrong and what to do.
        words: String,
    },
    /// The server refuses a file's statement, or nobody knows what became of it.
    #[error("{}:{line}: {name} {}", path.display(), became(source))]
    Apply {
        /// Which file.
        path: PathBuf,
        /// The statement's first line.
        line: usize,
        /// What it makes.
        name: String,
        /// The server's words.
        #[source]
        source: StatementError,
    },
    /// The server did not do it.
    #[error("`{statement}` {}", became(source))]
    Statement {
        /// Its first line.
        statement: String,
        /// The server's words.
        #[source]
        source: StatementError,
    },
    /// The database is not there.
    #[error(
        "there is no database {database}: the engine makes it with its tables at its first start, and gold is made of these"
    )]
    NoDatabase {
        /// Which.
        database: String,
    },
    /// Something is to be taken for what a file says that no file says.
    #[error("--adopt {name}: no file makes it")]
    Adopt {
        /// Its name.
        name: String,
    },
    /// Another command is at work.
    #[error(
        "another engine schema is at work on database {database}, or was killed: {holder}. {} If it runs no more: DROP TABLE `{database}`.`{}`",
        if *running { "A statement of it is under way." } else { "No statement of it is under way." },
        lock::TABLE
    )]
    Locked {
        /// The database.
        database: String,
        /// Who, and since when.
        holder: String,
        /// Whether the server is at a statement of it.
        running: bool,
    },
    /// A signal.
    #[error("interrupted; what was done is whole, run it again for the rest")]
    Interrupted,
    /// The table is not one that is filled by days.
    #[error("table {table} can't be filled from here: {words}")]
    Target {
        /// Which.
        table: String,
        /// Why, and what to do.
        words: String,
    },
    /// Rows of the source are missing, or there twice.
    #[error("nothing was changed: {words}")]
    Source {
        /// Which, how many, and what to do.
        words: String,
    },
}

fn became(source: &StatementError) -> &'static str {
    if source.open { "may have been done, or still be under way" } else { "was not done" }
}
