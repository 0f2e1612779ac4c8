//! Plugins that fail, between a real broker and a real ClickHouse: on everything for a while, and on a few rows of many.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, Plugin, Setup, program};
use harness::kafka::Kafka;
use harness::place;
use harness::simulation::{late_plugin, passing_plugin, poisoned_plugin};
use harness::wait::wait_for;
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);
/// How long the plugins fail on everything.
const WHILE: Duration = Duration::from_secs(15);
/// Messages while they do.
const MESSAGES: i64 = 500;

fn value(n: i64) -> String {
    format!("{{\"before\":null,\"after\":{{\"n\":{n}}},\"op\":\"c\"}}")
}

/// A folder that comes while the engine runs: the artifact first, so that it is whole when it is seen.
fn deploy(setup: &Setup, name: &str, wasm: &[u8], settings: &str) {
    let folder = setup.plugins.join(name);
    fs::create_dir_all(&folder).expect("folder of a plugin");
    fs::write(folder.join("plugin.wasm"), wasm).expect("plugin.wasm");
    let toml = format!("topics = [\"t\"]\n[tables]\npassed = \"{name}\"\n{settings}");
    fs::write(folder.join("plugin.toml"), toml).expect("plugin.toml");
}

/// The breaker of a plugin's only lane, as `/health` shows it.
fn breaker(engine: &Engine, plugin: &str) -> Value {
    let health: Value = serde_json::from_str(&engine.health()).unwrap_or_default();
    let lanes = health["lanes"].as_array().cloned().unwrap_or_default();
    let named = |lane: &Value| lane["lane"].as_str().is_some_and(|name| name.contains(plugin));
    lanes.into_iter().find(named).map(|lane| json!([lane["state"], lane["breaker"]])).unwrap_or_default()
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool, String>) {
    wait_for(what, BOUND, || match holds() {
        Ok(true) => Ok(()),
        Ok(false) => Err("not yet".to_owned()),
        Err(words) => Err(words),
    });
}

/// Exit code and words of another command of the program.
fn command(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program()).args(arguments).env_remove("ENGINE_CONTROL_TOKEN").output();
    let output = output.expect("the program runs");
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("{arguments:?}: {}\n{words}", output.status);
    (output.status.code(), words)
}

fn count(clickhouse: &ClickHouse, sql: &str) -> String {
    clickhouse.try_query(sql).unwrap_or_default().trim().to_owned()
}

/// GIVEN three plugins on one topic, of which two fail on everything for a while, WHEN one waits and one parks its messages, THEN
/// the third has all its rows at once, each of the others comes back by itself, and the letters, replayed, are rows once.
#[test]
fn plugins_that_fail_for_a_while_come_back_by_themselves() {
    let (kafka, clickhouse) = (Kafka::start(), ClickHouse::start());
    kafka.create_topic("t", 1);
    let produce = |from: i64, to: i64| {
        let producer = kafka.producer();
        (from..to).for_each(|n| producer.send("t", 0, "{}", Some(&value(n))));
        producer.flush();
    };
    let steady =
        Plugin { name: "steady", settings: "topics = [\"t\"]\n[tables]\npassed = \"steady\"\n", artifact: None };
    let setup =
        Setup::new(&clickhouse.http_url(), "broken").with(&["--kafka", &kafka.address()]).with_plugins(&[steady]);
    fs::write(setup.plugins.join("steady/plugin.wasm"), passing_plugin()).expect("plugin.wasm");
    let mut engine = setup.start();
    engine.wait_until_up();

    let works = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + WHILE;
    let late = late_plugin(i64::try_from(works.as_millis()).expect("a time"));
    deploy(&setup, "waits", &late, "[failure]\n");
    deploy(&setup, "parks", &late, "[failure]\npolicy = \"park\"\n");
    produce(0, MESSAGES);
    until("the breakers to open", || {
        let seen = ["waits", "parks"].map(|plugin| breaker(&engine, plugin));
        let open = [("failing", "pause"), ("running", "park")];
        let is = |(seen, (state, policy)): (&Value, (&str, &str))| seen[0] == state && seen[1]["policy"] == policy;
        if seen.iter().zip(open).all(is) { Ok(true) } else { Err(format!("{seen:?}")) }
    });
    // On a slow machine the plugins may work by the time that somebody looks: what is seen is right, or they do.
    let works = |plugin: &str| breaker(&engine, plugin)[1].is_null();
    let (_, words) = command(&["status", "--engine", engine.url()]);
    assert!(words.contains("t/0 is paused: the plugin has failed for") || works("waits"), "{words}");
    assert!(words.contains("t/0 parks its messages: the plugin has failed for") || works("parks"), "{words}");
    let metrics = engine.metrics().expect("metrics");
    for (policy, plugin) in [("pause", "waits"), ("park", "parks")] {
        let breakers = metrics.sum("engine_breakers", &[("policy", policy), ("tenant", "default")]);
        assert!(breakers >= 1.0 || works(plugin), "{policy}: {breakers}");
    }
    until("the neighbour's rows, and the rows or letters", || {
        let rows = count(&clickhouse, "SELECT count(), uniqExact(n) FROM broken.steady");
        let parked = "SELECT count() > 0, count() = uniqExact(offset), groupUniqArray((plugin, stage, code)), \
             count() + (SELECT count() FROM broken.parks) FROM broken.dead_letters";
        let parked = count(&clickhouse, parked);
        let all = rows == format!("{MESSAGES}\t{MESSAGES}")
            && parked == format!("1\t1\t[('parks','parked','parked')]\t{MESSAGES}");
        if all { Ok(true) } else { Err(format!("{rows}; {parked}")) }
    });
    let rows = count(&clickhouse, "SELECT count() FROM broken.waits");
    assert!(rows == "0" || breaker(&engine, "waits")[0] != "failing", "its messages wait: {rows}");

    until("the lane that waited to come back", || {
        let rows = count(&clickhouse, "SELECT count(), uniqExact(n) FROM broken.waits");
        if rows == format!("{MESSAGES}\t{MESSAGES}") { Ok(true) } else { Err(rows + &engine.health()) }
    });
    // A probe needs something to be made of: messages go on to come.
    let mut next = MESSAGES;
    until("the lane that parked to come back", || {
        produce(next, next + 10);
        next += 10;
        let rows = count(&clickhouse, "SELECT count() FROM broken.parks");
        Ok(rows != "0" && breaker(&engine, "parks")[1].is_null())
    });
    until("each message to be a row, or a letter", || {
        let rows = ["steady", "waits"].map(|table| count(&clickhouse, &format!("SELECT count() FROM broken.{table}")));
        let parked = "SELECT (SELECT count() FROM broken.parks) + (SELECT count() FROM broken.dead_letters)";
        let all = [rows[0].clone(), rows[1].clone(), count(&clickhouse, parked)];
        if all.iter().all(|rows| *rows == next.to_string()) { Ok(true) } else { Err(format!("{all:?}")) }
    });
    engine.terminate();
    let (code, words) = setup.ask(&["verify"], None);
    assert_eq!(code, Some(0), "what was parked is as it should be: {words}");
    let (plugins, data) = (setup.plugins.to_string_lossy(), setup.data_dir());
    let data = data.to_string_lossy();
    let replay = ["dlq", "replay", "--plugin", "parks", "--code", "parked", "--plugins", &plugins, "--data-dir", &data];
    let replay = [&replay[..], &["--clickhouse", &setup.clickhouse, "--database", &setup.database]].concat();
    let (code, words) = command(&replay);
    assert!(code == Some(0) && words.contains("0 failed again") && !words.starts_with("0 replayed"), "{words}");
    let (_, words) = command(&replay);
    assert!(words.starts_with("0 replayed"), "{words}");
    for table in ["steady", "waits", "parks"] {
        let rows = clickhouse.query(&format!("SELECT count(), uniqExact(n), uniqExact(_offset) FROM broken.{table}"));
        assert_eq!(rows.trim(), format!("{next}\t{next}\t{next}"), "{table}");
    }
    let (code, words) = setup.ask(&["verify"], None);
    assert_eq!(code, Some(0), "and what was replayed since: {words}");
}

/// GIVEN 100,000 messages and a plugin that traps on three of them, THEN exactly these are dead letters, and the others rows.
#[test]
fn three_of_a_hundred_thousand() {
    const ROWS: i64 = 100_000;
    const POISON: [i64; 3] = [4_711, 50_000, 99_999];
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("poison"));
    let file = recording(folder.path(), ROWS);
    let plugin = Plugin { name: "poisoned", settings: "topics = [\"t\"]\n", artifact: None };
    let setup = Setup::new(&clickhouse.http_url(), "poison").with(&["--source", &file]).with_plugins(&[plugin]);
    fs::write(setup.plugins.join("poisoned/plugin.wasm"), poisoned_plugin(&POISON)).expect("plugin.wasm");
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(BOUND).success());
    let letters =
        "SELECT groupArray(offset), groupUniqArray(code) FROM (SELECT * FROM poison.dead_letters ORDER BY offset)";
    assert_eq!(clickhouse.query(letters).trim(), "[4711,50000,99999]\t['trap']");
    let rows = "SELECT count(), uniqExact(n), countIf(n IN (4711, 50000, 99999)), min(n), max(n) FROM poison.passed";
    assert_eq!(clickhouse.query(rows).trim(), "99997\t99997\t0\t0\t99998");
}

fn recording(folder: &Path, rows: i64) -> String {
    let line = |offset: i64| {
        json!({ "topic": "t", "partition": 0, "offset": offset, "timestamp": 0, "key": "{}", "value": value(offset) })
            .to_string()
            + "\n"
    };
    let file = folder.join("recording.jsonl");
    fs::write(&file, (0..rows).map(line).collect::<String>()).expect("a recording");
    file.to_string_lossy().into_owned()
}
