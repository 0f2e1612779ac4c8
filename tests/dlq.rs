//! Dead letters on a real ClickHouse: listed, shown, exported, replayed; twice, beside a running engine, after a crash, and
//! against newer rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, program};
use harness::orders;
use harness::place;
use harness::simulation::{passing_plugin, trapping_plugin};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);
const TOPIC: &str = "postgres-server.inventory.orders";
const PRECISE: &str = "topics = [\"^.*inventory.orders$\"]\n";
/// What a plugin is mended with: prices of these orders are text.
const TEXT: &str = "topics = [\"^.*inventory.orders$\"]\ndecimals = \"string\"\n";

/// Values of messages, by offset, as a recording.
fn recording(folder: &Path, topic: &str, values: &[String]) -> PathBuf {
    let line = |(offset, value): (usize, &String)| {
        let message = json!({
            "topic": topic, "partition": 0, "offset": offset, "timestamp": 1_753_093_000_000_i64,
            "headers": [{"key": "trace", "value_b64": "AP8="}], "key": format!("{{\"offset\":{offset}}}"), "value": value,
        });
        message.to_string() + "\n"
    };
    let file = folder.join("recording.jsonl");
    fs::write(&file, values.iter().enumerate().map(line).collect::<String>()).expect("a recording");
    file
}

fn setup(clickhouse: &ClickHouse, database: &str, file: &Path) -> Setup {
    let plugin = Plugin { name: "orders", settings: PRECISE, artifact: Some("orders") };
    Setup::new(&clickhouse.http_url(), database).with(&["--source", &file.to_string_lossy()]).with_plugins(&[plugin])
}

fn mend(setup: &Setup, settings: &str) {
    fs::write(setup.plugins.join("orders/plugin.toml"), settings).expect("plugin.toml");
}

fn dlq(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(program())
        .arg("dlq")
        .args(arguments)
        .args(["--plugins", &setup.plugins.to_string_lossy()])
        .args(["--clickhouse", &setup.clickhouse, "--database", &setup.database])
        .args(["--data-dir", &setup.data_dir().to_string_lossy()])
        .output()
        .expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(stdout), text(stderr));
    println!("dlq {arguments:?}: {status}\n{}{stderr}", stdout.chars().take(2000).collect::<String>());
    (status.code(), stdout, stderr)
}

fn replay(setup: &Setup) -> String {
    let (_, stdout, stderr) = dlq(setup, &["replay", "--plugin", "orders"]);
    assert_eq!(stderr, "");
    stdout.trim().to_owned()
}

fn list(setup: &Setup) -> Vec<Value> {
    let (code, stdout, _) = dlq(setup, &["list", "--json"]);
    assert_eq!(code, Some(0));
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn run_to_end(setup: &Setup) {
    assert!(setup.start_with(&["--until-idle"]).wait(BOUND).success());
}

/// An order of a month of 2025, its price as base64 of a decimal, or as text.
fn order(id: i64, quantity: i64, month: i64, text: bool) -> String {
    let (_, value) = orders::created(id);
    let (before, rest) = value.split_once("\"order_date\":").expect("a date");
    let (_, rest) = rest.split_once(',').expect("more");
    let days = 20_089 + (month - 1) * 31; // 2025-01-01, and so many months on
    let value = format!("{before}\"order_date\":{days},{rest}");
    let value = value.replace(&format!("\"quantity\":{}", orders::quantity(id)), &format!("\"quantity\":{quantity}"));
    let (before, rest) = value.split_once("\"unit_price\":\"").expect("a price");
    let (price, rest) = rest.split_once('"').expect("its end");
    let price = if text { "12.50" } else { price };
    let (before_total, rest) = format!("{before}\"unit_price\":\"{price}\"{rest}")
        .split_once("\"total_amount\":\"")
        .map(|(before, rest)| (before.to_owned(), rest.to_owned()))
        .expect("an amount");
    let (_, rest) = rest.split_once('"').expect("its end");
    format!("{before_total}\"total_amount\":null{rest}")
}

const STATE: &str = "SELECT id, quantity, _offset FROM {}.orders_current ORDER BY id FORMAT TSV";
const HISTORY: &str = "SELECT id, quantity, _offset, bitShiftRight(_version, 48), bitAnd(_version, 0xffff) FROM {}.orders_final ORDER BY _offset FORMAT TSV";

/// GIVEN an order whose second change of three is a dead letter, another that is only a dead letter, and one that no plugin
/// takes, WHEN they are listed, shown, exported, and replayed while the engine runs: by the plugin that rejected them, by the
/// mended one, and again, THEN each is there once, and the newer change of the order stays.
#[test]
fn letters_are_listed_shown_exported_and_replayed() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("dlq"));
    let values = [
        order(1, 2, 1, false),
        order(1, 3, 1, true),
        order(1, 5, 1, false),
        order(2, 4, 3, true),
        order(3, 0, 1, false),
    ];
    let file = recording(folder.path(), TOPIC, &values);
    let setup = setup(&clickhouse, "dlq", &file);
    assert_eq!(list(&setup), Vec::<Value>::new(), "before the first start there is no table");
    let mut engine = setup.start();
    engine.wait_for_count("engine_epochs_total", 1.0, BOUND);
    let rows = |query: &str| clickhouse.query(&query.replace("{}", "dlq"));
    let state = rows(STATE);
    assert_eq!((state.as_str(), rows(HISTORY).lines().count()), ("1\t5\t2\n", 2));

    let kinds = list(&setup);
    let counted: Vec<_> = kinds.iter().map(|kind| (kind["stage"].as_str(), kind["letters"].as_u64())).collect();
    assert_eq!(counted, [(Some("decode"), Some(2)), (Some("transform"), Some(1))]);
    assert_eq!(kinds[0]["column"], "unit_price");
    assert_eq!(kinds[1]["code"], "bad_quantity");
    let (_, text, _) = dlq(&setup, &["list", "--code", "bad_quantity", "--since", "1h"]);
    assert!(text.contains("orders transform bad_quantity") && text.contains("1 open letter"), "{text}");
    let (code, text, _) = dlq(&setup, &["show", TOPIC, "0", "1"]);
    assert_eq!(code, Some(0));
    for part in
        ["offset 1 (generation 1)", "column unit_price", "header     trace: 0x00ff", "state      open", &values[1]]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(dlq(&setup, &["show", TOPIC, "0", "2"]).0, Some(2), "no letter");

    let exported = folder.path().join("exported.jsonl");
    dlq(&setup, &["export", "--output", &exported.to_string_lossy()]);
    let (before, after) = (fs::read_to_string(&file), fs::read_to_string(&exported));
    let sorted =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect() };
    let (before, after) = (sorted(&before.expect("recording")), sorted(&after.expect("exported")));
    assert_eq!(after, [before[1].clone(), before[3].clone(), before[4].clone()], "to the byte");

    assert_eq!(replay(&setup), "0 replayed (0 rows), 3 failed again");
    assert_eq!((rows(STATE), rows(HISTORY).lines().count()), (state, 2));
    mend(&setup, TEXT);
    assert_eq!(replay(&setup), "2 replayed (4 rows), 1 failed again");
    let twice = "1\t5\t2\n2\t4\t3\n";
    let history = "1\t2\t0\t1\t0\n1\t3\t1\t1\t1\n1\t5\t2\t1\t2\n2\t4\t3\t1\t3\n";
    assert_eq!((rows(STATE).as_str(), rows(HISTORY).as_str()), (twice, history));
    assert_eq!(replay(&setup), "0 replayed (0 rows), 1 failed again");
    assert_eq!((rows(STATE).as_str(), rows(HISTORY).as_str()), (twice, history));

    let kinds = list(&setup);
    assert_eq!(
        (kinds.len(), &kinds[0]["code"], &kinds[0]["failed_again"]),
        (1, &json!("invalid_value"), &json!(1)),
        "the new reason"
    );
    let (_, text, _) = dlq(&setup, &["show", TOPIC, "0", "1"]);
    assert!(text.contains("state      replayed") && text.contains("UTC  failed by"), "{text}");
    engine.terminate();
}

/// GIVEN a replay that was interrupted when some of its rows were in the tables, or all, or none of the tokens were
/// remembered, WHEN the plugin is another one by then, THEN the next replay ends it by the plugin that began it, and each row
/// is there once.
#[test]
fn a_replay_that_was_interrupted_is_ended_as_it_was_begun() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("dlq"));
    let values = [order(1, 3, 1, true), order(2, 4, 3, true)];
    let setup = setup(&clickhouse, "broken_off", &recording(folder.path(), TOPIC, &values));
    run_to_end(&setup);
    mend(&setup, TEXT);
    assert_eq!(replay(&setup), "2 replayed (4 rows), 0 failed again");
    let rows = |query: &str| clickhouse.query(&query.replace("{}", "broken_off"));
    let whole = (rows(STATE), rows(HISTORY));
    assert_eq!(whole.1.lines().count(), 2);

    // The end of a replay that was never written is not known to the table either.
    clickhouse
        .query("ALTER TABLE broken_off.dead_letters_replays MODIFY SETTING non_replicated_deduplication_window = 0");
    let interrupt = || {
        let marks = "DELETE FROM broken_off.dead_letters_replays WHERE state = 'replayed'";
        clickhouse.query(&format!("{marks} SETTINGS mutations_sync = 2, lightweight_deletes_sync = 2"));
    };
    mend(&setup, PRECISE);
    let again = "2 replayed (4 rows), 0 failed again; 2 of these ended a replay that was interrupted";
    // All rows there; then without any token that would keep them from doubling; then one table and a part of another gone.
    let none: &[&str] = &[];
    let forget: &[&str] =
        &["ALTER TABLE broken_off.orders_final MODIFY SETTING non_replicated_deduplication_window = 0"];
    let lose: &[&str] =
        &["ALTER TABLE broken_off.orders_final DROP PARTITION 202503", "TRUNCATE TABLE broken_off.orders"];
    for statements in [none, forget, lose] {
        interrupt();
        assert_eq!(list(&setup)[0]["interrupted"], 2);
        statements.iter().for_each(|statement| drop(clickhouse.query(statement)));
        assert_eq!(replay(&setup), again, "{statements:?}");
        assert_eq!((rows(STATE), rows(HISTORY)), whole, "{statements:?}");
    }
    assert_eq!(list(&setup), Vec::<Value>::new());

    // Elsewhere nobody knows the plugin that began it.
    interrupt();
    fs::remove_dir_all(setup.data_dir().join("artifacts")).expect("artifacts");
    let (code, _, words) = dlq(&setup, &["replay", "--plugin", "orders"]);
    assert_eq!(code, Some(1));
    assert!(
        words.contains("a replay of 2 letters was interrupted and has to be ended by the plugin that began it"),
        "{words}"
    );
}

/// GIVEN a plugin that trapped on every row, and a mended one in its place, WHEN the letters are replayed, THEN the mended
/// one makes their rows.
#[test]
fn a_mended_plugin_takes_the_letters_of_the_broken_one() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("dlq"));
    let values: Vec<_> = (0..50).map(|n| format!("{{\"before\":null,\"after\":{{\"n\":{n}}},\"op\":\"c\"}}")).collect();
    let file = recording(folder.path(), "t", &values);
    let plugin = Plugin { name: "passing", settings: "topics = [\"t\"]\n", artifact: None };
    let setup = Setup::new(&clickhouse.http_url(), "mended")
        .with(&["--source", &file.to_string_lossy()])
        .with_plugins(&[plugin]);
    let artifact = setup.plugins.join("passing/plugin.wasm");
    fs::write(&artifact, trapping_plugin()).expect("plugin.wasm");
    run_to_end(&setup);
    assert_eq!(list(&setup)[0]["letters"], 50);
    fs::write(&artifact, passing_plugin()).expect("plugin.wasm");
    for expected in ["50 replayed (50 rows), 0 failed again", "0 replayed (0 rows), 0 failed again"] {
        let (code, said, _) = dlq(&setup, &["replay", "--plugin", "passing"]);
        assert_eq!((code, said.trim()), (Some(0), expected));
        assert_eq!(clickhouse.query("SELECT count(), uniqExact(n) FROM mended.passed").trim(), "50\t50");
    }
}

/// GIVEN a topic in which no message is good, and one that is too long to keep, THEN each is a letter, in as many inserts as
/// good rows would take, the long one cut; WHEN they are replayed, THEN all rows but its are there.
#[test]
fn a_flood_of_letters() {
    const MESSAGES: usize = 12_000;
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("dlq"));
    let mut values: Vec<_> = (1..MESSAGES as i64).map(|id| order(id, 1, 1, true)).collect();
    values.push(format!("{{\"broken\":\"{}", "x".repeat(3 << 20)));
    let setup = setup(&clickhouse, "flood", &recording(folder.path(), TOPIC, &values));
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(BOUND).success());
    println!("{}", engine.totals());
    let letters =
        "SELECT count(), countIf(cut_sha256 != ''), max(length(value)), uniqExact(_epoch) FROM flood.dead_letters";
    assert_eq!(clickhouse.query(letters).trim(), format!("{MESSAGES}\t1\t{}\t1", 1 << 20));
    mend(&setup, TEXT);
    let good = MESSAGES - 1;
    let expected = format!(
        "{good} replayed ({} rows), 0 failed again; 1 left alone, as they hold only the beginning of their message",
        2 * good
    );
    assert_eq!(replay(&setup), expected);
    let rows = "SELECT count(), uniqExact(_offset), uniqExact(_epoch, _row) FROM flood.orders_final";
    assert_eq!(clickhouse.query(rows).trim(), format!("{good}\t{good}\t{good}"));
    assert_eq!(list(&setup)[0]["cut"], 1);
}

/// GIVEN a topic in Avro that was read without a registry, so that all of it is letters, WHEN they are replayed without one,
/// THEN they stay; WHEN with one, THEN the tables hold what the same topic in JSON gives; WHEN a replay was interrupted, THEN
/// it is ended with the schemas that were kept, and nobody is asked.
#[test]
fn letters_in_avro_are_replayed_with_their_schemas() {
    let clickhouse = ClickHouse::start();
    let folder = place::repository().join("schemas/debezium/avro");
    let of = |database: &str, recording: &str| {
        let file = folder.join(recording);
        let plugin =
            Plugin { name: "orders", settings: "topics = [\"^.*inventory.orders$\"]\n", artifact: Some("orders") };
        let arguments = ["--source", &file.to_string_lossy()].map(str::to_owned);
        Setup::new(&clickhouse.http_url(), database)
            .with(&arguments.each_ref().map(String::as_str))
            .with_plugins(&[plugin])
    };
    let (json, avro) = (of("as_json", "orders-as-json.jsonl"), of("as_avro", "orders.jsonl"));
    run_to_end(&json);
    run_to_end(&avro);
    let rows = |database: &str| {
        // Two connectors wrote the topics, each with the time of its own snapshot.
        let columns = "* EXCEPT (_topic, _lane, _epoch, _row, _source_ts, _ingested_at)";
        let query = |table| clickhouse.query(&format!("SELECT {columns} FROM {database}.{table} ORDER BY _offset, id"));
        (query("orders_current"), query("orders_final"))
    };
    let kinds = list(&avro);
    assert_eq!((kinds.len(), &kinds[0]["code"], &kinds[0]["letters"]), (1, &json!("no_registry"), &json!(7)));
    assert_eq!(replay(&avro), "0 replayed (0 rows), 7 failed again");

    let registry = format!("registry.url=file:{}", folder.join("schemas.json").display());
    let with_registry = || dlq(&avro, &["replay", "--plugin", "orders", "--set", &registry]);
    let (code, said, _) = with_registry();
    assert_eq!((code, said.trim()), (Some(0), "7 replayed (14 rows), 0 failed again"));
    assert_eq!(rows("as_avro"), rows("as_json"));
    assert_eq!(with_registry().1.trim(), "0 replayed (0 rows), 0 failed again");

    let marks = "DELETE FROM as_avro.dead_letters_replays WHERE state = 'replayed'";
    clickhouse.query(&format!("{marks} SETTINGS mutations_sync = 2, lightweight_deletes_sync = 2"));
    clickhouse.query("TRUNCATE TABLE as_avro.orders_final");
    let again = "7 replayed (14 rows), 0 failed again; 7 of these ended a replay that was interrupted";
    assert_eq!(replay(&avro), again);
    assert_eq!(rows("as_avro"), rows("as_json"));
}
