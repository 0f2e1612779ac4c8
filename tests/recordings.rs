//! Every recorded topic goes through the engine: each message is a row, a recognised no-op, or a dead letter with a
//! reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::orders;
use harness::place;
use serde_json::{Value, json};

/// The repository's plugins read every recorded topic of their kind; bronze takes all topics, so each message counts at
/// least once.
const PLUGINS: [Plugin<'static>; 3] = [
    Plugin { name: "bronze", settings: "topics = [\"^.*\"]\nbronze = \"bronze\"\n", artifact: None },
    Plugin { name: "orders", settings: "topics = [\"^.*\\\\.inventory\\\\.orders$\"]\n", artifact: Some("orders") },
    Plugin { name: "users", settings: "topics = [\"postgres.public.users\"]\n", artifact: Some("users") },
];

/// The recordings, by name.
fn recordings() -> Vec<PathBuf> {
    let folder = place::repository().join("schemas/debezium");
    let files = fs::read_dir(&folder).expect("recordings").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    files.sort();
    files
}

fn number(clickhouse: &ClickHouse, query: &str) -> u64 {
    let text = clickhouse.query(query);
    text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text}"))
}

/// Sum of the numbers in an object such as `{"tombstone": 3, "heartbeat": 1}`.
fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("an object").values().map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn every_recorded_message_is_a_row_a_no_op_or_a_dead_letter() {
    let clickhouse = ClickHouse::start();
    let files = recordings();
    assert!(files.len() >= 5, "only {files:?}");
    for (index, file) in files.iter().enumerate() {
        goes_through(&clickhouse, file, &format!("recording_{index}"));
    }
}

fn goes_through(clickhouse: &ClickHouse, file: &Path, database: &str) {
    let name = file.file_name().expect("a file").to_string_lossy();
    let messages = fs::read_to_string(file).expect("recording").lines().count() as u64;
    let setup = Setup::new(&clickhouse.http_url(), database)
        .with(&["--source", &file.to_string_lossy()])
        .with_plugins(&PLUGINS);
    let mut engine = setup.start_with(&["--until-idle"]);
    let status = engine.wait(Duration::from_secs(120));
    assert!(status.success(), "{name}: {status}");

    let totals = engine.totals();
    let count = |key: &str| totals[key].as_u64().unwrap_or_else(|| panic!("{key} in {totals}"));
    let dead_letters = sum(&totals["dead_letters"]);
    println!("{name}: {messages} messages: {totals}");
    // Bronze takes every message; what is left of the sums are the plugins'.
    assert_eq!(number(clickhouse, &format!("SELECT count() FROM {database}.bronze")), messages, "{name}: bronze");
    let undecoded = number(clickhouse, &format!("SELECT count() FROM {database}.dead_letters WHERE stage = 'decode'"));
    assert_eq!(count("rows_in") + sum(&totals["no_ops"]) + undecoded, count("messages"), "{name}");
    assert_eq!(number(clickhouse, &format!("SELECT count() FROM {database}.dead_letters")), dead_letters, "{name}");
    let silent = format!("SELECT count() FROM {database}.dead_letters WHERE empty(code) OR empty(reason)");
    assert_eq!(number(clickhouse, &silent), 0, "{name}: dead letters without a reason");
}

/// A message of the orders' topic with this value, as a line of a recording.
fn line(offset: usize, value: &str) -> String {
    let topic = "postgres-plain.inventory.orders";
    let message = json!({
        "topic": topic, "partition": 0, "offset": offset, "timestamp": 1_753_093_000_000_i64,
        "headers": [], "key": "{\"id\":1}", "value": value,
    });
    message.to_string()
}

#[test]
fn damaged_messages_become_dead_letters_with_their_bytes_and_the_others_arrive() {
    // GIVEN a good order, and orders that are cut off, of an unknown kind, without a key column, and for no pieces
    let (_, good) = orders::created(1);
    let damaged = [
        good[..good.len() / 2].to_owned(),
        good.replace("\"op\":\"c\"", "\"op\":\"x\""),
        good.replace("\"id\":1,", ""),
        good.replace("\"quantity\":2", "\"quantity\":0"),
    ];
    assert!(damaged.iter().all(|value| *value != good));
    let values = [&good, &damaged[0], &damaged[1], &good, &damaged[2], &damaged[3]];
    let lines: Vec<_> = values.iter().enumerate().map(|(offset, value)| line(offset, value)).collect();
    let folder = place::folder("damaged");
    let file = folder.path().join("orders.jsonl");
    fs::write(&file, lines.join("\n") + "\n").expect("a recording");

    // WHEN they go through the engine
    let clickhouse = ClickHouse::start();
    goes_through(&clickhouse, &file, "damaged");

    // THEN each damaged one is a dead letter, to the byte, and the good ones are rows
    let letters = clickhouse
        .query("SELECT offset, value, stage FROM damaged.dead_letters ORDER BY offset FORMAT JSONCompactEachRow");
    let found: Vec<(u64, String, String)> = letters
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let expected = [(1, 0, "decode"), (2, 1, "decode"), (4, 2, "decode"), (5, 3, "transform")];
    let expected =
        expected.map(|(offset, index, stage): (u64, usize, &str)| (offset, damaged[index].clone(), stage.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(number(&clickhouse, "SELECT count() FROM damaged.orders_final"), 2);
}
