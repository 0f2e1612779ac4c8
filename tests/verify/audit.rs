use std::fs;

use harness::clickhouse::ClickHouse;

use crate::{ORDERS, findings, folder, recording, run_to_end, setup};

const NOW: &str = "SETTINGS mutations_sync = 2, lightweight_deletes_sync = 2";

fn fault(table: &str, fault: &str, rows: u64, some: &[i64]) -> (String, String, u64, Vec<i64>) {
    (table.to_owned(), fault.to_owned(), rows, some.to_vec())
}

/// GIVEN tables as the engine made them, in several epochs, with dead letters, THEN they are right; WHEN rows are deleted,
/// doubled, changed, added or of no message, and a dead letter is deleted, THEN each is found and named, by the rows and by
/// the names alone, and only in the range that was asked for.
#[test]
fn each_fault_is_found_and_named() {
    let (clickhouse, folder) = (ClickHouse::start(), folder());
    let file = recording(folder.path(), 200, |offset| offset % 50 == 7);
    let setup = setup(&clickhouse, "faults", &file);
    run_to_end(&setup);
    assert_eq!(clickhouse.query("SELECT uniqExact(_epoch) > 3 FROM faults.orders_final").trim(), "1");
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));
    assert_eq!(findings(&setup, &["--names"]), (Some(0), vec![]));

    let insert = |table: &str, replaced: &str, offset: i64| {
        clickhouse.query(&format!(
            "INSERT INTO faults.{table} SETTINGS async_insert = 0, insert_deduplicate = 0 \
             SELECT * REPLACE ({replaced}) FROM (SELECT * FROM faults.{table} WHERE _offset = {offset})"
        ));
    };
    clickhouse.query(&format!("DELETE FROM faults.orders_final WHERE _offset IN (11, 12) {NOW}"));
    insert("orders_final", "_offset AS _offset", 20);
    clickhouse.query(&format!("ALTER TABLE faults.orders_final UPDATE quantity = 99 WHERE _offset = 30 {NOW}"));
    insert("orders_final", "toUInt32(9999) AS _row", 41);
    insert("orders_final", "toInt64(7) AS _offset, toUInt32(9998) AS _row", 42);
    clickhouse.query(&format!("DELETE FROM faults.dead_letters WHERE offset = 57 {NOW}"));
    clickhouse.query(&format!("DELETE FROM faults.orders WHERE id = 60 {NOW}"));
    clickhouse.query(&format!("ALTER TABLE faults.orders UPDATE status = 'LOST' WHERE id = 61 {NOW}"));
    insert("orders", "toInt32(70000) AS id", 62);
    insert("orders", "toUInt64(_version - 1) AS _version, 'OLD' AS status", 63);

    let expected = vec![
        fault("orders", "missing", 1, &[60]),
        fault("orders", "too_many", 1, &[62]),
        fault("orders", "changed", 1, &[61]),
        fault("orders_final", "missing", 2, &[11, 12]),
        fault("orders_final", "too_many", 2, &[7, 41]),
        fault("orders_final", "twice", 1, &[20]),
        fault("orders_final", "changed", 1, &[30]),
        fault("dead_letters", "missing", 1, &[57]),
    ];
    assert_eq!(findings(&setup, &[]), (Some(1), expected));
    let (code, words) = setup.ask(&["verify", "orders"], None);
    assert_eq!(code, Some(1));
    for said in ["2 rows missing: offsets 11, 12", "1 dead letter missing: offset 57", "WRONG", "1 row there twice"] {
        assert!(words.contains(said), "{said:?} is not in\n{words}");
    }
    let offsets = findings(&setup, &["--from", "25", "--to", "35"]);
    assert_eq!(offsets, (Some(1), vec![fault("orders_final", "changed", 1, &[30])]));
    assert_eq!(findings(&setup, &["--from", "100"]), (Some(0), vec![]));
    let times = ["--from", "2025-07-21T10:16:45", "--to", "2025-07-21T10:17:15"];
    assert_eq!(findings(&setup, &times).0, Some(1), "messages 5 to 34");
    // By names: the doubled row. Lacking ordinals: those of the deleted rows lie in an epoch with a dead letter.
    let (code, names) = findings(&setup, &["--names"]);
    assert_eq!(code, Some(1));
    assert!(names.contains(&fault("orders_final", "twice", 1, &[])), "{names:?}");
    assert_eq!(setup.ask(&["verify", "nobody"], None).0, Some(2));
}

/// GIVEN rows of an earlier plugin, and letters that were replayed through the mended one, THEN they are compared with what
/// their own plugin makes; WHEN that one is not to be had any more, THEN a content that differs is named as another plugin's
/// and not called wrong; rows beyond the topic's messages are.
#[test]
fn rows_are_compared_with_what_their_own_plugin_makes() {
    let (clickhouse, folder) = (ClickHouse::start(), folder());
    let file = recording(folder.path(), 60, |offset| offset == 5);
    let setup = setup(&clickhouse, "makers", &file);
    run_to_end(&setup);
    // The same rows, elsewhere: prices are text now, so each message is a dead letter, as many as may be.
    let toml = setup.plugins.join("orders/plugin.toml");
    fs::write(&toml, format!("{ORDERS}decimals = \"string\"\n[rollout]\nmax_dead_letters = 1\n")).expect("plugin.toml");
    let all = fs::read_to_string(&file).expect("recording");
    recording(folder.path(), 90, |offset| offset == 5);
    run_to_end(&setup);
    let letters = "SELECT count() FROM makers.dead_letters";
    assert_eq!(clickhouse.query(letters).trim(), "31");
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));
    // The first settings again: 30 letters are replayed.
    fs::write(&toml, ORDERS).expect("plugin.toml");
    let database =
        ["--plugins", &setup.plugins.to_string_lossy(), "--clickhouse", &setup.clickhouse].map(str::to_owned);
    let data = setup.data_dir();
    let replayed = std::process::Command::new(harness::engine::program())
        .args(["dlq", "replay", "--plugin", "orders", "--database", "makers", "--data-dir", &data.to_string_lossy()])
        .args(&database)
        .status();
    assert!(replayed.is_ok());
    assert_eq!(clickhouse.query("SELECT count() FROM makers.orders_final").trim(), "89");
    assert_eq!(findings(&setup, &[]), (Some(0), vec![]));

    // A plugin whose rows differ, and of which nothing is left: here, the present one with other values in its rows.
    clickhouse
        .query("ALTER TABLE makers.orders_final UPDATE status = 'LOST' WHERE _offset = 3 SETTINGS mutations_sync = 2");
    assert_eq!(findings(&setup, &[]), (Some(1), vec![fault("orders_final", "changed", 1, &[3])]));
    let artifacts = data.join("artifacts");
    for entry in fs::read_dir(&artifacts).expect("artifacts").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("makers-") {
            let lines = fs::read_to_string(entry.path()).expect("makers");
            let gone = "\"plugin_digest\":\"0000";
            let lines: Vec<_> = lines.lines().filter(|line| !line.is_empty()).collect();
            let first = lines[0].replacen("\"plugin_digest\":\"", gone, 1);
            fs::write(entry.path(), first).expect("makers");
        }
    }
    let (code, found) = findings(&setup, &["--to", "60"]);
    assert_eq!((code, found), (Some(0), vec![fault("orders_final", "other_plugin", 1, &[3])]));
    // A topic that ends before what is committed was made again.
    fs::write(&file, all).expect("recording");
    assert_eq!(findings(&setup, &[]).0, Some(2));
}
