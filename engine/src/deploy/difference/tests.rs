#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema};

use super::*;
use crate::batch::{Block, NoOp, Stage};
use crate::digest::digest;
use crate::table::{Table, TableKind};
use crate::transform::Tally;

/// Offset, the plugin's own columns.
type Row<'a> = (i64, i32, Option<&'a str>);

fn lane() -> LaneId {
    LaneId {
        tenant: "default".to_owned(),
        plugin: "users".to_owned(),
        topic: "shop.users".to_owned(),
        topic_id: String::new(),
        partition: 3,
    }
}

/// A table with the columns of an output table that decide something here.
fn table(name: &str, own: Vec<Field>) -> Arc<Table> {
    let engines = ["_op", "_deleted", "_offset", "_row", "_plugin"].into_iter().map(|name| {
        let data_type = match name {
            "_deleted" => DataType::UInt8,
            "_offset" | "_row" => DataType::Int64,
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, false)
    });
    Arc::new(Table {
        database: "d".into(),
        name: name.into(),
        kind: TableKind::Current,
        schema: Arc::new(Schema::new(own.into_iter().chain(engines).collect::<Vec<_>>())),
        sort_key: vec!["id".to_owned(), "lower(name)".to_owned()],
        partition_by: None,
        indexes: vec![],
    })
}

fn block(table: Arc<Table>, own: Vec<ArrayRef>, offsets: Vec<i64>, plugin: &str) -> Block {
    let rows = offsets.len();
    let engines: [ArrayRef; 5] = [
        Arc::new(StringArray::from(vec!["c"; rows])),
        Arc::new(UInt8Array::from(vec![0; rows])),
        Arc::new(Int64Array::from(offsets)),
        Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap())),
        Arc::new(StringArray::from(vec![plugin; rows])),
    ];
    let batch = RecordBatch::try_new(table.schema.clone(), own.into_iter().chain(engines).collect()).unwrap();
    // In two batches, as an epoch of many calls has them.
    let batches = vec![batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2)];
    Block { digest: digest(&batches), table, batches, rows }
}

fn users(rows: &[Row<'_>], plugin: &str) -> Block {
    let own = vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)];
    let ids: Int32Array = rows.iter().map(|row| Some(row.1)).collect();
    let names: StringArray = rows.iter().map(|row| row.2).collect();
    block(table("users", own), vec![Arc::new(ids), Arc::new(names)], rows.iter().map(|row| row.0).collect(), plugin)
}

fn made(blocks: Vec<Block>, rejects: Vec<Reject>) -> Made {
    Made { blocks, rejects, tally: Tally { messages: 10, ..Tally::default() }, state: None }
}

fn reject(offset: i64, code: &str) -> Reject {
    let (code, reason) = (code.to_owned(), "that is how it is".to_owned());
    Reject { offset, stage: Stage::Transform, code, column: None, reason }
}

fn between(before: &[Row<'_>], after: &[Row<'_>]) -> Difference {
    let (before, after) = (made(vec![users(before, "1")], vec![]), made(vec![users(after, "2")], vec![]));
    Difference::between(&lane(), &before, &after)
}

const SOME: [Row<'_>; 4] = [(1, 10, Some("a")), (2, 11, Some("b")), (2, 12, None), (5, 13, Some("d"))];

/// GIVEN the same rows of two versions, in whatever order their calls gave them, THEN there is no difference: not in the columns
/// that name the version either.
#[test]
fn the_same_rows_are_equal_whoever_made_them_and_in_whatever_order_of_messages() {
    let found = between(&SOME, &[SOME[3], SOME[1], SOME[2], SOME[0]]);
    assert!(found.is_equal(), "{found:?}");
    assert_eq!(found.tables["users"].rows, Sides { before: 4, after: 4 });
    assert_eq!(found.in_short(), "no difference");
    assert!(between(&[], &[]).is_equal());
}

#[test]
fn a_changed_value_is_told_by_its_column_with_place_and_key() {
    let mut after = SOME;
    (after[1].2, after[2].2) = (Some("B"), Some("new"));
    let found = between(&SOME, &after);
    let table = &found.tables["users"];
    assert_eq!((table.changed, table.gone, table.new), (2, 0, 0));
    let column = &table.columns["name"];
    assert_eq!((table.columns.len(), column.rows), (1, 2));
    let sample = |id: &str, before: Option<&str>, after: &str| ValueSample {
        at: At { topic: "shop.users".to_owned(), partition: 3, offset: 2 },
        key: vec![("id".to_owned(), Some(id.to_owned()))],
        values: Sides { before: before.map(str::to_owned), after: Some(after.to_owned()) },
    };
    assert_eq!(column.samples, [sample("11", Some("b"), "B"), sample("12", None, "new")]);
    assert_eq!(found.in_short(), "users: 2 rows changed (name in 2), 0 gone, 0 new");
}

#[test]
fn rows_of_one_side_alone_do_not_make_others_of_their_message_differ() {
    let found = between(&SOME, &[SOME[0], SOME[2], (7, 14, Some("e"))]);
    let table = &found.tables["users"];
    assert_eq!((table.changed, table.gone, table.new), (0, 2, 1), "{table:?}");
    let rows: Vec<_> = table.samples_gone.iter().map(|sample| (sample.at.offset, sample.row[0].1.clone())).collect();
    assert_eq!(rows, [(2, Some("11".to_owned())), (5, Some("13".to_owned()))]);
    let (name, value) = &table.samples_new[0].row[1];
    assert_eq!((name.as_str(), value.as_deref(), table.samples_new.len()), ("name", Some("e"), 1));
    assert!(table.samples_new[0].row.iter().all(|(name, _)| name != "_plugin" && name != "_offset"));
}

#[test]
fn a_column_that_one_side_lacks_or_has_in_another_type_is_told_with_its_types() {
    let own = vec![Field::new("id", DataType::Int64, false), Field::new("note", DataType::Utf8, true)];
    let ids: Int64Array = SOME.iter().map(|row| Some(i64::from(row.1))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(StringArray::from(vec![Some("x"); 4]))];
    let after = block(table("users", own), columns, SOME.iter().map(|row| row.0).collect(), "2");
    let found = Difference::between(&lane(), &made(vec![users(&SOME, "1")], vec![]), &made(vec![after], vec![]));
    let table = &found.tables["users"];
    assert_eq!((table.changed, table.gone, table.new), (0, 0, 0), "{table:?}");
    let types = |name: &str| {
        let column = &table.columns[name];
        (column.types.before.as_deref(), column.types.after.as_deref(), column.rows)
    };
    assert_eq!(types("id"), (Some("Int32"), Some("Int64"), 0));
    assert_eq!(types("name"), (Some("Utf8"), None, 4));
    assert_eq!(types("note"), (None, Some("Utf8"), 4));
    assert_eq!(table.columns["note"].samples[0].values.after.as_deref(), Some("x"));
    assert!(!found.is_equal());
}

#[test]
fn a_table_of_one_side_alone_has_all_its_rows_on_one_list() {
    let before = made(vec![users(&SOME, "1")], vec![]);
    let found = Difference::between(&lane(), &before, &made(vec![], vec![]));
    assert_eq!((found.tables["users"].gone, found.tables["users"].rows.after), (4, 0));
}

#[test]
fn dead_letters_differ_by_code_and_not_by_words() {
    let other_words = Reject { reason: "otherwise".to_owned(), ..reject(1, "bad") };
    let before = made(vec![], vec![reject(1, "bad"), reject(3, "bad"), reject(4, "worse")]);
    let after = made(vec![], vec![other_words, reject(2, "bad"), reject(4, "bad")]);
    let found = Difference::between(&lane(), &before, &after);
    assert_eq!(found.letters.letters, Sides { before: 3, after: 3 });
    assert_eq!(found.letters.new, BTreeMap::from([("bad".to_owned(), 1)]));
    assert_eq!(found.letters.gone, BTreeMap::from([("bad".to_owned(), 1)]));
    assert_eq!((found.letters.changed, found.letters.differing()), (1, 3));
    let offsets: Vec<_> = found.letters.samples.iter().map(|sample| sample.at.offset).collect();
    assert_eq!(offsets, [2, 3, 4]);
    assert!(!found.is_equal());
    let same = Difference::between(&lane(), &before, &before);
    assert!(same.is_equal() && same.letters.samples.is_empty());
}

#[test]
fn no_ops_count_where_their_numbers_differ() {
    let (mut before, mut after) = (made(vec![], vec![]), made(vec![], vec![]));
    before.tally.no_ops = BTreeMap::from([(NoOp::Tombstone, 2)]);
    after.tally.no_ops = BTreeMap::from([(NoOp::Tombstone, 1)]);
    let found = Difference::between(&lane(), &before, &after);
    assert_eq!(found.no_ops.values().copied().collect::<Vec<_>>(), [Sides { before: 2, after: 1 }]);
    assert!(!found.is_equal());
}

#[test]
fn batches_add_up_and_samples_stay_few_and_short() {
    let long = "é".repeat(1_000);
    let before: Vec<Row<'_>> = (0..40).map(|offset| (offset, 1, Some("short"))).collect();
    let after: Vec<Row<'_>> = (0..40).map(|offset| (offset, 1, Some(&*long))).collect();
    let mut sum = Difference::default();
    for _ in 0..3 {
        sum.add(between(&before, &after));
    }
    let table = &sum.tables["users"];
    assert_eq!((sum.batches, sum.messages, table.changed, table.columns["name"].rows), (3, 30, 120, 120));
    assert_eq!(table.columns["name"].samples.len(), SAMPLES);
    let after = table.columns["name"].samples[0].values.after.clone().unwrap();
    assert_eq!(after.chars().count(), VALUE_CHARS + 1);
    let read: Difference = serde_json::from_str(&serde_json::to_string(&sum).unwrap()).unwrap();
    assert_eq!(read, sum);
}

#[test]
fn what_they_remember_is_counted_where_both_keep_state() {
    let keeps = |digest: &str, changed| Made { state: Some((digest.to_owned(), changed)), ..made(vec![], vec![]) };
    let remembered = |before: &Made, after: &Made| Difference::between(&lane(), before, after).remembered;
    assert_eq!(remembered(&keeps("a", true), &keeps("b", true)), 1);
    assert_eq!(remembered(&keeps("a", true), &keeps("a", true)), 0);
    assert_eq!(remembered(&keeps("a", false), &keeps("b", false)), 0, "the digest of nothing names the tables");
    assert_eq!(remembered(&keeps("a", true), &made(vec![], vec![])), 0);
}

#[test]
fn cost_is_told_a_row_and_as_a_ratio() {
    let cost = |rows, ns| Cost { rows, plugin: Duration::from_nanos(ns) };
    assert_eq!(Sides { before: cost(10, 1_000), after: cost(20, 4_000) }.ratio(), Some(2.0));
    assert_eq!(Sides { before: cost(0, 0), after: cost(20, 4_000) }.ratio(), None);
}
