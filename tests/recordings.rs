//! Every recorded topic goes through the engine: each message is a row, a recognised no-op, or a dead letter with a
//! reason.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::kafka::Kafka;
use harness::orders;
use harness::place;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);

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
    let status = engine.wait(BOUND);
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
    line_with(offset, "value", value)
}

fn line_with(offset: usize, field: &str, value: &str) -> String {
    let topic = "postgres-plain.inventory.orders";
    let message = json!({
        "topic": topic, "partition": 0, "offset": offset, "timestamp": 1_753_093_000_000_i64,
        "headers": [], "key": "{\"id\":1}", field: value,
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

const MB_100: usize = 100_000_000;
/// What the engine may need for messages of 100 MB: one that is read (as a line, unescaped, and as a message), one that is
/// made and one that is inserted.
const MOST_MEMORY: usize = 8 * MB_100;

/// What becomes of a message that means harm, and how it is made of a good one.
type Harm = (&'static str, fn(&str) -> Vec<u8>);

/// What means harm.
const HARM: [Harm; 12] = [
    ("invalid_json", |good| good[..good.len() / 3].into()),
    ("invalid_json", |good| format!("{good}x").into()),
    ("invalid_json", |good| good.repeat(2).into()),
    ("duplicate_key", |good| with(good, "\"id\":1")),
    ("out_of_range", |good| numbered(good, &"9".repeat(10_000))),
    ("out_of_range", |good| numbered(good, &format!("0.{}", "9".repeat(10_000)))),
    ("invalid_json", |good| with(good, &format!("\"deep\":{}", "[".repeat(1_000_000)))),
    ("invalid_json", |_| vec![b'['; MB_100]),
    ("invalid_json", |good| with(good, &format!("\"endless\":\"{}", "x".repeat(MB_100)))),
    ("out_of_range", |good| numbered(good, &"9".repeat(MB_100))),
    ("invalid_utf8", |good| {
        with(good, "\"other\":\"?\"").iter().map(|it| if *it == b'?' { 0xff } else { *it }).collect()
    }),
    ("no_registry", |_| vec![0, 0, 0, 0, 1, 2]),
];

/// An order with one more member in its row.
fn with(good: &str, member: &str) -> Vec<u8> {
    good.replacen("\"after\":{", &format!("\"after\":{{{member},"), 1).into()
}

/// An order of so many pieces.
fn numbered(good: &str, pieces: &str) -> Vec<u8> {
    good.replacen("\"quantity\":2", &format!("\"quantity\":{pieces}"), 1).into()
}

/// A good order, each harm, a good order behind each. One at a time: together they are half a gigabyte.
fn harm_between_orders(mut take: impl FnMut(usize, &[u8])) {
    let (_, good) = orders::created(1);
    take(0, good.as_bytes());
    for (at, (_, harm)) in HARM.iter().enumerate() {
        take(2 * at + 1, &harm(&good));
        take(2 * at + 2, good.as_bytes());
    }
}

/// GIVEN between good orders what means harm, among it messages of 100 MB, WHEN it comes through the engine, from a file and
/// from a broker, THEN each is a dead letter by its code, of which the table has a mebibyte at most, the good ones are rows,
/// and the engine goes on, in bounded memory.
#[test]
fn what_means_harm_is_a_dead_letter_and_its_neighbours_arrive() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("harm"));
    let file = folder.path().join("orders.jsonl");
    let mut recording = BufWriter::new(File::create(&file).expect("a recording"));
    harm_between_orders(|offset, value| {
        let line = match str::from_utf8(value) {
            Ok(text) => line(offset, text),
            Err(_) => line_with(offset, "value_b64", &STANDARD.encode(value)),
        };
        writeln!(recording, "{line}").expect("a line");
    });
    drop(recording);
    bears_harm(&clickhouse, "harm_in_a_file", &["--source", &file.to_string_lossy()]);
    fs::remove_file(&file).expect("the recording");

    let kafka = Kafka::start();
    let (topic, most) = ("postgres-plain.inventory.orders", (MB_100 + 1_000_000).to_string());
    kafka.create_topic_with(topic, 1, &[("max.message.bytes", &most)]);
    let producer: BaseProducer = kafka.client().set("message.max.bytes", &most).create().expect("producer");
    harm_between_orders(|_, value| {
        producer.send(BaseRecord::to(topic).key("{\"id\":1}").payload(value)).expect("room for it");
        producer.flush(BOUND).expect("the broker takes it");
    });
    bears_harm(&clickhouse, "harm_from_kafka", &["--kafka", &kafka.address()]);
}

fn bears_harm(clickhouse: &ClickHouse, database: &str, source: &[&str]) {
    let setup = Setup::new(&clickhouse.http_url(), database).with(source);
    let setup = setup.with_plugins(&[Plugin { settings: "topics = [\"^.*orders$\"]\n", ..PLUGINS[1] }]);
    let (mut engine, began) = (setup.start(), Instant::now());
    engine.wait_for_count("engine_messages_total", (2 * HARM.len() + 1) as f64, BOUND);
    let memory = engine.most_memory();
    println!("{database}: {} ms, at most {} MB of memory", began.elapsed().as_millis(), memory / 1_000_000);
    assert!(memory < MOST_MEMORY, "{memory} bytes of memory");
    engine.terminate();

    let letters = clickhouse.query(&format!(
        "SELECT code, length(value), cut_sha256 = '', reason FROM {database}.dead_letters ORDER BY offset FORMAT TSV"
    ));
    println!("{letters}");
    let codes: Vec<_> = letters.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    assert_eq!(codes, HARM.map(|(code, _)| code));
    let kept = format!(
        "SELECT countIf(length(value) > 1048576), countIf(cut_sha256 != '' AND message_bytes >= {MB_100}) FROM {database}.dead_letters"
    );
    assert_eq!(clickhouse.query(&kept).trim(), "0\t3");
    let arrived = number(clickhouse, &format!("SELECT count() FROM {database}.orders_final"));
    assert_eq!(arrived, HARM.len() as u64 + 1);
}
