#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::*;
use crate::avro::{Registered, Schema};
use crate::message::OwnedMessage;

fn column(path: &str) -> Look {
    Look::new(&SelectBy::Column(path.to_owned()))
}

fn message(key: Option<&[u8]>, value: Option<&[u8]>) -> OwnedMessage {
    OwnedMessage::new(0, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec))
}

/// What a look finds, in a word.
fn seen(look: &mut Look, message: &OwnedMessage) -> String {
    match look.at(message) {
        Seen::Value(value) => format!("= {}", String::from_utf8_lossy(value)),
        Seen::Nothing(reason) => match reason.split(' ').next() {
            Some("neither") => "no column".to_owned(),
            _ => "not read".to_owned(),
        },
        Seen::NoRow(no_op) => no_op.as_str().to_owned(),
    }
}

/// Of a value with and without Connect's wrapper: what is found is the same, also when the wrapper was seen before.
fn of(path: &str, key: Option<&str>, value: &str) -> String {
    let key = key.map(str::as_bytes);
    let bare = seen(&mut column(path), &message(key, Some(value.as_bytes())));
    let wrapped = format!(r#"{{"schema":{{"type":"struct","name":"a.\"Envelope"}},"payload":{value}}}"#);
    let behind = format!(r#"{{"payload":{value},"schema":{{}}}}"#);
    if serde_json::from_str::<serde_json::Value>(value).is_ok() {
        let mut look = column(path);
        for value in [&wrapped, &wrapped, &behind] {
            assert_eq!(seen(&mut look, &message(key, Some(value.as_bytes()))), bare, "{value}");
        }
    }
    bare
}

#[test]
fn a_row_is_after_else_before_else_the_key() {
    let a = r#"{"id":1,"tenant":"a"}"#;
    let b = r#"{"id":1,"tenant":"b"}"#;
    let key = Some(r#"{"id":1,"tenant":"k"}"#);
    let envelope = |before: &str, after: &str, op: &str| {
        format!(r#"{{"before":{before},"after":{after},"source":{{"tenant":"s"}},"op":"{op}","ts_ms":1}}"#)
    };
    assert_eq!(of("tenant", key, &envelope("null", a, "c")), "= a");
    assert_eq!(of("tenant", key, &envelope(b, a, "u")), "= a", "a row that moved is its new tenant's");
    assert_eq!(of("tenant", key, &envelope(b, "null", "d")), "= b");
    assert_eq!(of("tenant", key, &envelope("null", "null", "d")), "= k");
    assert_eq!(of("tenant", None, &envelope("null", "null", "d")), "no column");
    assert_eq!(of("tenant", key, &envelope(r#"{"id":1,"tenant":null}"#, "null", "d")), "= k");
    assert_eq!(of("tenant", None, &envelope(b, r#"{"id":1,"tenant":null}"#, "u")), "no column", "the row is after");
    assert_eq!(of("tenant", None, &envelope("null", "null", "t")), "truncate");
    assert_eq!(of("tenant", None, &envelope("null", "null", "m")), "logical_message");
    assert_eq!(of("tenant", None, a), "= a", "flat");
    assert_eq!(of("tenant", key, r#"{"id":1}"#), "= k");
    assert_eq!(of("tenant", Some("plain text"), r#"{"id":1}"#), "no column");
    assert_eq!(of("tenant", None, r#"{"op":"u","after":{"id":1,"tenant":"z"}}"#), "= z", "whatever the order");
}

#[test]
fn names_of_an_envelope_are_columns_of_flat_rows() {
    assert_eq!(of("source", None, r#"{"id":1,"source":"web","op":"x"}"#), "= web");
    assert_eq!(of("op", None, r#"{"id":1,"op":"x"}"#), "= x");
    let envelope = r#"{"before":null,"after":{"id":1},"source":"web","op":"c"}"#;
    assert_eq!(of("source", None, envelope), "no column");
}

#[test]
fn messages_without_a_row_are_told_by_their_key_or_are_nobodys() {
    let tombstone = |key: Option<&str>| seen(&mut column("tenant"), &message(key.map(str::as_bytes), None));
    assert_eq!(tombstone(None), "tombstone");
    assert_eq!(tombstone(Some(r#"{"id":1}"#)), "tombstone");
    assert_eq!(tombstone(Some(r#"{"schema":{},"payload":{"tenant":"a"}}"#)), "= a");
    assert_eq!(of("tenant", None, "null"), "tombstone");
    assert_eq!(of("tenant", None, r#"{"ts_ms":1}"#), "heartbeat");
    assert_eq!(of("tenant", None, r#"{"status":"BEGIN","id":"5","event_count":null,"ts_ms":1}"#), "transaction");
    assert_eq!(of("tenant", None, r#"{"source":{},"ddl":"x","tableChanges":[]}"#), "schema_change");
}

#[test]
fn scalars_are_compared_as_they_are_written() {
    for (value, expected) in [
        ("7", "= 7"),
        ("\"7\"", "= 7"),
        ("7.0", "= 7.0"),
        ("-1e3", "= -1e3"),
        ("true", "= true"),
        (r#""\u00e4\/\"""#, "= ä/\""),
        ("\"\"", "= "),
        ("null", "no column"),
        ("[\"a\"]", "no column"),
        ("{\"a\":\"a\"}", "no column"),
        (r#"{"$oid":"5f"}"#, "= 5f"),
        (r#"{"$numberLong":"7"}"#, "= 7"),
        (r#"{"$date":{"$numberLong":"7"}}"#, "no column"),
        (r#"{"$oid":"5f","x":1}"#, "no column"),
    ] {
        assert_eq!(of("t", None, &format!(r#"{{"x":[{{"t":1}}],"t":{value},"z":1}}"#)), expected, "{value}");
    }
}

#[test]
fn paths_lead_into_objects_and_names_may_hold_dots() {
    assert_eq!(of("customer.tenant", None, r#"{"customer":{"id":1,"tenant":"a"}}"#), "= a");
    assert_eq!(of("customer.tenant", None, r#"{"customer.tenant":"a"}"#), "= a");
    assert_eq!(of("customer.tenant", None, r#"{"customer":"x","customer.tenant":"a"}"#), "= a");
    assert_eq!(of("customer.tenant", None, r#"{"after":{"customer":{"tenant":7}},"op":"c"}"#), "= 7");
    assert_eq!(of("customer.tenant", None, r#"{"tenant":"a","customers":{"tenant":"b"}}"#), "no column");
    assert_eq!(of("tenant", None, r#"{"tenant":null,"tenant":"b","tenant":"c"}"#), "= b");
}

#[test]
fn documents_of_mongodb_are_texts() {
    let envelope = r#"{"before":null,"after":"{\"_id\": {\"$oid\": \"5f\"},\"tenant\": \"a\\u0062\"}","op":"c"}"#;
    assert_eq!(of("tenant", None, envelope), "= ab");
    assert_eq!(of("_id", None, envelope), "= 5f");
}

#[test]
fn what_is_no_json_is_not_read_and_what_is_behind_the_value_does_not_matter() {
    for value in ["", " ", "x", "7", "[]", "{", r#"{"a":}"#, r#"{"after":{"t":"#, r#"{"t":"\ud800"}"#, "\u{0}"] {
        assert_eq!(of("t", None, value), "not read", "{value}");
    }
    assert_eq!(of("t", None, r#"{"after":{"t":1},"#), "= 1", "the decoder refuses the rest");
}

#[test]
fn headers_are_compared_as_bytes() {
    let mut look = Look::new(&SelectBy::Header("tenant".to_owned()));
    let with = |value: Option<&[u8]>, body: Option<&[u8]>| OwnedMessage {
        headers: vec![("tenant".to_owned(), value.map(<[u8]>::to_vec))],
        ..message(None, body)
    };
    assert_eq!(look.at(&with(Some(b"\xff"), None)), Seen::Value(b"\xff"));
    assert_eq!(look.at(&with(Some(b"a"), Some(b"no json"))), Seen::Value(b"a"));
    assert_eq!(look.at(&with(None, Some(b"{\"id\":1}"))), NO_HEADER);
    assert_eq!(look.at(&message(None, Some(b"no json"))), NO_HEADER);
    assert_eq!(look.at(&message(None, None)), Seen::NoRow(NoOp::Tombstone));
    assert_eq!(look.at(&message(None, Some(b"{\"ts_ms\":1}"))), Seen::NoRow(NoOp::Heartbeat));
}

#[test]
fn avro_is_found_as_its_json_would_be() {
    let row = r#"{"type":"record","name":"Value","fields":[
        {"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null},
        {"name":"tenant","type":["null","string"],"default":null},{"name":"number","type":"int"}]}"#;
    let envelope = format!(
        r#"{{"type":"record","name":"Envelope","fields":[{{"name":"before","type":["null",{row}],"default":null}},
        {{"name":"after","type":["null","Value"],"default":null}},
        {{"name":"source","type":{{"type":"record","name":"Source","fields":[{{"name":"db","type":"string"}}]}}}},
        {{"name":"op","type":"string"}}]}}"#
    );
    let heartbeat = r#"{"type":"record","name":"H","fields":[{"name":"ts_ms","type":"long"}]}"#;
    let schemas =
        [row, &envelope, heartbeat].map(|text| Registered::Schema(Arc::new(Schema::parse(text, &[]).unwrap())));
    let registry: Arc<Registry> = Arc::new((1..).zip(schemas).collect::<BTreeMap<_, _>>());
    let framed = |id: u32, datum: &[u8]| [&[0], &id.to_be_bytes()[..], datum].concat();
    let a: &[u8] = &[2, 0, 2, 2, b'a', 14]; // 1, null, "a", 7
    let image = |row: Option<&[u8]>| row.map_or(vec![0], |row| [&[2], row].concat());
    let change = |before: Option<&[u8]>, after: Option<&[u8]>, op: u8| {
        framed(2, &[image(before), image(after), vec![2, b'd', 2, op]].concat())
    };
    let find = |path: &str, key: Option<&[u8]>, value: &[u8]| {
        let mut look = column(path);
        look.set_registry(&registry);
        seen(&mut look, &message(key, Some(value)))
    };
    let key = framed(1, a);
    assert_eq!(find("tenant", None, &change(None, Some(a), b'c')), "= a");
    assert_eq!(find("number", None, &change(None, Some(a), b'c')), "= 7");
    assert_eq!(find("tenant", None, &change(Some(a), None, b'd')), "= a");
    assert_eq!(find("tenant", Some(&key), &change(None, None, b'd')), "= a");
    assert_eq!(find("note", None, &change(None, Some(a), b'c')), "no column");
    assert_eq!(find("tenant", None, &change(None, None, b't')), "truncate");
    assert_eq!(find("tenant", None, &key), "= a", "a flat row");
    assert_eq!(find("tenant", None, &framed(3, &[2])), "heartbeat");
    assert_eq!(find("tenant", None, &framed(9, a)), "not read", "the registry has no such schema");
    assert_eq!(find("tenant", None, &framed(2, &[0])), "not read");
    assert_eq!(find("tenant", None, &[0, 1]), "not read");
}
