//! A real ClickHouse server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::blocking::Client;
use tempfile::TempDir;

use crate::place;
use crate::process::{Ending, Process};

/// A server with its data.
#[derive(Debug)]
pub struct ClickHouse {
    process: Process,
    serve: PathBuf,
    port: u16,
    http: Client,
    folder: TempDir,
}

impl ClickHouse {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let serve = PathBuf::from(place::script("tests/stack/clickhouse/fetch.sh", &[]));
        let folder = place::folder("clickhouse");
        let port = place::free_port();
        let process = launch(&serve, folder.path(), port);
        let http = Client::new();
        let mut server = Self { process, serve, port, http, folder };
        server.wait_until_up();
        server
    }

    fn wait_until_up(&mut self) {
        let url = format!("{}/ping", self.http_url());
        let http = self.http.clone();
        self.process.wait_until_up(Duration::from_secs(60), || http.get(&url).send().is_ok());
    }

    /// URL.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a query.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        let response = self.http.post(self.http_url()).body(sql.to_owned()).send().expect("ClickHouse answers");
        let status = response.status();
        let text = response.text().expect("text");
        assert!(status.is_success(), "{sql}: {text}");
        text
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.process = launch(&self.serve, self.folder.path(), self.port);
        self.wait_until_up();
    }
}

fn launch(serve: &Path, folder: &Path, port: u16) -> Process {
    let mut command = Command::new(serve);
    command.arg("--path").arg(folder.join("data")).args(["--http", &port.to_string()]);
    command.arg("--config").arg(place::repository().join("tests/stack/clickhouse/config.xml"));
    Process::start("clickhouse", &command, &folder.join("clickhouse.log"), Ending::Common)
}
