//! A schema registry: Apicurio, by Confluent's REST interface. It keeps its schemas in memory.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::place;
use crate::process::{Ending, Process};

const START: Duration = Duration::from_secs(120);

/// A registry. After a restart it is empty.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    /// Starts a registry without schemas.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let _ = place::script("tests/stack/fetch.sh", &["kafka", "registry"]);
        let folder = place::folder("registry");
        let port = place::free_port();
        let mut command = Command::new(place::repository().join("tests/stack/run.sh"));
        command.arg("registry").env("STACK_DIR", folder.path()).env("REGISTRY_PORT", port.to_string());
        let process = Process::start("registry", &command, &folder.path().join("registry.log"), Ending::Common);
        Self { process, port, _folder: folder }
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// When it does not, or ends.
    pub fn wait_until_up(&mut self) {
        let url = format!("{}/subjects", self.url());
        self.process.wait_until_up(START, || {
            reqwest::blocking::get(&url).and_then(reqwest::blocking::Response::error_for_status).is_ok()
        });
    }

    /// Its address for readers of Confluent's interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Settings of a connector's converter for keys or values that writes Confluent's wire format.
    #[must_use]
    pub fn converter(&self, of: &str) -> Vec<(String, Value)> {
        let settings = [
            ("", "io.apicurio.registry.utils.converter.AvroConverter".to_owned()),
            (".apicurio.registry.url", format!("http://127.0.0.1:{}/apis/registry/v2", self.port)),
            (".apicurio.registry.auto-register", "true".to_owned()),
            (".apicurio.registry.find-latest", "false".to_owned()),
            (".apicurio.registry.as-confluent", "true".to_owned()),
            (".apicurio.registry.headers.enabled", "false".to_owned()),
            // By default the id would be one that Confluent's interface does not know.
            (".apicurio.registry.use-id", "contentId".to_owned()),
        ];
        settings.map(|(key, value)| (format!("{of}.converter{key}"), Value::String(value))).into()
    }

    /// Stops it: its schemas are gone.
    pub fn stop(&mut self) {
        self.process.stop();
    }
}
