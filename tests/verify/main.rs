//! `engine verify` and `engine replay` against real servers: what is wrong is found and named, and read again rightly.

mod audit;
mod remembering;
mod replay;
mod watch;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::place;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(120);
const TOPIC: &str = "postgres-server.inventory.orders";
const ORDERS: &str = "topics = [\"^.*inventory.orders$\"]\n";

/// The plugin `orders` over a file.
fn setup(clickhouse: &ClickHouse, database: &str, file: &Path) -> Setup {
    let plugin = Plugin { name: "orders", settings: ORDERS, artifact: Some("orders") };
    let file = file.to_string_lossy();
    // Epochs of few messages, so that there are several.
    let arguments = ["--source", &file, "--set", "batch.max_messages=40"];
    Setup::new(&clickhouse.http_url(), database).with(&arguments).with_plugins(&[plugin])
}

fn run_to_end(setup: &Setup) {
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(BOUND).success(), "{}", engine.output());
}

/// A recording of orders; those for which `bad` holds have a quantity that the plugin rejects.
fn recording(folder: &Path, orders: i64, bad: impl Fn(i64) -> bool) -> std::path::PathBuf {
    let line = |offset: i64| {
        let (key, mut value) = harness::orders::created(offset);
        if bad(offset) {
            value = value.replace(&format!("\"quantity\":{}", harness::orders::quantity(offset)), "\"quantity\":0");
        }
        let message = serde_json::json!({
            "topic": TOPIC, "partition": 0, "offset": offset, "timestamp": 1_753_093_000_000 + offset * 1_000,
            "key": key, "value": value,
        });
        message.to_string() + "\n"
    };
    let file = folder.join("recording.jsonl");
    std::fs::write(&file, (0..orders).map(line).collect::<String>()).expect("a recording");
    file
}

/// Table, fault, rows, offsets.
type Found = (String, String, u64, Vec<i64>);

/// What `verify` finds.
fn findings(setup: &Setup, arguments: &[&str]) -> (Option<i32>, Vec<Found>) {
    let (code, words) = setup.ask(&[&["verify", "--json"], arguments].concat(), None);
    let mut found = Vec::new();
    for line in words.lines().filter(|line| line.starts_with('{') && line.contains("\"tables\"")) {
        let report: Value = serde_json::from_str(line).expect("JSON");
        for table in report["tables"].as_array().expect("tables") {
            let name =
                table["table"].as_str().expect("name").rsplit('.').next().expect("table").trim_matches('`').to_owned();
            for finding in table["findings"].as_array().expect("findings") {
                let some = finding["some"].as_array().expect("offsets").iter().filter_map(Value::as_i64).collect();
                let fault = finding["fault"].as_str().expect("fault").to_owned();
                found.push((name.clone(), fault, finding["rows"].as_u64().expect("rows"), some));
            }
        }
    }
    (code, found)
}

fn folder() -> tempfile::TempDir {
    place::folder("verify")
}
