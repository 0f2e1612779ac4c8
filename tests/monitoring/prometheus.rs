//! A real Prometheus that watches an engine.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::place;
use harness::process::{Ending, Process};
use harness::wait::wait_for;
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(60);

/// Brings `prometheus` and `promtool` where they are missing.
pub(crate) fn installed() {
    let _ = place::script("tests/stack/packages.sh", &["monitoring"]);
}

/// A server with its data.
#[derive(Debug)]
pub(crate) struct Prometheus {
    _process: Process,
    url: String,
    http: Client,
    _folder: TempDir,
}

/// A rule as the server has read it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) is_alert: bool,
}

impl Prometheus {
    /// Starts one that scrapes this engine every second, with these rules.
    pub(crate) fn start(engine: &str, rules: &Path) -> Self {
        installed();
        let (folder, port) = (place::folder("prometheus"), place::free_port());
        let (target, rules) = (engine.trim_start_matches("http://"), rules.display());
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{rules}']\n\
             scrape_configs: [{{job_name: engine, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, settings).expect("settings");
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start("prometheus", &command, &folder.path().join("prometheus.log"), Ending::Common);
        let http = Client::builder().timeout(Duration::from_secs(10)).build().expect("HTTP client");
        let url = format!("http://127.0.0.1:{port}");
        let ready = || http.get(format!("{url}/-/ready")).send().and_then(Response::error_for_status).is_ok();
        process.wait_until_up(BOUND, ready);
        Self { _process: process, url, http, _folder: folder }
    }

    /// `data` of an answer.
    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), parameters).expect("a URL");
        let text = self.http.get(url).send().and_then(Response::text).expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["status"], "success", "{path} {parameters:?}: {text}");
        answer["data"].clone()
    }

    /// All rules, once each has been evaluated and none was in error.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let rules = || {
            let groups = self.ask("rules", &[])["groups"].as_array().cloned().unwrap_or_default();
            groups.into_iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
        };
        wait_for("each rule to be evaluated", BOUND, || match rules().find(|rule| rule["health"] != "ok") {
            None => Ok(()),
            Some(rule) => Err(rule.to_string()),
        });
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rule = |rule: Value| Rule {
            name: text(&rule["name"]),
            query: text(&rule["query"]),
            is_alert: rule["type"] == "alerting",
        };
        rules().map(rule).collect()
    }

    /// The series that a query gives now.
    pub(crate) fn query(&self, query: &str) -> Vec<Value> {
        self.ask("query", &[("query", query)])["result"].as_array().cloned().expect("a vector")
    }

    /// Whether there is a series for this selector.
    pub(crate) fn has(&self, selector: &str) -> Result<(), &'static str> {
        let series = self.ask("series", &[("match[]", selector)]);
        if series.as_array().is_some_and(|series| !series.is_empty()) { Ok(()) } else { Err("no such series") }
    }

    /// The labels of all alerts that are pending or firing.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let alerts = self.ask("alerts", &[])["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().map(|alert| alert["labels"].clone()).collect()
    }
}
