//! A real ClickHouse server: the engine library behind `tests/stack/clickhouse`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use tempfile::TempDir;

use crate::place;
use crate::process::{Ending, Process};

const START: Duration = Duration::from_secs(60);
/// The longest query of a test, on a loaded machine.
const QUERY: Duration = Duration::from_secs(120);

/// A server with its data, which it keeps when it is stopped or killed and started again.
#[derive(Debug)]
pub struct ClickHouse {
    process: Process,
    command: Command,
    port: u16,
    http: Client,
    folder: TempDir,
}

/// A user beside the server's own. This build has no place for users that are created by statements: they stand in its
/// file, with the same grants.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// `GRANT … ON …`, without `TO`.
    pub grants: Vec<String>,
    /// The rows of a table that the user sees: database, table, condition.
    pub policies: Vec<[String; 3]>,
}

impl User {
    fn xml(&self) -> String {
        let Self { name, password, grants, policies } = self;
        let grants: String = grants.iter().map(|grant| format!("<query>{grant}</query>")).collect();
        let policy = |[database, table, condition]: &[String; 3]| {
            format!("<{database}><{table}><filter>{condition}</filter></{table}></{database}>")
        };
        let policies: String = policies.iter().map(policy).collect();
        format!(
            "<{name}><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
             <quota>default</quota><databases>{policies}</databases><grants>{grants}</grants></{name}>\n"
        )
    }
}

impl ClickHouse {
    /// Starts an empty server.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with_users(&[])
    }

    /// Starts an empty server that has these users besides.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with_users(users: &[User]) -> Self {
        Self::start_with(users, "", 0)
    }

    /// Starts an empty server that has these settings besides, as elements of its file, and listens for other servers on this
    /// port.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(users: &[User], settings: &str, tcp: u16) -> Self {
        let (folder, port) = (place::folder("clickhouse"), place::free_port());
        let config = place::repository().join("tests/stack/clickhouse");
        for file in ["config.xml", "users.xml"] {
            let text = fs::read_to_string(config.join(file)).expect("settings of the server");
            let users: String = users.iter().map(User::xml).collect();
            let text = text.replace("  </users>", &format!("{users}  </users>"));
            let text = if file == "config.xml" {
                text.replace("</clickhouse>", &format!("{settings}</clickhouse>"))
            } else {
                text
            };
            fs::write(folder.path().join(file), text).expect("settings of the server");
        }
        let mut command = Command::new(place::script("tests/stack/clickhouse/fetch.sh", &[]));
        command.arg("--path").arg(folder.path().join("data")).args([
            "--http",
            &port.to_string(),
            "--tcp",
            &tcp.to_string(),
        ]);
        command.arg("--config").arg(folder.path().join("config.xml"));
        let process = launch(&command, folder.path());
        let http = Client::builder().timeout(QUERY).build().expect("HTTP client");
        let mut clickhouse = Self { process, command, port, http, folder };
        clickhouse.wait_until_up();
        clickhouse
    }

    fn wait_until_up(&mut self) {
        let url = format!("{}/ping", self.http_url());
        let request = || self.http.get(&url).send().and_then(Response::error_for_status);
        self.process.wait_until_up(START, || request().is_ok());
    }

    /// Its address: the same as long as the value lives.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a statement and gives back what the server answers.
    ///
    /// # Panics
    /// When it fails.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs a statement in a database, whose tables it names without.
    ///
    /// # Panics
    /// When it fails.
    pub fn query_in(&self, database: &str, sql: &str) -> String {
        let request = self.http.post(self.http_url()).header("x-clickhouse-database", database);
        Self::answer(request.body(sql.to_owned())).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs a statement that may fail.
    ///
    /// # Errors
    /// What the server, or the HTTP client, says.
    pub fn try_query(&self, sql: &str) -> Result<String, QueryError> {
        Self::answer(self.http.post(self.http_url()).body(sql.to_owned()))
    }

    /// Runs a statement as a user of the server.
    ///
    /// # Errors
    /// What the server, or the HTTP client, says.
    pub fn try_query_as(&self, user: &User, sql: &str) -> Result<String, QueryError> {
        let request = self.http.post(self.http_url()).body(sql.to_owned());
        Self::answer(request.header("x-clickhouse-user", &user.name).header("x-clickhouse-key", &user.password))
    }

    fn answer(request: RequestBuilder) -> Result<String, QueryError> {
        let response = request.send().map_err(QueryError::Http)?;
        let status = response.status();
        let text = response.text().map_err(QueryError::Http)?;
        if status.is_success() { Ok(text) } else { Err(QueryError::Server(text)) }
    }

    /// Stops it in good order.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends it with `SIGKILL`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port, with its data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.process = launch(&self.command, self.folder.path());
        self.wait_until_up();
    }
}

/// Why a statement has no answer.
#[derive(Debug)]
pub enum QueryError {
    /// The server can't be reached, or breaks off.
    Http(reqwest::Error),
    /// The server's words.
    Server(String),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Server(words) => words.trim().fmt(f),
        }
    }
}

fn launch(command: &Command, folder: &Path) -> Process {
    Process::start("clickhouse", command, &folder.join("clickhouse.log"), Ending::Common)
}
