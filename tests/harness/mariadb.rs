//! A real MariaDB server, with a binary log of rows.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::place;
use crate::process::{Ending, Process};

/// A server. User `debezium`, with the password `debezium`, may do what the connector and the tests need.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl MariaDb {
    /// Starts an empty server; brings the server and Debezium's connector first where they are missing.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let _ = place::script("tests/stack/fetch.sh", &["mariadb"]);
        let folder = place::folder("mariadb");
        let port = place::free_port();
        let mut command = Command::new(place::repository().join("tests/stack/run.sh"));
        command.arg("mariadb").env("STACK_DIR", folder.path()).env("MARIADB_PORT", port.to_string());
        let process = Process::start("mariadb", &command, &folder.path().join("mariadb.log"), Ending::Common);
        let mut mariadb = Self { process, port, _folder: folder };
        mariadb.wait_until_up();
        mariadb
    }

    fn wait_until_up(&mut self) {
        let mut probe = self.client();
        probe.args(["-e", "SELECT 1"]);
        let answers = || probe.output().is_ok_and(|output| output.status.success());
        self.process.wait_until_up(Duration::from_secs(60), answers);
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements, of a server that takes what a strict one refuses, and gives back what they print: a line for each row.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, statements: &str) -> String {
        let mut command = self.client();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().expect("the client runs");
        let statements = format!("SET sql_mode = '', time_zone = '+00:00';\n{statements}");
        client.stdin.take().expect("a pipe").write_all(statements.as_bytes()).expect("the client reads");
        let output = client.wait_with_output().expect("the client ends");
        assert!(output.status.success(), "{statements}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the client prints UTF-8")
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args([
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "-P",
            &self.port.to_string(),
            "-u",
            "debezium",
            "-pdebezium",
        ]);
        command.args(["--default-character-set=utf8mb4", "--batch", "--raw", "--skip-column-names"]);
        command
    }
}
