//! A real PostgreSQL server, with logical decoding switched on.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::place;
use crate::process::{Ending, Process};
use crate::rows::{Rows, rows_of_json_lines};

/// A server. User `postgres` gets in without a password.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Starts an empty server.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let _ = place::script("tests/stack/fetch.sh", &["postgres"]);
        let folder = place::folder("postgres");
        let port = place::free_port();
        let mut command = Command::new(place::repository().join("tests/stack/run.sh"));
        command.arg("postgres").env("STACK_DIR", folder.path()).env("PG_PORT", port.to_string());
        let process = Process::start("postgres", &command, &folder.path().join("postgres.log"), Ending::Postgres);
        let mut postgres = Self { process, port, _folder: folder };
        postgres.wait_until_up();
        postgres
    }

    fn wait_until_up(&mut self) {
        let mut probe = self.psql("postgres");
        probe.args(["-c", "SELECT 1"]);
        let answers = || probe.output().is_ok_and(|output| output.status.success());
        self.process.wait_until_up(Duration::from_secs(60), answers);
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements, each in a transaction of its own unless they say `BEGIN`, and gives back what they print: a
    /// line for each row.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut command = self.psql(database);
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = command.spawn().expect("psql runs");
        // psql answers while it reads; what it answers fits into the pipe until all is written, or nobody would read on.
        psql.stdin.take().expect("a pipe").write_all(statements.as_bytes()).expect("psql reads");
        let output = psql.wait_with_output().expect("psql ends");
        assert!(output.status.success(), "{statements}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("psql prints UTF-8")
    }

    /// The rows of a query, each value in the text form that `columns` (SQL expressions) give it.
    ///
    /// # Panics
    /// When the query fails.
    #[must_use]
    pub fn rows(&self, database: &str, columns: &[&str], from: &str) -> Rows {
        let texts: Vec<_> = columns.iter().map(|column| format!("({column})::text")).collect();
        let query = format!("SELECT json_build_array({}) FROM {from}", texts.join(", "));
        rows_of_json_lines(&self.sql(database, &query))
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        command.args(["-p", &self.port.to_string(), "-d", database]);
        command.env("PGOPTIONS", "-c timezone=UTC");
        command
    }
}
