//! Lists and maps, codecs, comments and indexes: as a plugin declares them, so the server has them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, Field, TimeUnit};
use engine::sink::Sink;
use engine::table::{CLICKHOUSE_CODEC, COMMENT, Index, Table};

use crate::{block, database, fenced, rows, run, sink, table};

/// Names as the plugin contract has them.
fn names() -> MapFieldNames {
    MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() }
}

fn columns() -> Vec<ArrayRef> {
    let item = |data_type, nullable| Field::new_list_field(data_type, nullable);
    let mut texts = ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8, true));
    texts.append_value([Some("a"), None, Some("ü")]);
    texts.append_value([None::<&str>; 0]);
    let mut numbers = ListBuilder::new(Int64Builder::new()).with_field(item(DataType::Int64, false));
    numbers.append_value([Some(i64::MIN), Some(i64::MAX)]);
    numbers.append_value([Some(0)]);
    // Without a zone: the server must not read it in its own.
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut times = ListBuilder::new(TimestampMicrosecondBuilder::new()).with_field(item(micros, false));
    times.append_value([Some(-1)]);
    times.append_value([Some(1_700_000_000_000_001)]);

    let value = |data_type, nullable| Arc::new(Field::new("value", data_type, nullable));
    let key = |data_type| Arc::new(Field::new("key", data_type, false));
    let mut words = MapBuilder::new(Some(names()), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(key(DataType::Utf8))
        .with_values_field(value(DataType::Utf8, true));
    words.keys().append_value("k");
    words.values().append_null();
    words.keys().append_value("l");
    words.values().append_value("v");
    words.append(true).unwrap();
    words.append(true).unwrap();
    let mut counts = MapBuilder::new(Some(names()), Int32Builder::new(), Int64Builder::new())
        .with_keys_field(key(DataType::Int32))
        .with_values_field(value(DataType::Int64, false));
    counts.append(true).unwrap();
    counts.keys().append_value(-3);
    counts.values().append_value(4);
    counts.append(true).unwrap();
    vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(texts.finish()),
        Arc::new(numbers.finish()),
        Arc::new(times.finish()),
        Arc::new(words.finish()),
        Arc::new(counts.finish()),
    ]
}

#[test]
fn lists_and_maps_come_out_as_they_went_in() {
    let columns = columns();
    let fields = columns.iter().enumerate().map(|(n, c)| Field::new(format!("c{n}"), c.data_type().clone(), false));
    let table = Arc::new(table(&database(), fields.collect()));
    let sink = sink();
    run(async {
        sink.prepare(&table).await.unwrap();
        sink.insert(&fenced(&sink, &block(&table, columns), "nested").await).await.unwrap();
        // The table that it made is one that it takes.
        sink.prepare(&table).await.unwrap();
    });
    let types = rows(&format!(
        "SELECT type FROM system.columns WHERE database = '{}' AND table = 't' ORDER BY position",
        table.database
    ));
    let expected = [
        "Int64",
        "Array(Nullable(String))",
        "Array(Int64)",
        "Array(DateTime64(6, 'UTC'))",
        "Map(String, Nullable(String))",
        "Map(Int32, Int64)",
    ];
    assert_eq!(types.iter().map(|name| name.replace("\\'", "'")).collect::<Vec<_>>(), expected);
    let read = rows(&format!("SELECT * FROM {} ORDER BY c0 FORMAT JSONCompactEachRow", table.quoted()));
    let plain: Vec<String> = read.iter().map(|row| row.replace([' ', '"'], "")).collect();
    let first = "[1,[a,null,ü],[-9223372036854775808,9223372036854775807],[1969-12-3123:59:59.999999],{k:null,l:v},{}]";
    assert_eq!(plain, [first, "[2,[],[0],[2023-11-1422:13:20.000001],{},{-3:4}]"]);
}

#[test]
fn codecs_comments_and_indexes_are_the_servers_too() {
    let words = [(CLICKHOUSE_CODEC, "DoubleDelta, ZSTD(1)"), (COMMENT, "It's the \\ id,\nin order")];
    let words: HashMap<_, _> = words.map(|(key, word)| (key.to_owned(), word.to_owned())).into();
    let id = Field::new("id", DataType::Int64, false).with_metadata(words.clone());
    let tags = Field::new_list("tags", Field::new_list_field(DataType::Utf8, false), false);
    let index = |name: &str, expression: &str, kind: &str| Index {
        name: name.into(),
        expression: expression.into(),
        kind: kind.into(),
    };
    let indexes = vec![
        index("by tag", "tags", "bloom_filter(0.01)"),
        index("by_id", "intDiv(id, 10)", "minmax"),
        index("some", "id", "set(100)"),
    ];
    let database = database();
    let first = Table { indexes, ..table(&database, vec![id.clone(), tags.clone()]) };
    run(sink().prepare(&first)).unwrap();
    let grown = Field::new("grown", DataType::Int64, true).with_metadata(words);
    run(sink().prepare(&Table { indexes: vec![], ..table(&database, vec![id, tags, grown]) })).unwrap();

    let of = format!("database = '{database}' AND table = 't'");
    let columns =
        rows(&format!("SELECT name, compression_codec, comment FROM system.columns WHERE {of} ORDER BY position"));
    let expected = [
        r"id	CODEC(DoubleDelta, ZSTD(1))	It\'s the \\ id,\nin order",
        "tags\t\t",
        r"grown	CODEC(DoubleDelta, ZSTD(1))	It\'s the \\ id,\nin order",
    ];
    assert_eq!(columns, expected);
    let found = rows(&format!("SELECT name, type_full FROM system.data_skipping_indices WHERE {of} ORDER BY name"));
    assert_eq!(found, ["by tag\tbloom_filter(0.01)", "by_id\tminmax", "some\tset(100)"]);
}
