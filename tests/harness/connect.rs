//! Kafka Connect with the Debezium connectors.

use std::process::Command;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::Kafka;
use crate::place;
use crate::process::{Ending, Process};
use crate::wait::wait_for;

const START: Duration = Duration::from_secs(180);

/// A Connect worker.
#[derive(Debug)]
pub struct Connect {
    process: Process,
    url: String,
    http: Client,
    _folder: TempDir,
}

impl Connect {
    /// Starts a worker at this broker.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(kafka: &Kafka) -> Self {
        let _ = place::script("tests/stack/fetch.sh", &["kafka", "postgres"]);
        let folder = place::folder("connect");
        let port = place::free_port();
        let mut command = Command::new(place::repository().join("tests/stack/run.sh"));
        command.arg("connect").env("STACK_DIR", folder.path());
        command.env("KAFKA_PORT", kafka.port().to_string()).env("CONNECT_PORT", port.to_string());
        let process = Process::start("connect", &command, &folder.path().join("connect.log"), Ending::Common);
        let http = Client::builder().timeout(Duration::from_secs(30)).build().expect("HTTP client");
        let mut connect = Self { process, url: format!("http://127.0.0.1:{port}/connectors"), http, _folder: folder };
        connect.wait_until_up();
        connect
    }

    fn wait_until_up(&mut self) {
        let request = || self.http.get(&self.url).send().and_then(Response::error_for_status);
        self.process.wait_until_up(START, || request().is_ok());
    }

    /// Creates a connector and waits until it and its task run.
    ///
    /// # Panics
    /// When the worker refuses it or it fails; the message holds the trace.
    pub fn register(&self, name: &str, config: &Value) {
        let url = format!("{}/{name}/config", self.url);
        // The worker answers 409 for as long as it is busy with its own start.
        wait_for(&format!("connector {name} to be taken"), START, || {
            let response =
                self.http.put(&url).header("Content-Type", "application/json").body(config.to_string()).send();
            let response = response.expect("Connect answers");
            let status = response.status();
            let text = response.text().unwrap_or_default();
            assert!(status.is_success() || status.as_u16() == 409, "connector {name}: {status}: {text}");
            if status.is_success() { Ok(()) } else { Err(text) }
        });
        wait_for(&format!("connector {name} to run"), START, || {
            let status = self.status(name);
            let states = states(&status);
            assert!(!states.contains("FAILED"), "connector {name} failed: {status}");
            if states == "RUNNING RUNNING" { Ok(()) } else { Err(states) }
        });
    }

    /// What the worker says of a connector and its tasks; null while it does not know it.
    ///
    /// # Panics
    /// When the worker does not answer.
    #[must_use]
    pub fn status(&self, name: &str) -> Value {
        let response = self.http.get(format!("{}/{name}/status", self.url)).send().expect("Connect answers");
        serde_json::from_str(&response.text().expect("text")).unwrap_or_default()
    }
}

/// The states of the connector and its tasks, in order.
fn states(status: &Value) -> String {
    let tasks = status["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let states = std::iter::once(&status["connector"]).chain(tasks).map(|part| part["state"].as_str().unwrap_or("?"));
    states.collect::<Vec<_>>().join(" ")
}

/// How a connector writes its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// The full envelope, the schema embedded in each message.
    EnvelopeWithSchema,
    /// The full envelope alone.
    Envelope,
    /// The row alone, after `ExtractNewRecordState`; a delete is the last row with `__deleted` "true".
    Flat,
}

/// Settings of a connector that captures tables of a PostgreSQL database, snapshot first. Its topics are
/// `PREFIX.SCHEMA.TABLE`.
#[must_use]
pub fn postgres_connector(port: u16, database: &str, prefix: &str, tables: &[&str], writing: Writing) -> Value {
    let slot = prefix.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let with_schema = (writing == Writing::EnvelopeWithSchema).to_string();
    let mut config = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": port.to_string(),
        "database.user": "postgres",
        "database.password": "postgres",
        "database.dbname": database,
        "topic.prefix": prefix,
        "plugin.name": "pgoutput",
        "slot.name": format!("{slot}_slot"),
        "publication.name": format!("{slot}_publication"),
        "publication.autocreate.mode": "filtered",
        "table.include.list": tables.join(","),
        "snapshot.mode": "initial",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": with_schema,
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": with_schema,
        // By default a null in a column that has a default is written as that default: the null is lost for good.
        "key.converter.replace.null.with.default": "false",
        "value.converter.replace.null.with.default": "false",
    });
    if writing == Writing::Flat {
        config["transforms"] = json!("unwrap");
        config["transforms.unwrap.type"] = json!("io.debezium.transforms.ExtractNewRecordState");
        config["transforms.unwrap.add.fields"] = json!("op,ts_ms,source.ts_ms");
        config["transforms.unwrap.replace.null.with.default"] = json!("false");
        config["transforms.unwrap.delete.tombstone.handling.mode"] = json!("rewrite");
    }
    config
}
