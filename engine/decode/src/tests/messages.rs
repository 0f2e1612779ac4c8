//! Kinds of messages, and what each becomes.

use super::*;
use crate::input::ChangeColumn;

fn orders() -> Vec<Field> {
    vec![required("id", DataType::Int64), required("name", DataType::Utf8), optional("note", DataType::Utf8)]
}

fn envelope(key: Option<&str>, value: &str) -> String {
    outcome_with_key(&input(Format::Envelope, orders()), key.map(str::as_bytes), value.as_bytes())
}

fn flat(key: Option<&str>, value: &str) -> String {
    outcome_with_key(&input(Format::Flat, orders()), key.map(str::as_bytes), value.as_bytes())
}

#[test]
fn envelopes_become_what_their_op_says() {
    let row = r#"{"id":1,"name":"a","note":"n"}"#;
    let message = |op: &str| format!(r#"{{"before":null,"after":{row},"op":{op}}}"#);
    assert_eq!(envelope(None, &message("\"c\"")), "c: 1 | a | n");
    assert_eq!(envelope(None, &message("\"r\"")), "r: 1 | a | n");
    assert_eq!(envelope(None, &message("\"u\"")), "u: 1 | a | n");
    assert_eq!(envelope(None, &message("\"t\"")), "truncate");
    assert_eq!(envelope(None, &message("\"m\"")), "logical_message");
    assert_eq!(envelope(None, &message("\"x\"")), "unknown_op");
    assert_eq!(envelope(None, &message("7")), "unknown_op");
    assert_eq!(envelope(None, &format!(r#"{{ "op" : "u" , "after" : {row} }} "#)), "u: 1 | a | n");
    assert_eq!(envelope(None, r#"{"before":null,"after":null,"op":"u"}"#), "missing_row");
    assert_eq!(envelope(None, r#"{"op":"c"}"#), "missing_row");
    assert_eq!(envelope(None, r#"{"after":[],"op":"c"}"#), "wrong_type");
    assert_eq!(envelope(None, r#"{"after":{"id":1,"name":null},"op":"c"}"#), "missing_value name");
    assert_eq!(envelope(None, r#"{"after":{"name":"a"},"op":"c"}"#), "missing_value id");
}

#[test]
fn messages_that_are_no_change_are_told_apart() {
    for (message, expected) in [
        (r#"{"ts_ms":1795177787435}"#, "heartbeat"),
        (r#"{"status":"BEGIN","id":"571","event_count":null,"data_collections":null,"ts_ms":1}"#, "transaction"),
        (r#"{"source":{},"ts_ms":1,"databaseName":"d","schemaName":"s","ddl":"x","tableChanges":[]}"#, "schema_change"),
        (r#"{"ts_ms":1,"other":2}"#, "wrong_format"),
        (r#"{}"#, "wrong_format"),
    ] {
        assert_eq!(envelope(None, message), expected, "{message}");
        let expected = expected.replace("wrong_format", "missing_value id");
        if !message.contains("\"id\"") {
            assert_eq!(flat(None, message), expected, "{message}");
        }
    }
}

#[test]
fn a_delete_is_told_by_the_row_before_and_completed_from_the_key() {
    let key = Some(r#"{"id":7}"#);
    let delete = |before: &str| format!(r#"{{"before":{before},"after":null,"op":"d"}}"#);
    for (key, before, expected) in [
        (key, r#"{"id":7,"name":"a","note":"n"}"#, "d: 7 | a | n"),
        (key, r#"{"id":7,"name":null,"note":null}"#, "d: 7 |  | null"),
        (key, r#"{"name":"a"}"#, "d: 7 | a | null"),
        (key, "null", "d: 7 |  | null"),
        (Some(r#"{"schema":{"type":"struct","fields":[]},"payload":{"id":7}}"#), "null", "d: 7 |  | null"),
        (Some(r#"{"id":null}"#), "null", "missing_value id"),
        (Some(r#"{"other":1}"#), "null", "d: 0 |  | null"),
        (Some(r#"{"id":7"#), "null", "invalid_key"),
        (Some(r#"{"id":"x"}"#), "null", "wrong_type id"),
        (Some("7"), "null", "missing_key"),
        (None, "null", "missing_key"),
        (None, r#"{"id":7,"name":"a"}"#, "d: 7 | a | null"),
        (None, r#"{"id":7,"name":null}"#, "missing_value name"),
    ] {
        assert_eq!(envelope(key, &delete(before)), expected, "{key:?} {before}");
    }
    // `after` is not what was deleted, whatever it says.
    assert_eq!(
        envelope(key, r#"{"after":{"id":1,"name":"x"},"before":{"id":7,"name":"a"},"op":"d"}"#),
        "d: 7 | a | null"
    );
    assert_eq!(envelope(key, r#"{"after":{"id":1,"name":"x"},"op":"d"}"#), "d: 7 |  | null");
}

#[test]
fn a_tombstone_is_what_the_input_says() {
    let mut input = input(Format::Flat, orders());
    let all = [(Some(&b"{\"id\":7}"[..]), None), (None, None), (Some(&b"{\"id\":8}"[..]), Some(&b" null "[..]))];
    let deleted = outcomes(&decode(&mut decoder(&input), &messages(&all)));
    assert_eq!(deleted, ["d: 7 |  | null", "missing_key", "d: 8 |  | null"]);
    input.tombstone = Tombstone::Ignore;
    let ignored = outcomes(&decode(&mut decoder(&input), &messages(&all)));
    assert_eq!(ignored, ["tombstone"; 3]);
}

#[test]
fn flat_rows_say_in_added_fields_what_they_are() {
    let row = |added: &str| format!(r#"{{"id":7,"name":"a","note":"n"{added}}}"#);
    for (added, expected) in [
        ("", "c: 7 | a | n"),
        (r#","__op":"r","__deleted":"false""#, "r: 7 | a | n"),
        (r#","__op":"u","__deleted":false"#, "u: 7 | a | n"),
        (r#","__op":"u","__deleted":"true""#, "d: 7 | a | n"),
        (r#","__deleted":true"#, "d: 7 | a | n"),
        (r#","__op":"d""#, "d: 7 | a | n"),
        (r#","__op":null,"__deleted":null"#, "c: 7 | a | n"),
        (r#","__op":"t""#, "truncate"),
        (r#","__op":"?""#, "unknown_op"),
        (r#","__deleted":"yes""#, "wrong_type"),
        (r#","__ts_ms":"1""#, "wrong_type"),
    ] {
        assert_eq!(flat(None, &row(added)), expected, "{added}");
    }
    let key = Some(r#"{"id":7}"#);
    assert_eq!(flat(key, r#"{"id":7,"name":null,"note":null,"__deleted":"true"}"#), "d: 7 |  | null");
    assert_eq!(flat(key, r#"{"id":7,"name":null,"note":null,"__deleted":"false"}"#), "missing_value name");
    let wrapped = r#"{"schema":{"type":"struct","fields":[]},"payload":{"id":7,"name":"a"}}"#;
    assert_eq!(flat(None, wrapped), "c: 7 | a | null");
}

#[test]
fn columns_may_have_the_names_of_the_wrapper() {
    let columns = vec![optional("schema", DataType::Utf8), optional("payload", DataType::Utf8)];
    let input = input(Format::Flat, columns);
    assert_eq!(outcome(&input, br#"{"schema":"s","payload":"p"}"#), "c: s | p");
    assert_eq!(outcome(&input, br#"{"payload":"p","schema":"s"}"#), "c: s | p");
    assert_eq!(outcome(&input, br#"{"payload":{"schema":"s"},"schema":null}"#), "c: s | null");
}

#[test]
fn an_added_field_may_be_a_column_as_well() {
    let columns = vec![required("id", DataType::Int64), required("__op", DataType::Utf8)];
    assert_eq!(outcome(&input(Format::Flat, columns), br#"{"id":1,"__op":"d"}"#), "d: 1 | d");
}

#[test]
fn the_order_of_keys_makes_no_difference() {
    let mut decoder = decoder(&input(Format::Flat, orders()));
    let rows = [
        r#"{"id":1,"name":"a","note":"n"}"#,
        r#"{"note":"n","name":"a","id":1}"#,
        r#"{"name":"a","x":[{}],"id":1,"y":"\"","note":"n"}"#,
        r#"{"id":1,"name":"a","note":"n"}"#,
        "{ \"id\" : 1 ,\n\t\"name\" : \"a\" , \"note\" : \"n\" }",
        r#"{"\u0069d":1,"na\u006de":"\u0061","note":"\u006e"}"#,
    ];
    let all = rows.map(|row| (None, Some(row.as_bytes())));
    assert_eq!(outcomes(&decode(&mut decoder, &messages(&all))), ["c: 1 | a | n"; 6]);
}

#[test]
fn change_columns_are_filled_where_they_are_declared() {
    let mut columns: Vec<Field> = ChangeColumn::ALL.into_iter().map(ChangeColumn::field).collect();
    columns.insert(4, required("id", DataType::Int64));
    let input = input(Format::Envelope, columns);
    let key: Option<&[u8]> = Some(b"{\"id\":1}");
    let source = r#""source":{"version":"x","ts_ms":1795177787435,"db":"d"}"#;
    let create = format!(r#"{{"after":{{"id":1}},{source},"op":"c"}}"#);
    let delete = r#"{"before":{"id":1},"after":null,"source":null,"op":"d"}"#;
    let all = messages(&[(key, Some(create.as_bytes())), (None, Some(b"{")), (key, Some(delete.as_bytes()))]);
    let decoded = decode(&mut decoder(&input), &all);
    let first = 2_u64 << 48;
    assert_eq!(
        outcomes(&decoded),
        [
            format!("c: 99 | false | {first} | 1795177787435 | 1 | shop.orders | 3 | 0 | 7b226964223a317d"),
            "invalid_json".to_owned(),
            format!("d: 100 | true | {} | null | 1 | shop.orders | 3 | 2 | 7b226964223a317d", first + 2),
        ]
    );
    let fields: Vec<_> = input.columns.iter().map(|column| column.field.clone()).collect();
    assert_eq!(decoded.rows.schema().fields().to_vec(), fields);
}

#[test]
fn an_input_that_can_not_be_decoded_names_all_its_columns() {
    let list = DataType::List(Arc::new(optional("item", DataType::LargeUtf8)));
    let columns = vec![
        required("id", DataType::Int64),
        required("tags", list),
        required("_offset", DataType::Int32),
        required("_key", DataType::Binary),
        required("id", DataType::Int64),
    ];
    let error = Decoder::new(&input(Format::Flat, columns), &partition(), 1).unwrap_err();
    assert_eq!(error.problems.len(), 4, "{error}");
    for (problem, word) in error.problems.iter().zip(["tags", "_offset", "_key", "twice"]) {
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn an_input_without_columns_still_counts_its_rows() {
    assert_eq!(outcome(&input(Format::Envelope, Vec::new()), br#"{"after":{"id":1},"op":"c"}"#), "c: ");
    assert_eq!(outcome(&input(Format::Flat, Vec::new()), br#"{"id":1}"#), "c: ");
}

#[test]
fn schemas_that_alternate_are_each_obeyed() {
    let columns = vec![required("price", DataType::Decimal128(10, 3))];
    let mut decoder = decoder(&input(Format::Envelope, columns));
    let message = |scale: usize| {
        let price = format!(
            r#"{{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"}},"field":"price"}}"#
        );
        let after = format!(r#"{{"type":"struct","fields":[{price}],"field":"after"}}"#);
        let schema = format!(r#"{{"type":"struct","fields":[{after}]}}"#);
        format!(r#"{{"schema":{schema},"payload":{{"after":{{"price":"BOI="}},"op":"c"}}}}"#)
    };
    let values: Vec<String> = (0..40).map(|index| message(index * 7 % 20)).collect();
    let all: Vec<_> = values.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    let outcomes = outcomes(&decode(&mut decoder, &messages(&all)));
    for (index, outcome) in outcomes.iter().enumerate() {
        let expected = match index * 7 % 20 {
            0 => "c: 1250.000",
            1 => "c: 125.000",
            2 => "c: 12.500",
            3 => "c: 1.250",
            4 => "c: 0.125",
            _ => "inexact price",
        };
        assert_eq!(outcome, expected, "scale {}", index * 7 % 20);
    }
}

#[test]
fn decoders_go_to_other_threads() {
    fn send<T: Send>() {}
    send::<Decoder>();
}

#[test]
fn columns_come_from_where_their_source_says() {
    let column = |name: &str, data_type: DataType, source: Source| InputColumn {
        field: Arc::new(optional(name, data_type)),
        required: source == Source::Before("id".into()),
        source,
        reading: Reading::default(),
    };
    let mut input = input(Format::Envelope, Vec::new());
    input.columns = vec![
        column("id", DataType::Int64, Source::Row("id".into())),
        column("id_text", DataType::Decimal128(10, 1), Source::Row("id".into())),
        column("old_id", DataType::Int64, Source::Before("id".into())),
        column("old_price", DataType::Decimal128(10, 2), Source::Before("price".into())),
        column("moved", DataType::Utf8, Source::Header("__debezium.newkey".into())),
        column("raw", DataType::Binary, Source::Header("raw".into())),
        column("letter", DataType::UInt8, Source::Change(ChangeColumn::Op)),
    ];
    let message = |offset: i64, value: &str, headers: &[(&str, Option<&[u8]>)]| OwnedMessage {
        headers: headers.iter().map(|(key, value)| ((*key).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        ..OwnedMessage::new(offset, Some(b"{\"id\":3}".to_vec()), Some(value.as_bytes().to_vec()))
    };
    let all = [
        message(0, r#"{"before":{"id":1,"price":"BOI="},"after":{"id":2},"op":"u"}"#, &[("raw", Some(b"a"))]),
        message(1, r#"{"before":null,"after":{"id":2},"op":"c"}"#, &[("raw", Some(b"\xff")), ("raw", None)]),
        message(2, r#"{"before":{"id":3,"price":null},"after":null,"op":"d"}"#, &[("__debezium.newkey", Some(b"k"))]),
        message(3, r#"{"before":{"id":4},"after":{"id":5},"op":"u"}"#, &[("__debezium.newkey", Some(b"\xff"))]),
        message(4, r#"{"before":{"id":"x"},"after":{"id":5},"op":"u"}"#, &[]),
        message(5, r#"{"before":{"id":6},"after":{"id":7},"op":"u"}"#, &[]),
    ];
    let mut decoder = decoder(&input);
    let decoded = decode(&mut decoder, &all);
    assert_eq!(
        outcomes(&decoded),
        [
            "u: 2 | 2.0 | 1 | 12.50 | null | 61 | 117",
            "c: 2 | 2.0 | null | null | null | null | 99",
            "d: 3 | 3.0 | 3 | null | k | null | 100",
            "invalid_utf8 moved",
            "wrong_type old_id",
            "u: 7 | 7.0 | 6 | null | null | null | 117",
        ]
    );
}

#[test]
fn a_required_field_must_be_named_and_may_be_null() {
    let mut input = input(Format::Envelope, vec![required("id", DataType::Int64), optional("note", DataType::Utf8)]);
    let after = |row: &str| format!(r#"{{"before":null,"after":{row},"op":"c"}}"#);
    assert_eq!(outcome(&input, after(r#"{"id":1}"#).as_bytes()), "c: 1 | null");
    input.columns[1].required = true;
    assert_eq!(outcome(&input, after(r#"{"id":1}"#).as_bytes()), "missing_value note");
    assert_eq!(outcome(&input, after(r#"{"id":1,"note":null}"#).as_bytes()), "c: 1 | null");
    input.columns[0].required = false;
    assert_eq!(outcome(&input, after(r#"{"note":null}"#).as_bytes()), "missing_value id");
    let key = Some(&b"{\"id\":7}"[..]);
    assert_eq!(outcome_with_key(&input, key, br#"{"before":null,"after":null,"op":"d"}"#), "d: 7 | null");
}

#[test]
fn a_source_that_can_not_be_is_named() {
    let column = |field: Field, source: Source| InputColumn {
        field: Arc::new(field),
        source,
        required: false,
        reading: Reading::default(),
    };
    let mut input = input(Format::Flat, Vec::new());
    input.columns = vec![
        column(optional("old", DataType::Int64), Source::Before("id".into())),
        column(required("header", DataType::Utf8), Source::Header("h".into())),
        column(optional("number", DataType::Int64), Source::Header("h".into())),
        column(optional("topic", DataType::Binary), Source::Change(ChangeColumn::Topic)),
    ];
    let error = Decoder::new(&input, &partition(), 1).unwrap_err();
    for (problem, word) in error.problems.iter().zip(["flat messages", "nullable", "Utf8 and Binary", "_topic is Utf8"])
    {
        assert!(problem.contains(word), "{problem}");
    }
    assert_eq!(error.problems.len(), 4, "{error}");
}
