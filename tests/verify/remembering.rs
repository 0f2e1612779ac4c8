//! A plugin that keeps state: what `verify` counts, and a replay from the start.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, program};

use crate::{findings, folder, run_to_end};

const BEGIN_MS: i64 = 1_735_678_800_000;

/// Events of seven users, a minute apart, one in five of which comes twice; behind them one that can't be read.
fn recording(folder: &Path, events: i64) -> PathBuf {
    let event = |offset: i64| if offset % 5 == 4 { offset - 3 } else { offset };
    let line = |offset: i64| message(offset, event(offset), BEGIN_MS + event(offset) * 60_000);
    let file = folder.join("events.jsonl");
    std::fs::write(&file, (0..events).map(line).collect::<String>() + &unreadable(events)).expect("a recording");
    file
}

fn unreadable(offset: i64) -> String {
    let message = serde_json::json!({
        "topic": "events_raw", "partition": 0, "offset": offset, "timestamp": BEGIN_MS, "key": "u0", "value": "{",
    });
    message.to_string() + "\n"
}

fn message(offset: i64, event: i64, at_ms: i64) -> String {
    let user = event % 7;
    let value = serde_json::json!({
        "schema_version": "v1", "event_id": format!("e{event}"), "idempotency_key": format!("k{event}"),
        "event_type": "page_view", "user_id": format!("u{user}"), "session_id": null, "timestamp": at_ms, "device": null,
        "properties": { "page": format!("/{event}") },
    });
    let message = serde_json::json!({
        "topic": "events_raw", "partition": 0, "offset": offset, "timestamp": at_ms, "key": format!("u{user}"),
        "value": value.to_string(),
    });
    message.to_string() + "\n"
}

fn setup(clickhouse: &ClickHouse, database: &str, file: &Path) -> Setup {
    let plugin = Plugin { name: "sessions", settings: "topics = ['events_raw']\n", artifact: Some("sessions") };
    let arguments = ["--source", &file.to_string_lossy(), "--set", "batch.max_messages=40"];
    Setup::new(&clickhouse.http_url(), database).with(&arguments).with_plugins(&[plugin])
}

/// What the tables say, but for who made it when.
fn content(clickhouse: &ClickHouse) -> [String; 2] {
    ["again.fact_events", "again.user_sessions_current"].map(|table| {
        let columns = "* EXCEPT (_version, _epoch, _row, _ingested_at, _lane)";
        let rows = clickhouse.query(&format!("SELECT {columns} FROM {table} FORMAT TSV"));
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        rows.join("\n")
    })
}

/// GIVEN the tables of a plugin that keeps state, THEN they are right by their rows' names, and a row of a table that keeps each
/// row is found where it is there twice; WHEN the plugin is replayed, THEN the middle is refused, and from the start it forgets, learns again, and
/// makes the same rows and the same state.
#[test]
fn a_plugin_that_remembers_is_counted_and_replayed_from_the_start() {
    let (clickhouse, folder) = (ClickHouse::start(), folder());
    let setup = setup(&clickhouse, "again", &recording(folder.path(), 400));
    run_to_end(&setup);
    let (right, remembered) = (content(&clickhouse), state(&setup));
    assert_eq!(clickhouse.query("SELECT count(), uniqExact(_epoch) > 5 FROM again.fact_events").trim(), "320\t1");
    assert!(remembered.lines().count() > 300, "{} entries", remembered.lines().count());
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));

    let (_, words) = setup.ask(&["verify", "sessions"], None);
    assert!(words.contains("counted by their names alone, not made again"), "{words}");

    clickhouse.query(
        "INSERT INTO again.dead_letters SETTINGS async_insert = 0, insert_deduplicate = 0 SELECT * FROM again.dead_letters",
    );
    let (code, found) = findings(&setup, &[]);
    let faults: Vec<_> = found.iter().map(|(table, fault, rows, _)| (table.as_str(), fault.as_str(), *rows)).collect();
    assert_eq!((code, faults), (Some(1), vec![("dead_letters", "twice", 1)]));

    let (code, words) = setup.ask(&["replay", "sessions", "--from", "100", "--delete-rows"], None);
    assert!(code == Some(2) && words.contains("remembers earlier messages"), "{words}");
    let (code, words) = setup.ask(&["replay", "sessions", "--from", "start", "--delete-rows"], None);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(state(&setup), "", "what was remembered is forgotten");
    run_to_end(&setup);
    assert_eq!(content(&clickhouse), right);
    assert_eq!(state(&setup), remembered);
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));
}

/// The lane's entries, in order.
fn state(setup: &Setup) -> String {
    let file = setup.data_dir().join("state.jsonl");
    let mut export = Command::new(program());
    export.args(["state", "export", "--data-dir"]).arg(setup.data_dir()).arg("--output");
    let output = export.arg(&file).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(file).expect("written");
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
