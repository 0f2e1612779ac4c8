//! MongoDB: documents in strings, in each dialect of extended JSON.

use super::*;

fn columns() -> Vec<Field> {
    vec![
        required("_id", DataType::Utf8),
        optional("long", DataType::Int64),
        optional("double", DataType::Float64),
        optional("decimal", DataType::Decimal128(20, 3)),
        optional("date", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        optional("binary", DataType::Binary),
        optional("uuid", DataType::FixedSizeBinary(16)),
        optional("list", DataType::List(Arc::new(optional("item", DataType::Int64)))),
        json("nested"),
    ]
}

fn envelope(after: &str, rest: &str) -> String {
    format!(
        r#"{{"before":null,"after":{},"source":{{"connector":"mongodb","ts_ms":1}}{rest}}}"#,
        serde_json::Value::from(after)
    )
}

const ROW: &str = "c: 65f0 | 9007199254740993 | -1.5 | 12.500 | 253402300800000 | deadbeef00 \
                   | a0eebc999c0b4ef8bb6d6bb9bd380a11 | [1, null, 9007199254740993]";

#[test]
fn each_dialect_gives_the_same_row() {
    let uuid = "oO68mZwLTvi7bWu5vTgKEQ==";
    let strict = format!(
        r#"{{"_id":{{"$oid":"65f0"}},"long":{{"$numberLong":"9007199254740993"}},"double":-1.5,"decimal":{{"$numberDecimal":"12.50"}},
        "date":{{"$date":253402300800000}},"binary":{{"$binary":"3q2+7wA=","$type":"00"}},"uuid":{{"$binary":"{uuid}","$type":"04"}},
        "list":[1,null,{{"$numberLong":"9007199254740993"}}],"nested":{{"a":{{"$numberLong":"1"}}}}}}"#
    );
    let canonical = format!(
        r#"{{"_id":{{"$oid":"65f0"}},"long":{{"$numberLong":"9007199254740993"}},"double":{{"$numberDouble":"-1.5"}},
        "decimal":{{"$numberDecimal":"12.50"}},"date":{{"$date":{{"$numberLong":"253402300800000"}}}},
        "binary":{{"$binary":{{"base64":"3q2+7wA=","subType":"00"}}}},"uuid":{{"$binary":{{"base64":"{uuid}","subType":"04"}}}},
        "list":[{{"$numberInt":"1"}},null,{{"$numberLong":"9007199254740993"}}],"nested":{{"a":{{"$numberLong":"1"}}}}}}"#
    );
    let relaxed = r#"{"_id":{"$oid":"65f0"},"long":9007199254740993,"double":-1.5,"decimal":{"$numberDecimal":"12.50"},
        "date":{"$date":"+10000-01-01T00:00:00Z"},"binary":{"$binary":{"base64":"3q2+7wA=","subType":"00"}},
        "uuid":{"$uuid":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},"list":[1,null,9007199254740993],"nested":{"a":{"$numberLong":"1"}}}"#;
    for document in [strict.as_str(), &canonical, relaxed] {
        let found = outcome(&input(Format::Envelope, columns()), envelope(document, r#","op":"c""#).as_bytes());
        assert_eq!(found, format!("{ROW} | {{\"a\":{{\"$numberLong\":\"1\"}}}}"), "{document}");
    }
}

#[test]
fn what_has_no_other_type_is_refused_by_name() {
    let input = input(Format::Envelope, vec![required("_id", DataType::Int64), optional("x", DataType::Utf8)]);
    for (value, expected) in [
        (r#"{"$undefined":true}"#, "c: 1 | null"),
        (r#"{"$symbol":"s"}"#, "c: 1 | s"),
        (r#"{"$minKey":1}"#, "wrong_type x"),
        (r#"{"$regex":"a","$options":""}"#, "wrong_type x"),
        (r#"{"$timestamp":{"t":1,"i":2}}"#, "wrong_type x"),
        (r#"{"$numberLong":"1x"}"#, "invalid_value x"),
        (r#"{"$oid":"a","$oid":"b"}"#, "wrong_type x"),
        (r#"{"a":1}"#, "wrong_type x"),
    ] {
        let document = format!(r#"{{"_id":1,"x":{value}}}"#);
        assert_eq!(outcome(&input, envelope(&document, r#","op":"c""#).as_bytes()), expected, "{value}");
    }
    let deep = format!(r#"{{"_id":1,"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(outcome(&input, envelope(&deep, r#","op":"c""#).as_bytes()), "invalid_value x");
    assert_eq!(outcome(&input, envelope("{", r#","op":"c""#).as_bytes()), "invalid_json");
    assert_eq!(outcome(&input, envelope("1", r#","op":"c""#).as_bytes()), "wrong_type");
    assert_eq!(outcome(&input, envelope(r#"{"_id":1} x"#, r#","op":"c""#).as_bytes()), "invalid_json");
}

#[test]
fn an_id_of_any_type_is_json() {
    let input = input(Format::Envelope, vec![json("_id")]);
    let delete = r#"{"before":null,"after":null,"source":{"connector":"mongodb"},"op":"d"}"#;
    for id in
        [r#""a \"text\"""#, r#""12""#, "12", r#"{"$oid":"65f0"}"#, r#"{"$binary":"oO68","$type":"04"}"#, r#"{"a":1}"#]
    {
        let create = envelope(&format!(r#"{{"_id":{id}}}"#), r#","op":"c""#);
        assert_eq!(outcome(&input, create.as_bytes()), format!("c: {id}"));
        let key = serde_json::json!({ "id": id }).to_string();
        assert_eq!(outcome_with_key(&input, Some(key.as_bytes()), delete.as_bytes()), format!("d: {id}"));
    }
}

#[test]
fn an_update_without_its_document_and_a_delete_by_its_key() {
    let input = input(Format::Envelope, vec![required("_id", DataType::Utf8), optional("n", DataType::Int64)]);
    let update = r#"{"after":null,"updateDescription":{"removedFields":null,"updatedFields":"{\"n\": 1}","truncatedArrays":null},"source":{},"op":"u"}"#;
    assert_eq!(outcome(&input, update.as_bytes()), "partial_update");
    let delete = r#"{"before":null,"after":null,"updateDescription":null,"source":{"connector":"mongodb"},"op":"d"}"#;
    for (key, expected) in [
        (r#"{"id":"{\"$oid\": \"65f0\"}"}"#, "d: 65f0 | null"),
        (r#"{"id":"\"text\""}"#, "d: text | null"),
        (r#"{"id":"1"}"#, "wrong_type _id"),
        (r#"{"id":"{"}"#, "invalid_json _id"),
    ] {
        assert_eq!(outcome_with_key(&input, Some(key.as_bytes()), delete.as_bytes()), expected, "{key}");
    }
    let other = delete.replace("mongodb", "postgresql");
    let key = Some(&br#"{"id":"1"}"#[..]);
    assert_eq!(outcome_with_key(&input, key, other.as_bytes()), "d:  | null", "another table's key is no _id");
    let image = r#"{"before":"{\"_id\":{\"$oid\":\"65f0\"},\"n\":7}","after":null,"source":{},"op":"d"}"#;
    assert_eq!(outcome(&input, image.as_bytes()), "d: 65f0 | 7");
}
