//! `_version` on a real ClickHouse: which of two changes of a key is the newer one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, program};
use harness::orders;
use harness::place;
use harness::wait::wait_for;
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);

/// One order's change: all of them are made in the same millisecond.
fn change(op: &str, quantity: i64) -> String {
    let (_, value) = orders::created(1);
    let value = value.replace("\"quantity\":2", &format!("\"quantity\":{quantity}"));
    let value = value.replace("\"op\":\"c\"", &format!("\"op\":\"{op}\""));
    if op == "d" { value.replacen("\"before\":null,\"after\":", "\"after\":null,\"before\":", 1) } else { value }
}

/// Changes by partition, as a recording.
fn record(file: &Path, partitions: &[&[(&str, i64)]]) {
    let mut lines = String::new();
    for (partition, changes) in partitions.iter().enumerate() {
        for (offset, (op, quantity)) in changes.iter().enumerate() {
            let message = json!({
                "topic": orders::TOPIC, "partition": partition, "offset": offset, "timestamp": 1_753_093_000_000_i64,
                "key": "{\"id\":1}", "value": change(op, *quantity),
            });
            lines += &(message.to_string() + "\n");
        }
    }
    fs::write(file, lines).expect("a recording");
}

/// GIVEN an order that was changed twice in a millisecond, deleted and inserted again, THEN its last change is what it is;
/// WHEN its key moves to a new partition, THEN its row there wins although its offset is smaller; WHEN it moves between old
/// partitions, THEN the engine asks for an operator, after whose command it wins again; and so does a snapshot made anew.
#[test]
fn the_newer_change_of_a_key_wins_wherever_it_is() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("versions"));
    let file = folder.path().join("recording.jsonl");
    let plugin = Plugin { name: "orders", settings: "topics = [\"^.*inventory.orders$\"]\n", artifact: Some("orders") };
    let setup = Setup::new(&clickhouse.http_url(), "versions")
        .with(&["--source", &file.to_string_lossy()])
        .with_plugins(&[plugin]);
    let run = |partitions: &[&[(&str, i64)]]| {
        record(&file, partitions);
        assert!(setup.start_with(&["--until-idle"]).wait(BOUND).success());
        clickhouse.query("SELECT quantity, _partition FROM versions.orders_current").trim().to_owned()
    };
    let first: &[_] = &[("c", 1), ("u", 2), ("u", 3)];
    assert_eq!(run(&[first]), "3\t0");
    let deleted: &[_] = &[first, &[("d", 3)]].concat();
    assert_eq!(run(&[deleted]), "");
    let back: &[_] = &[deleted, &[("c", 4)]].concat();
    assert_eq!(run(&[back]), "4\t0", "deleted and inserted again");

    let moved: &[_] = &[("u", 5)];
    assert_eq!(run(&[back, moved]), "5\t1", "at offset 0 of a new partition");
    assert_eq!(run(&[back, moved, &[]]), "5\t1");

    // A third partition: the key moves back to the first, which only an operator can know.
    let elsewhere: &[_] = &[("r", 9)];
    record(&file, &[back, moved, elsewhere]);
    let mut engine = setup.start();
    let warned = || -> Result<String, String> {
        let health: Value = serde_json::from_str(&engine.health()).map_err(|error| error.to_string())?;
        health["warnings"][0].as_str().map(str::to_owned).ok_or_else(|| health.to_string())
    };
    let warning = wait_for("the warning", BOUND, warned);
    let command = format!("engine recover --plugin orders --topic {} --from here", orders::TOPIC);
    assert!(warning.contains("raised from 2 to 3 partitions") && warning.contains(&command), "{warning}");
    let waits = engine.metrics().expect("metrics").sum("engine_partitions_raised", &[("plugin", "orders")]);
    assert!((waits - 1.0).abs() < 0.5);
    // As the warning says: the command comes once the lanes have read everything.
    engine.wait_for_count("engine_epochs_total", 1.0, BOUND);
    engine.terminate();
    let recovered = Command::new(program())
        .args(["recover", "--plugin", "orders", "--topic", orders::TOPIC, "--from", "here"])
        .arg("--data-dir")
        .arg(setup.data_dir())
        .status();
    assert!(recovered.expect("the program runs").success());
    let after: &[_] = &[back, &[("u", 6), ("r", 7)]].concat();
    assert_eq!(run(&[after, moved, elsewhere]), "7\t0", "and a snapshot made anew");
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(BOUND).success());
    let said = engine.output();
    assert_eq!(said.matches("keys have moved between old").count(), 1, "once, before the command:\n{said}");
}
