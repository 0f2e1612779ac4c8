#![expect(clippy::unwrap_used, reason = "tests")]

use arrow_schema::TimeUnit;

use super::super::sample::look_at;
use super::*;

/// What is said of a plugin that reads these, over messages like this one.
fn said(format: Format, wanted: &[(&str, DataType, bool)], message: &str) -> Vec<String> {
    let sample = look_at(message.as_bytes()).unwrap();
    let fields: Vec<_> = wanted.iter().map(|(name, of, null)| Field::new(*name, of.clone(), *null)).collect();
    let wanted: Vec<_> =
        fields.iter().map(|field| Wanted { name: field.name(), field, required: !field.is_nullable() }).collect();
    let findings = compare(format, &wanted, None, &sample);
    findings.iter().map(|finding| format!("{}: {}", finding.weight, finding.message)).collect()
}

const WITH_SCHEMA: &str = r#"{"schema":{"type":"struct","fields":[
    {"field":"before","type":"struct","fields":[]},
    {"field":"after","type":"struct","fields":[
        {"field":"id","type":"int32"},
        {"field":"big","type":"int64"},
        {"field":"amount","type":"bytes","name":"org.apache.kafka.connect.data.Decimal",
         "parameters":{"scale":"2","connect.decimal.precision":"10"}},
        {"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"},
        {"field":"note","type":"string"}]}]},
    "payload":{"op":"c","before":null,"after":{"id":1,"big":2,"amount":"AA==","at":0,"note":null}}}"#;

#[test]
fn types_are_compared_where_the_schema_says_them() {
    let at = |unit| DataType::Timestamp(unit, None);
    let wanted = [
        ("id", DataType::Int32, false),
        ("big", DataType::Int32, false),
        ("amount", DataType::Decimal128(18, 4), true),
        ("at", at(TimeUnit::Millisecond), true),
    ];
    assert_eq!(
        said(Format::Envelope, &wanted, WITH_SCHEMA),
        [
            "risk: column big: Int64 → Int32, narrowed: a message whose value does not fit is set aside",
            "note: column amount: Decimal128(10, 2) → Decimal128(18, 4), widened",
            "risk: column at: Timestamp(µs) → Timestamp(ms), narrowed: a message whose value does not fit is set aside",
            "note: column note: Utf8, not read by the plugin",
        ]
    );
}

#[test]
fn a_decimal_with_fewer_whole_digits_is_narrowed() {
    let amount = |precision, scale| [("amount", DataType::Decimal128(precision, scale), true)];
    let of = |precision, scale| said(Format::Envelope, &amount(precision, scale), WITH_SCHEMA).remove(0);
    assert!(of(10, 3).contains("narrowed"), "{}", of(10, 3));
    assert!(of(11, 3).contains("widened"), "{}", of(11, 3));
    assert!(of(12, 1).contains("narrowed"), "{}", of(12, 1));
}

#[test]
fn a_column_that_is_not_there_is_named_with_what_may_be_meant() {
    let message = r#"{"customer_id":7,"__op":"c"}"#;
    let wanted = |required: bool| [("custmer_id", DataType::Int64, !required)];
    let unread = "note: column customer_id: a number, not read by the plugin";
    assert_eq!(
        said(Format::Flat, &wanted(false), message),
        ["risk: column custmer_id: not in the 1 newest messages: null in each row; did you mean customer_id?", unread]
    );
    assert_eq!(
        said(Format::Flat, &wanted(true), message),
        [
            "wrong: column custmer_id: not in the 1 newest messages: each message is set aside, because the plugin \
             requires it; did you mean customer_id?",
            unread
        ]
    );
}

#[test]
fn the_other_wrapping_is_all_that_is_said() {
    let said = said(Format::Envelope, &[("id", DataType::Int64, false)], r#"{"id":7}"#);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("wrong: the messages are flat rows, the plugin reads envelopes"), "{}", said[0]);
}

#[test]
fn a_default_that_may_stand_for_a_null_is_named_unless_a_null_was_seen() {
    let message = |status: &str| {
        let default = r#""optional":true,"default":"new""#;
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"field":"id","type":"int32"}},
            {{"field":"status","type":"string",{default}}}]}},"payload":{{"id":1,"status":{status}}}}}"#
        )
    };
    let wanted = [("id", DataType::Int32, false), ("status", DataType::Utf8, true)];
    let found = said(Format::Flat, &wanted, &message("\"new\""));
    assert!(found.len() == 1 && found[0].starts_with("risk: status: NULL at the source may come as"), "{found:?}");
    assert_eq!(said(Format::Flat, &wanted, &message("null")), Vec::<String>::new());
}
