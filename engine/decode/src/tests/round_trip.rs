//! Random rows as a database has them, written as a connector writes them, must come out as they went in: integers,
//! decimals as base64 of their unscaled integer, days, microseconds, bytes, lists and maps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Row {
    long: i64,
    unsigned: u64,
    unscaled: i128,
    days: i32,
    micros: i64,
    text: String,
    bytes: Vec<u8>,
    list: Vec<Option<i64>>,
    map: Vec<(u16, Option<String>)>,
}

fn row() -> impl Strategy<Value = Row> {
    let limit = 10_i128.pow(38) - 1;
    // Around what stands for PostgreSQL's infinities no database has a value.
    let days = -2_440_000_i32..2_145_000_000;
    let micros = -210_000_000_000_000_000_i64..9_200_000_000_000_000_000;
    let list = prop::collection::vec(prop::option::of(any::<i64>()), 0..5);
    let map = prop::collection::vec((any::<u16>(), prop::option::of("\\PC{0,6}")), 0..4);
    let rest = (".{0,20}", prop::collection::vec(any::<u8>(), 0..40), list, map);
    (any::<i64>(), any::<u64>(), -limit..=limit, days, micros, rest).prop_map(
        |(long, unsigned, unscaled, days, micros, (text, bytes, list, map))| Row {
            long,
            unsigned,
            unscaled,
            days,
            micros,
            text,
            bytes,
            list,
            map: map.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect(),
        },
    )
}

/// As few bytes as the number needs, as Java's `BigInteger.toByteArray` gives them.
fn minimal(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0 };
    let mut start = bytes.iter().take_while(|byte| **byte == sign).count().min(15);
    if (bytes[start] ^ sign) >= 0x80 {
        start -= 1;
    }
    bytes[start..].to_vec()
}

fn wire(row: &Row) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let map: Vec<_> = row
        .map
        .iter()
        .map(|(key, value)| format!("\"{key}\":{}", value.as_ref().map_or("null".to_owned(), |value| text(value))))
        .collect();
    let list: Vec<_> = row.list.iter().map(|item| item.map_or("null".to_owned(), |item| item.to_string())).collect();
    format!(
        r#"{{"before":null,"after":{{"long":{},"unsigned":{},"decimal":"{}","days":{},"micros":{},"text":{},"bytes":"{}","list":[{}],"map":{{{}}}}},"source":{{"connector":"mysql","ts_ms":1}},"op":"c"}}"#,
        row.long,
        row.unsigned.cast_signed(),
        STANDARD.encode(minimal(row.unscaled)),
        row.days,
        row.micros,
        text(&row.text),
        STANDARD.encode(&row.bytes),
        list.join(","),
        map.join(",")
    )
}

fn columns() -> Vec<Field> {
    let pair = vec![required("keys", DataType::Utf8), optional("values", DataType::Utf8)];
    vec![
        required("long", DataType::Int64),
        required("unsigned", DataType::UInt64),
        required("decimal", DataType::Decimal128(38, 0)),
        required("days", DataType::Date32),
        required("micros", MICROS),
        required("text", DataType::Utf8),
        required("bytes", DataType::Binary),
        required("list", DataType::List(Arc::new(optional("item", DataType::Int64)))),
        required("map", DataType::Map(Arc::new(required("entries", DataType::Struct(pair.into()))), false)),
    ]
}

fn expected(row: &Row) -> String {
    let bytes: String = row.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<_> = row.list.iter().map(|item| item.map_or("null".to_owned(), |item| item.to_string())).collect();
    let map: Vec<_> =
        row.map.iter().map(|(key, value)| format!("{key}: {}", value.as_deref().unwrap_or("null"))).collect();
    format!(
        "c: {} | {} | {} | {} | {} | {} | {bytes} | [{}] | {{{}}}",
        row.long,
        row.unsigned,
        row.unscaled,
        row.days,
        row.micros,
        row.text,
        list.join(", "),
        map.join(", ")
    )
}

proptest! {
    #![proptest_config(random(1000))]

    #[test]
    fn rows_come_out_as_the_database_has_them(rows in prop::collection::vec(row(), 1..5)) {
        let values: Vec<String> = rows.iter().map(wire).collect();
        let all: Vec<Bytes<'_>> = values.iter().map(|value| (None, Some(value.as_bytes()))).collect();
        let decoded = decode(&mut decoder(&input(Format::Envelope, columns())), &messages(&all));
        let wanted: Vec<String> = rows.iter().map(expected).collect();
        prop_assert_eq!(outcomes(&decoded), wanted);
    }
}
