use std::fs;

use engine::crash_point::CrashPoint;
use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::pipeline::{DATABASE, Pipeline};
use harness::place;

use crate::{findings, folder, recording, run_to_end, setup};

/// All that a row is but who made it when.
const CONTENT: &str = "SELECT * EXCEPT (_version, _epoch, _row, _ingested_at) FROM";

fn content(clickhouse: &ClickHouse, table: &str) -> String {
    clickhouse.query(&format!("{CONTENT} {table} ORDER BY _partition, _offset FORMAT TSV"))
}

/// GIVEN a current-state table in which somebody has changed rows, WHEN a part is replayed into it, THEN the rows of the new
/// generation win, and those before are as they were; an offset that is not there yet, or gone, is refused, and a running
/// engine as well.
#[test]
fn a_replay_into_the_same_table_wins() {
    let clickhouse = ClickHouse::start();
    let recording = place::repository().join("schemas/debezium/users-unwrapped.jsonl");
    let plugin = Plugin { name: "users", settings: "topics = ['^.*users$']\n", artifact: Some("users") };
    let setup = Setup::new(&clickhouse.http_url(), "again")
        .with(&["--source", &recording.to_string_lossy(), "--set", "batch.max_messages=5"])
        .with_plugins(&[plugin]);
    run_to_end(&setup);
    let table =
        clickhouse.query("SELECT name FROM system.tables WHERE database = 'again' AND engine LIKE 'Replacing%'");
    let table = format!("again.{}", table.trim());
    let (right, letters) = (content(&clickhouse, &format!("{table} FINAL")), "SELECT count() FROM again.dead_letters");
    let open = clickhouse.query(letters);
    clickhouse.query(&format!("ALTER TABLE {table} UPDATE _op = 'x' WHERE _offset >= 10 SETTINGS mutations_sync = 2"));
    assert_eq!(findings(&setup, &[]).0, Some(1));

    for (from, says) in [("1000", "was not read yet"), ("yesterday", "neither a time")] {
        let (code, words) = setup.ask(&["replay", "users", "--from", from], None);
        assert!(code == Some(2) && words.contains(says), "{words}");
    }
    let mut engine = setup.start();
    engine.wait_until_up();
    let (code, words) = setup.ask(&["replay", "users", "--from", "10"], None);
    assert!(code == Some(2) && words.contains("stop it first"), "{words}");
    engine.terminate();

    let (code, words) = setup.ask(&["replay", "users", "--from", "10"], None);
    assert!(code == Some(0) && words.contains("generation 1 → 2, from offset 10"), "{words}");
    run_to_end(&setup);
    assert_eq!(content(&clickhouse, &format!("{table} FINAL")), right);
    assert_eq!(clickhouse.query(letters), open, "one for each message");
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));
}

/// GIVEN a table that keeps each row, THEN a replay into it is refused with the ways out; WHEN its rows are deleted first,
/// THEN each is there once.
#[test]
fn a_table_that_keeps_each_row_has_none_twice() {
    let (clickhouse, folder) = (ClickHouse::start(), folder());
    let setup = setup(&clickhouse, "kept", &recording(folder.path(), 100, |offset| offset == 30));
    run_to_end(&setup);
    let right = content(&clickhouse, "kept.orders_final");
    let (code, words) = setup.ask(&["replay", "orders", "--from", "20"], None);
    assert!(code == Some(2) && words.contains("--shadow") && words.contains("--delete-rows"), "{words}");
    assert_eq!(setup.ask(&["replay", "orders", "--from", "20", "--delete-rows"], None).0, Some(0));
    assert_eq!(clickhouse.query("SELECT count() FROM kept.orders_final").trim(), "20");
    run_to_end(&setup);
    assert_eq!(content(&clickhouse, "kept.orders_final"), right);
    assert_eq!(clickhouse.query("SELECT count() FROM kept.dead_letters").trim(), "1");
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));
}

/// GIVEN orders in four partitions, WHEN two of the topic's are replayed into shadows and the replay dies at different steps,
/// THEN no engine starts meanwhile, the same command ends it, the tables are exact and exchanged at once, the old ones are
/// kept; WHEN the last step is done again, THEN nothing changes; WHEN a replay is given up, THEN all is as it was.
#[test]
fn a_replay_into_shadows_is_exact_whatever_dies() {
    const ORDERS: i64 = 20_000;
    let mut pipeline = Pipeline::new(ORDERS, 500);
    pipeline.run_to_the_end();
    let (setup, clickhouse) = (&pipeline.setup, &pipeline.clickhouse);
    let table = format!("{DATABASE}.orders_final");
    let right = content(clickhouse, &table);
    // What is replaced is wrong, what is kept is another's.
    clickhouse.query(&format!(
        "ALTER TABLE {table} UPDATE quantity = 0 WHERE _partition = 1 AND _offset >= 1000 SETTINGS mutations_sync = 2"
    ));
    clickhouse.query(&format!(
        "INSERT INTO {table} SETTINGS async_insert = 0 SELECT * REPLACE (toUInt64(5) AS _lane, toInt32(77) AS _partition) \
         FROM (SELECT * FROM {table} WHERE _partition = 0 AND _offset = 1)"
    ));
    let others = format!("{CONTENT} {table} WHERE _partition = 77");
    let other = clickhouse.query(&others);
    assert_eq!(other.lines().count(), 1);
    let command = ["replay", "orders", "--partition", "1", "--from", "1000", "--shadow"];
    for dies in [(CrashPoint::Intended, 3), (CrashPoint::InsertedOne, 2), (CrashPoint::Committed, 4)] {
        assert_eq!(setup.ask(&command, Some(dies)).0, None, "killed");
        let (code, words) = setup.ask(&["run", "--until-idle"], None);
        assert!(code == Some(1) && words.contains("a replay of plugin orders was begun"), "{words}");
    }
    let pending = fs::read_to_string(setup.data_dir().join("replay.json")).expect("a replay under way");
    assert!(pending.contains("\"filling\""), "{pending}");
    let (code, words) = setup.ask(&command, None);
    assert!(code == Some(0) && words.contains("orders_final_before_2"), "{words}");
    let rows = |table: &str| clickhouse.query(&format!("SELECT count() FROM {DATABASE}.{table}")).trim().to_owned();
    let of_lanes = |table: &str| {
        clickhouse.query(&format!("{CONTENT} {table} WHERE _partition != 77 ORDER BY _partition, _offset FORMAT TSV"))
    };
    assert_eq!(of_lanes(&table), right);
    assert_eq!(clickhouse.query(&others), other);
    assert_eq!(rows("orders_final_before_2"), (ORDERS + 1).to_string());
    assert_eq!(findings(setup, &[]), (Some(0), vec![]));

    // The last step died behind the exchange.
    fs::write(setup.data_dir().join("replay.json"), pending.replace("\"filling\"", "\"swapping\""))
        .expect("replay.json");
    assert_eq!(setup.ask(&command, None).0, Some(0));
    assert_eq!(of_lanes(&table), right, "not exchanged again");

    assert_eq!(setup.ask(&command, Some((CrashPoint::Committed, 2))).0, None, "killed");
    assert_eq!(setup.ask(&["replay", "orders", "--abandon"], None).0, Some(0));
    assert_eq!(of_lanes(&table), right);
    pipeline.produce(400);
    pipeline.run_to_the_end();
    assert_eq!(findings(&pipeline.setup, &[]), (Some(0), vec![]));
    pipeline
        .clickhouse
        .query(&format!("DELETE FROM {table} WHERE _partition = 77 SETTINGS lightweight_deletes_sync = 2"));
    pipeline.assert_each_arrived_once();
}

/// GIVEN a broker, THEN a replay from a time begins at the first message that is not older.
#[test]
fn a_replay_begins_at_a_time() {
    let pipeline = Pipeline::new(400, 50);
    pipeline.run_to_the_end();
    let (code, words) = pipeline.setup.ask(&["replay", "orders", "--from", "1970-01-02", "--shadow"], None);
    assert!(code == Some(0) && words.contains("from offset 0; it stood at offset 100"), "{words}");
    pipeline.assert_each_arrived_once();
    let (code, words) = pipeline.setup.ask(&["replay", "orders", "--from", "2100-01-01", "--delete-rows"], None);
    assert!(code == Some(0) && words.contains("from offset 100; it stood at offset 100"), "{words}");
    pipeline.run_to_the_end();
    pipeline.assert_each_arrived_once();
}
