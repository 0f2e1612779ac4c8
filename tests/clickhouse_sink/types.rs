//! Every type, with its extremes and with nulls, read back exactly: compared as the text that ClickHouse writes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray,
    Time32MillisecondArray, Time32SecondArray, Time64MicrosecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::Field;
use engine::sink::{ClickHouse, Compression, Sink, SinkError, out_of_range};
use engine::table::{CLICKHOUSE_TYPE, EXTENSION_NAME, quote};

use crate::{SERVER, block, database, fenced, rows, run, run_sql, send, settings, sink, table};

/// A column: declared type if any, ClickHouse's type, values, and what ClickHouse shows of them.
struct Case {
    field: Field,
    expected_type: &'static str,
    values: ArrayRef,
    shown: [&'static str; 3],
}

fn case(values: impl Array + 'static, expected_type: &'static str, shown: [&'static str; 3]) -> Case {
    let field = Field::new(expected_type, values.data_type().clone(), values.is_nullable());
    Case { field, expected_type, values: Arc::new(values), shown }
}

impl Case {
    fn with(mut self, key: &str, value: &str) -> Self {
        let metadata = [(key.to_owned(), value.to_owned())];
        self.field = self.field.with_metadata(std::collections::HashMap::from(metadata));
        self
    }
}

const FIRST_DAY: i32 = -25_567; // 1900-01-01
const LAST_DAY: i32 = 120_529; // 2299-12-31
const FIRST: i64 = FIRST_DAY as i64 * 86_400;
const LAST: i64 = (LAST_DAY as i64 + 1) * 86_400 - 1;
const NULL: &str = "ᴺᵁᴸᴸ";

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let uuid = [0xf6, 0xad, 0x0c, 0x3e, 0x2f, 0x1c, 0x4b, 0x5a, 0x9f, 0x0e, 1, 2, 3, 4, 5, 6];
    let uuids = || FixedSizeBinaryArray::try_from_iter([uuid, [0; 16], [0xff; 16]].into_iter()).unwrap();
    let uuid_text = ["f6ad0c3e-2f1c-4b5a-9f0e-010203040506", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"];
    let most = i256::from_string(&"9".repeat(76)).unwrap();
    let n38 = 10_i128.pow(38) - 1;
    let micros = |s: i64, us: i64| s * 1_000_000 + us;
    let texts = || StringArray::from(vec!["", "naïve \u{1F980}", "tab\tquote'back\\slash"]);
    let json = || StringArray::from(vec![r#"{"b":[1,2.5,null],"a":{"c":"x"}}"#, "{}", r#"{"n":9007199254740993}"#]);
    vec![
        case(BooleanArray::from(vec![true, false, true]), "Bool", ["true", "false", "true"]),
        case(Int8Array::from(vec![i8::MIN, 0, i8::MAX]), "Int8", ["-128", "0", "127"]),
        case(Int16Array::from(vec![i16::MIN, 0, i16::MAX]), "Int16", ["-32768", "0", "32767"]),
        case(Int32Array::from(vec![i32::MIN, 0, i32::MAX]), "Int32", ["-2147483648", "0", "2147483647"]),
        case(Int64Array::from(vec![i64::MIN, 0, i64::MAX]), "Int64", ["-9223372036854775808", "0", "9223372036854775807"]),
        case(UInt8Array::from(vec![0, 1, u8::MAX]), "UInt8", ["0", "1", "255"]),
        case(UInt16Array::from(vec![0, 1, u16::MAX]), "UInt16", ["0", "1", "65535"]),
        case(UInt32Array::from(vec![0, 1, u32::MAX]), "UInt32", ["0", "1", "4294967295"]),
        case(UInt64Array::from(vec![0, 1, u64::MAX]), "UInt64", ["0", "1", "18446744073709551615"]),
        case(Float32Array::from(vec![f32::MIN_POSITIVE, -0.1, f32::INFINITY]), "Float32", ["1.1754944e-38", "-0.1", "inf"]),
        case(Float64Array::from(vec![f64::MAX, 0.1, f64::NAN]), "Float64", ["1.7976931348623157e308", "0.1", "nan"]),
        case(texts(), "String", ["", "naïve \u{1F980}", "tab\tquote'back\\slash"]),
        case(texts(), "LowCardinality(String)", ["", "naïve \u{1F980}", "tab\tquote'back\\slash"]).with(CLICKHOUSE_TYPE, "LowCardinality(String)"),
        case(json(), "JSON", [r#"{"a":{"c":"x"},"b":[1,2.5,null]}"#, "{}", r#"{"n":9007199254740993}"#]).with(CLICKHOUSE_TYPE, "JSON"),
        case(StringArray::from(uuid_text.to_vec()), "UUID", uuid_text).with(CLICKHOUSE_TYPE, "UUID"),
        case(uuids(), "UUID", uuid_text).with(EXTENSION_NAME, "arrow.uuid"),
        case(FixedSizeBinaryArray::try_from_iter([*b"ab", *b"\0c", *b"ef"].into_iter()).unwrap(), "FixedString(2)", ["ab", "\0c", "ef"]),
        case(BinaryArray::from(vec![b"".as_slice(), b"a\0b", b"c"]), "String", ["", "a\0b", "c"]),
        case(Date32Array::from(vec![FIRST_DAY, -1, LAST_DAY]), "Date32", ["1900-01-01", "1969-12-31", "2299-12-31"]),
        case(Date32Array::from(vec![0, 1, 65_535]), "Date", ["1970-01-01", "1970-01-02", "2149-06-06"]).with(CLICKHOUSE_TYPE, "Date"),
        case(Time32SecondArray::from(vec![0, 1, 86_399]), "Time64(0)", ["00:00:00", "00:00:01", "23:59:59"]),
        case(Time32MillisecondArray::from(vec![0, 1, 86_399_999]), "Time64(3)", ["00:00:00.000", "00:00:00.001", "23:59:59.999"]),
        case(Time64MicrosecondArray::from(vec![0, 1, micros(86_399, 999_999)]), "Time64(6)", ["00:00:00.000000", "00:00:00.000001", "23:59:59.999999"]),
        case(Time64NanosecondArray::from(vec![0, 1, 86_399_999_999_999]), "Time64(9)", ["00:00:00.000000000", "00:00:00.000000001", "23:59:59.999999999"]),
        case(TimestampSecondArray::from(vec![FIRST, -1, LAST]).with_timezone("UTC"), "DateTime64(0, 'UTC')", ["1900-01-01 00:00:00", "1969-12-31 23:59:59", "2299-12-31 23:59:59"]),
        case(TimestampSecondArray::from(vec![0, 1, 4_294_967_295]).with_timezone("UTC"), "DateTime('UTC')", ["1970-01-01 00:00:00", "1970-01-01 00:00:01", "2106-02-07 06:28:15"]).with(CLICKHOUSE_TYPE, "DateTime"),
        case(TimestampMillisecondArray::from(vec![FIRST * 1000, -1, LAST * 1000 + 999]).with_timezone("+00:00"), "DateTime64(3, 'UTC')", ["1900-01-01 00:00:00.000", "1969-12-31 23:59:59.999", "2299-12-31 23:59:59.999"]),
        case(TimestampMicrosecondArray::from(vec![micros(FIRST, 0), -1, micros(LAST, 999_999)]), "DateTime64(6, 'UTC')", ["1900-01-01 00:00:00.000000", "1969-12-31 23:59:59.999999", "2299-12-31 23:59:59.999999"]),
        case(TimestampNanosecondArray::from(vec![FIRST * 1_000_000_000, -1, i64::MAX]).with_timezone("UTC"), "DateTime64(9, 'UTC')", ["1900-01-01 00:00:00.000000000", "1969-12-31 23:59:59.999999999", "2262-04-11 23:47:16.854775807"]),
        case(Decimal128Array::from(vec![-999_999_999, 1, 999_999_999]).with_precision_and_scale(9, 2).unwrap(), "Decimal(9, 2)", ["-9999999.99", "0.01", "9999999.99"]),
        case(Decimal128Array::from(vec![-n38, 1, n38]).with_precision_and_scale(38, 38).unwrap(), "Decimal(38, 38)", ["-0.99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001", "0.99999999999999999999999999999999999999"]),
        case(Decimal256Array::from(vec![-most, i256::ONE, most]).with_precision_and_scale(76, 10).unwrap(), "Decimal(76, 10)", [
            "-999999999999999999999999999999999999999999999999999999999999999999.9999999999", "0.0000000001",
            "999999999999999999999999999999999999999999999999999999999999999999.9999999999"]),
        case(Int32Array::from(vec![Some(1), None, Some(3)]), "Nullable(Int32)", ["1", NULL, "3"]),
        case(BooleanArray::from(vec![Some(true), None, Some(false)]), "Nullable(Bool)", ["true", NULL, "false"]),
        case(StringArray::from(vec![Some(""), None, Some("x")]), "Nullable(String)", ["", NULL, "x"]),
        case(StringArray::from(vec![Some(""), None, Some("x")]), "LowCardinality(Nullable(String))", ["", NULL, "x"]).with(CLICKHOUSE_TYPE, "LowCardinality(String)"),
        case(StringArray::from(vec![Some(uuid_text[0]), None, Some(uuid_text[2])]), "Nullable(UUID)", [uuid_text[0], NULL, uuid_text[2]]).with(CLICKHOUSE_TYPE, "UUID"),
        case(FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(uuid), None, Some([0; 16])].into_iter(), 16).unwrap(), "Nullable(UUID)", [uuid_text[0], NULL, uuid_text[1]]).with(EXTENSION_NAME, "arrow.uuid"),
        case(StringArray::from(vec![Some("{}"), None, Some("{}")]), "Nullable(JSON)", ["{}", NULL, "{}"]).with(CLICKHOUSE_TYPE, "JSON"),
        case(Date32Array::from(vec![Some(FIRST_DAY), None, Some(0)]), "Nullable(Date32)", ["1900-01-01", NULL, "1970-01-01"]),
        case(Time64MicrosecondArray::from(vec![Some(1), None, Some(0)]), "Nullable(Time64(6))", ["00:00:00.000001", NULL, "00:00:00.000000"]),
        case(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(0)]).with_timezone("UTC"), "Nullable(DateTime64(6, 'UTC'))", ["1969-12-31 23:59:59.999999", NULL, "1970-01-01 00:00:00.000000"]),
        case(Decimal128Array::from(vec![Some(-1), None, Some(1)]).with_precision_and_scale(20, 3).unwrap(), "Nullable(Decimal(20, 3))", ["-0.001", NULL, "0.001"]),
        case(Decimal256Array::from(vec![Some(-most), None, Some(i256::ONE)]).with_precision_and_scale(76, 0).unwrap(), "Nullable(Decimal(76, 0))", ["-9999999999999999999999999999999999999999999999999999999999999999999999999999", NULL, "1"]),
        case(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), Some(vec![Some(i32::MIN)])]), "Array(Nullable(Int32))", ["[1,NULL]", "[]", "[-2147483648]"]),
    ]
}

#[test]
fn every_type_is_read_back_exactly() {
    let cases = cases();
    let fields: Vec<Field> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            case.field
                .clone()
                .with_name(format!("c {index}"))
                .with_nullable(case.expected_type.starts_with("Nullable") || case.expected_type.contains("(Nullable(S"))
        })
        .collect();
    for compression in [Compression::None, Compression::Lz4] {
        let table = Arc::new(table(&database(), fields.clone()));
        let block = block(&table, cases.iter().map(|case| Arc::clone(&case.values)).collect());
        assert_eq!(out_of_range(&block.batches[0]), []);
        let mut settings = settings(&SERVER.http_url());
        settings.compression = compression;
        let sink = ClickHouse::new(settings).unwrap();
        run(async {
            sink.prepare(&table).await.unwrap();
            sink.prepare(&table).await.unwrap();
            sink.insert(&fenced(&sink, &block, "types").await).await.unwrap();
        });
        for (index, case) in cases.iter().enumerate() {
            let column = quote(&format!("c {index}"));
            let found = SERVER.query(&format!(
                "SELECT toTypeName({column}), hex(ifNull(toString({column}), '{NULL}')) FROM {} FORMAT TSVRaw",
                table.quoted()
            ));
            let expected: String =
                case.shown.iter().map(|shown| format!("{}\t{}\n", case.expected_type, hex(shown))).collect();
            assert_eq!(found, expected, "{} {compression:?}", case.expected_type);
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}

/// A table made by somebody else, with every type wider than the plugin's.
#[test]
fn a_wider_column_holds_the_same_values() {
    let columns: Vec<(ArrayRef, &str, &str)> = vec![
        (Arc::new(Int8Array::from(vec![i8::MIN])), "Int64", "-128"),
        (Arc::new(Int32Array::from(vec![i32::MIN])), "Nullable(Int64)", "-2147483648"),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), "Int64", "4294967295"),
        (Arc::new(UInt8Array::from(vec![255])), "UInt64", "255"),
        (Arc::new(BooleanArray::from(vec![true])), "UInt8", "1"),
        (Arc::new(Float32Array::from(vec![0.5])), "Float64", "0.5"),
        (Arc::new(StringArray::from(vec!["x"])), "LowCardinality(Nullable(String))", "x"),
        (
            Arc::new(TimestampMillisecondArray::from(vec![-1])),
            "DateTime64(6, 'Asia/Tokyo')",
            "1970-01-01 08:59:59.999000",
        ),
        (Arc::new(TimestampMicrosecondArray::from(vec![-1])), "DateTime64(6)", "1969-12-31 23:59:59.999999"),
        (Arc::new(TimestampSecondArray::from(vec![LAST])), "DateTime64(3, 'UTC')", "2299-12-31 23:59:59.000"),
        (Arc::new(Time32SecondArray::from(vec![86_399])), "Time64(6)", "23:59:59.000000"),
        (
            Arc::new(Decimal128Array::from(vec![-999]).with_precision_and_scale(3, 2).unwrap()),
            "Decimal(20, 5)",
            "-9.99",
        ),
        (
            Arc::new(Decimal128Array::from(vec![-999]).with_precision_and_scale(3, 2).unwrap()),
            "Decimal(76, 30)",
            "-9.99",
        ),
    ];
    let fields = columns.iter().enumerate().map(|(n, c)| Field::new(format!("c{n}"), c.0.data_type().clone(), false));
    let table = Arc::new(table(&database(), fields.collect()));
    let types: Vec<String> = columns.iter().enumerate().map(|(n, c)| format!("c{n} {}", c.1)).collect();
    run_sql(&format!("CREATE DATABASE {} ENGINE = Atomic", quote(&table.database)));
    run_sql(&format!("CREATE TABLE {} ({}) ENGINE = MergeTree ORDER BY ()", table.quoted(), types.join(", ")));
    let sink = sink();
    run(async {
        sink.prepare(&table).await.unwrap();
        let block = block(&table, columns.iter().map(|c| Arc::clone(&c.0)).collect());
        sink.insert(&fenced(&sink, &block, "wider").await).await.unwrap();
    });
    for (n, (_, column_type, shown)) in columns.iter().enumerate() {
        assert_eq!(rows(&format!("SELECT toString(c{n}) FROM {}", table.quoted())), [*shown], "{column_type}");
    }
}

/// What would wrap or be cut is refused before anything is sent.
#[test]
fn a_narrower_column_is_refused() {
    let columns: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(Int64Array::from(vec![0])), "Int32"),
        (Arc::new(Int64Array::from(vec![0])), "DateTime64(3)"),
        (Arc::new(Int32Array::from(vec![0])), "UInt32"),
        (Arc::new(Date32Array::from(vec![0])), "Date"),
        (Arc::new(TimestampMicrosecondArray::from(vec![0])), "DateTime64(3)"),
        (Arc::new(Decimal128Array::from(vec![0]).with_precision_and_scale(10, 4).unwrap()), "Decimal(10, 2)"),
        (Arc::new(StringArray::from(vec![""])), "UUID"),
        (Arc::new(StringArray::from(vec![""])), "Enum8('a' = 1)"),
        (Arc::new(FixedSizeBinaryArray::try_from_iter([[0_u8; 16]].into_iter()).unwrap()), "FixedString(15)"),
        (Arc::new(Int64Array::from(vec![Some(0)])), "Int64 MATERIALIZED 1"),
    ];
    let fields = columns.iter().enumerate().map(|(n, c)| Field::new(format!("c{n}"), c.0.data_type().clone(), false));
    let table = table(&database(), fields.collect());
    let types: Vec<String> = columns.iter().enumerate().map(|(n, c)| format!("c{n} {}", c.1)).collect();
    run_sql(&format!("CREATE DATABASE {} ENGINE = Atomic", quote(&table.database)));
    run_sql(&format!("CREATE TABLE {} ({}) ENGINE = MergeTree ORDER BY ()", table.quoted(), types.join(", ")));
    let Err(SinkError::Table { mismatch, statement: Some(statement), .. }) = run(sink().prepare(&table)) else {
        panic!("it was not refused")
    };
    for n in 0..columns.len() {
        assert!(mismatch.contains(&format!("column `c{n}` is ")), "c{n} is not in: {mismatch}");
        assert!(statement.contains(&format!("MODIFY COLUMN `c{n}` ")), "c{n} is not in: {statement}");
    }
}

/// Whatever is let through, the server takes: one text that it does not take would fail the insert of all others. And what is
/// held back, it refuses.
#[test]
fn json_is_let_through_where_the_server_takes_it() {
    let long = "9".repeat(10_000);
    let texts = [
        r#"{"n":18446744073709551615,"m":-9223372036854775808,"z":-0,"e":1e308,"f":-1e-400}"#.to_owned(),
        r#"{"":1,"s":"\u0000\ud83d\ude80","mixed":[1,1.5,"a",true,null,[1],{"x":1}],"t":"0000-00-00"}"#.to_owned(),
        r#"{"a.b":1,"a":2}"#.to_owned(),
        format!(r#"{{"n":0.{long}}}"#),
        format!(r#"{{"a":{}1{}}}"#, "[".repeat(120), "]".repeat(120)),
        format!(r#"{{"n":{long}}}"#),
        r#"{"n":18446744073709551616}"#.to_owned(),
        r#"{"n":[1,1e400]}"#.to_owned(),
        r#"{"s":"\ud83d"}"#.to_owned(),
        r#"{"a":{},"a":{}}"#.to_owned(),
        r#"{"o":{"a":1,"\u0061":2}}"#.to_owned(),
        r#"{"a.b":1,"a":{"b":2}}"#.to_owned(),
        r#"{"l":[{"a":1,"a":2}]}"#.to_owned(),
    ];
    let metadata = [(CLICKHOUSE_TYPE.to_owned(), "JSON".to_owned())];
    let field = Field::new("j", arrow_schema::DataType::Utf8, false);
    let field = field.with_metadata(std::collections::HashMap::from(metadata));
    let table = Arc::new(table(&database(), vec![field]));
    let sink = sink();
    run(async { sink.prepare(&table).await.unwrap() });
    for (index, text) in texts.iter().enumerate() {
        let block = block(&table, vec![Arc::new(StringArray::from(vec![text.as_str()]))]);
        let held_back = !out_of_range(&block.batches[0]).is_empty();
        let inserted = run(async { sink.insert(&send(&block, &format!("json {index}"))).await });
        assert_eq!(inserted.is_err(), held_back, "{}", text.chars().take(80).collect::<String>());
    }
}
