//! Tables: created, found, grown, refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field};
use engine::batch::Block;
use engine::sink::{Guarantee, Sink, SinkError};
use engine::table::{Table, TableKind, quote, with_engine_columns};

use crate::{block, database, rows, run, run_sql, send, sink, table};

fn id() -> Field {
    Field::new("id", DataType::Int64, false)
}

fn current(database: &str, own: Vec<Field>) -> Arc<Table> {
    let schema = with_engine_columns(own);
    let sort_key = vec!["id".to_owned()];
    Arc::new(Table { kind: TableKind::Current, schema, sort_key, ..table(database, vec![]) })
}

/// Changes of a table of `id` and `name`: id, name, deleted, version.
fn changes(table: &Arc<Table>, changes: &[(i64, &str, u8, u64)]) -> Block {
    let each = || changes.iter();
    let rows = changes.len();
    let times = || TimestampMillisecondArray::from(vec![1_000; rows]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(each().map(|c| c.0))),
        Arc::new(StringArray::from_iter_values(each().map(|c| c.1))),
        Arc::new(StringArray::from(vec!["u"; rows])),
        Arc::new(UInt8Array::from_iter_values(each().map(|c| c.2))),
        Arc::new(UInt64Array::from_iter_values(each().map(|c| c.3))),
        Arc::new(times()),
        Arc::new(StringArray::from(vec!["topic"; rows])),
        Arc::new(Int32Array::from(vec![0; rows])),
        Arc::new(Int64Array::from(vec![0; rows])),
        Arc::new(UInt64Array::from(vec![7; rows])),
        Arc::new(UInt64Array::from(vec![1; rows])),
        Arc::new(UInt32Array::from(vec![0; rows])),
        Arc::new(times()),
    ];
    block(table, columns)
}

fn mismatch(table: &Table) -> (String, Option<String>) {
    match run(sink().prepare(table)) {
        Err(SinkError::Table { mismatch, statement, .. }) => (mismatch, statement),
        other => panic!("it was not refused but {other:?}"),
    }
}

#[test]
fn a_current_table_shows_each_row_as_it_is_now() {
    let table = current(&database(), vec![id(), Field::new("name", DataType::Utf8, false)]);
    let sink = sink();
    run(sink.prepare(&table)).unwrap();
    run_sql(&format!("SYSTEM STOP MERGES {}", table.quoted()));
    run(async {
        let parts = [
            changes(&table, &[(1, "a", 0, 1), (2, "b", 0, 2), (3, "c", 0, 3)]),
            // A change that came late, and a delete.
            changes(&table, &[(1, "later", 0, 9), (2, "b", 1, 8)]),
            changes(&table, &[(1, "late", 0, 4), (3, "gone", 1, 5)]),
            // Deleted and there again.
            changes(&table, &[(3, "again", 0, 6)]),
        ];
        for (n, block) in parts.iter().enumerate() {
            sink.insert(&send(block, &format!("part-{n}"))).await.unwrap();
        }
    });
    let view = format!("{}.`t_current`", quote(&table.database));
    assert_eq!(rows(&format!("SELECT id, name FROM {view} ORDER BY id")), ["1\tlater", "3\tagain"]);
    assert_eq!(rows(&format!("SELECT count() FROM {}", table.quoted())), ["8"]);
    run_sql(&format!("SYSTEM START MERGES {}", table.quoted()));
    run_sql(&format!("OPTIMIZE TABLE {} FINAL", table.quoted()));
    assert_eq!(rows(&format!("SELECT id, name FROM {view} ORDER BY id")), ["1\tlater", "3\tagain"]);
}

#[test]
fn many_lanes_and_processes_prepare_one_table() {
    let table = current(&database(), vec![id()]);
    let sinks = [sink(), sink()];
    run(async {
        let all = sinks.iter().flat_map(|sink| (0..8).map(|_| sink.prepare(&table)));
        for guarantee in futures::future::join_all(all).await {
            assert_eq!(guarantee.unwrap(), Guarantee::Window { parts: 10_000 });
        }
    });
}

#[test]
fn new_columns_are_added_to_table_and_view() {
    let database = database();
    let sink = sink();
    run(sink.prepare(&current(&database, vec![id()]))).unwrap();
    let wider = current(
        &database,
        vec![id(), Field::new("name", DataType::Utf8, false), Field::new("n", DataType::Int64, true)],
    );
    run(sink.prepare(&wider)).unwrap();
    let columns = |table: &str| {
        rows(&format!(
            "SELECT name, type FROM system.columns WHERE database = '{database}' AND table = '{table}' ORDER BY position LIMIT 4"
        ))
    };
    let expected = ["id\tInt64", "name\tString", "n\tNullable(Int64)", "_op\tLowCardinality(String)"];
    assert_eq!(columns("t"), expected);
    assert_eq!(columns("t_current"), expected);

    // The version before may have to come back: columns that it does not know fill themselves.
    run(sink.prepare(&current(&database, vec![id()]))).unwrap();
}

#[test]
fn a_column_that_is_no_longer_given_is_refused_unless_it_fills_itself() {
    let database = database();
    let columns = vec![id(), Field::new("name", DataType::Utf8, false), Field::new("n", DataType::Int64, true)];
    run(sink().prepare(&current(&database, columns))).unwrap();
    let (why, statement) = mismatch(&current(&database, vec![id()]));
    assert_eq!(why, "column `name` String is not among the plugin's and has no default");
    let statement = statement.unwrap();
    assert_eq!(
        statement,
        format!("ALTER TABLE `{database}`.`t` MODIFY COLUMN `name` DEFAULT defaultValueOfTypeName('String')")
    );
    run_sql(&statement);
    run(sink().prepare(&current(&database, vec![id()]))).unwrap();
}

#[test]
fn a_column_of_another_type_is_refused_with_the_statement_that_changes_it() {
    let database = database();
    let column = |data_type| table(&database, vec![Field::new("n", data_type, false)]);
    run(sink().prepare(&column(DataType::Int32))).unwrap();
    let (why, statement) = mismatch(&column(DataType::Int64));
    assert_eq!(why, "column `n` is Int32, which can't hold every Int64");
    let statement = statement.unwrap();
    assert_eq!(statement, format!("ALTER TABLE `{database}`.`t` MODIFY COLUMN `n` Int64"));
    run_sql(&statement);
    run(sink().prepare(&column(DataType::Int64))).unwrap();
    run(sink().prepare(&column(DataType::Int32))).unwrap();
}

#[test]
fn a_table_with_other_keys_or_engine_is_no_current_table() {
    let name = database();
    run(sink().prepare(&table(&name, vec![id()]))).unwrap();
    let (why, statement) = mismatch(&current(&name, vec![id()]));
    assert_eq!(why, "its engine is MergeTree, not ReplacingMergeTree(_version, _deleted)");
    run_sql(&statement.unwrap());
    let there = current(&name, vec![id()]);
    run(sink().prepare(&there)).unwrap();
    let other = Table { sort_key: vec!["id".into(), "_offset".into()], ..Table::clone(&there) };
    assert_eq!(mismatch(&other).0, "its sort key is (id), not `id`, `_offset`");
}

#[test]
fn a_table_that_can_not_be_is_refused_before_anything_is_sent() {
    let good = current("nowhere", vec![id(), Field::new("day", DataType::Date32, true)]);
    let refused = |change: fn(&mut Table)| {
        let mut table = Table::clone(&good);
        change(&mut table);
        mismatch(&table).0
    };
    assert_eq!(
        refused(|table| table.sort_key.clear()),
        "a current-state table needs a sort key: without one all rows are versions of one row"
    );
    assert_eq!(
        refused(|table| table.sort_key.push("day".into())),
        "column `day` is nullable and so can't be in the sort key"
    );
    assert_eq!(
        refused(|table| table.partition_by = Some("toYYYYMM(day)".into())),
        "a current-state table can't be partitioned by `day`, which is not in its sort key"
    );
    assert_eq!(
        refused(|table| table.partition_by = Some("(SELECT password FROM other.users)".into())),
        "`(SELECT password FROM other.users)`: `SELECT` is neither a column nor a function allowed in an expression"
    );
    assert!(rows("SELECT name FROM system.databases WHERE name = 'nowhere'").is_empty());
}

#[test]
fn foreign_tables_get_the_guarantee_that_they_have() {
    let database = database();
    run_sql(&format!("CREATE DATABASE `{database}` ENGINE = Atomic"));
    for (name, engine, expected) in [
        ("a", "MergeTree ORDER BY id", Guarantee::None),
        ("b", "MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 7", Guarantee::Window { parts: 7 }),
        ("c", "SummingMergeTree ORDER BY id", Guarantee::None),
        ("d", "Memory", Guarantee::None),
    ] {
        run_sql(&format!("CREATE TABLE `{database}`.`{name}` (id Int64) ENGINE = {engine}"));
        let table = Table { name: name.into(), ..table(&database, vec![id()]) };
        assert_eq!(run(sink().prepare(&table)).unwrap(), expected, "{engine}");
    }
}
