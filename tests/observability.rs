//! What the engine tells of itself: metrics, health, and mistakes in its settings.

use std::fs;
use std::process::Command;
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, Plugin, ROWS_IN, Setup, program};
use harness::place;
use harness::wait::wait_for;
use serde_json::Value;

const PLUGINS: [Plugin<'static>; 2] = [
    Plugin { name: "bronze", settings: "topics = [\"^.*orders$\"]\nbronze = \"bronze\"\n", artifact: None },
    Plugin { name: "orders", settings: "topics = [\"^.*orders$\"]\n", artifact: Some("orders") },
];
const BOUND: Duration = Duration::from_secs(60);

fn setup(clickhouse: &str) -> Setup {
    let recording = place::repository().join("schemas/debezium/orders-envelope-plain.jsonl");
    Setup::new(clickhouse, "seen").with(&["--source", &recording.to_string_lossy()]).with_plugins(&PLUGINS)
}

fn health(engine: &Engine) -> Value {
    serde_json::from_str(&engine.health()).unwrap_or(Value::Null)
}

/// GIVEN a topic that a plugin and a bronze table read, WHEN all of it is committed, THEN the metrics of each add up to
/// its messages, and its lanes are healthy.
#[test]
fn metrics_add_up_to_the_messages_of_each_plugin() {
    let clickhouse = ClickHouse::start();
    let setup = setup(&clickhouse.http_url());
    let mut engine = setup.start();
    engine.wait_for_count("engine_epochs_total", 2.0, BOUND);
    let metrics = engine.metrics().expect("metrics");
    let of = |name: &str, plugin: &str| metrics.sum(name, &[("plugin", plugin), ("tenant", "default")]);

    let messages = of("engine_messages_total", "bronze");
    assert!(messages > 0.0 && same(messages, of("engine_messages_total", "orders")));
    assert!(same(of(ROWS_IN, "bronze"), messages), "bronze takes every message");
    let no_ops = metrics.sum("engine_no_ops_total", &[("plugin", "orders"), ("kind", "tombstone")]);
    assert!(no_ops > 0.0, "the recording has tombstones");
    let undecoded = metrics.sum("engine_dead_letters_total", &[("plugin", "orders"), ("stage", "decode")]);
    assert!(same(of(ROWS_IN, "orders") + no_ops + undecoded, messages));
    assert!(same(of("engine_rows_out_total", "orders"), 2.0 * of(ROWS_IN, "orders")), "two tables");
    assert!(of("engine_insert_time_seconds_count", "orders") >= 2.0);
    for name in ["engine_lag", "engine_stage_cpu_seconds_total", "engine_inserts_total", "engine_input_bytes_total"] {
        assert!(metrics.has(name), "{name}");
    }

    let health = health(&engine);
    assert_eq!(health["status"], "ok", "{health}");
    let lanes = health["lanes"].as_array().expect("lanes");
    assert_eq!(lanes.len(), 2);
    assert!(lanes.iter().all(|lane| lane["committed"] == lane["end"] && lane["error"].is_null()), "{health}");
    engine.terminate();
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.5
}

/// GIVEN a server that is not there, WHEN the engine runs, THEN health says that it waits; WHEN it is told to stop, THEN it
/// ends in good order all the same.
#[test]
fn a_server_that_is_not_there_is_seen_in_health() {
    let nowhere = format!("http://127.0.0.1:{}", place::free_port());
    let setup = setup(&nowhere);
    let mut engine = setup.start();
    engine.wait_until_up();
    wait_for("health to say that it waits", BOUND, || {
        let health = health(&engine);
        let waits = health["inserts_waiting_for_clickhouse"].as_u64().unwrap_or(0) > 0;
        if waits && health["status"] == "degraded" { Ok(()) } else { Err(health.to_string()) }
    });
    engine.terminate();
}

/// GIVEN mistakes in the settings and in two plugins, WHEN the engine is started or asked to check, THEN it says all of
/// them with their places, and exits with 2.
#[test]
fn mistakes_are_told_all_at_once() {
    let folder = place::folder("mistakes");
    for (name, text) in [("a", "topic = 'x'\n"), ("b", "topics = ['x']\ntombstone = 'maybe'\n")] {
        let plugin = folder.path().join("plugins").join(name);
        fs::create_dir_all(&plugin).expect("folder of a plugin");
        fs::write(plugin.join("plugin.toml"), text).expect("plugin.toml");
    }
    for command in ["run", "check"] {
        let said = Command::new(program())
            .args([command, "--kafka", "127.0.0.1:1", "--plugins", "plugins"])
            .current_dir(folder.path())
            .output()
            .expect("the program runs");
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{command}: {words}");
        for expected in [
            "plugins/a/plugin.toml: topics: not given",
            "plugins/a/plugin.toml:1:1: topic: there is no such key\n  hint: did you mean topics?",
            "plugins/b/plugin.toml:2:1: tombstone: not one of ignore, delete",
        ] {
            assert!(words.contains(expected), "{command}: {expected:?} is not in {words}");
        }
    }
}
