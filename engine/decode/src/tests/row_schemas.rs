//! What messages say of their rows, beside the rows.

use super::*;
use crate::source::RowSchema;

/// What these values say, a line for each description.
fn said(format: Format, values: &[&str]) -> Vec<String> {
    let mut decoder = decoder(&input(format, vec![optional("id", DataType::Int32)]));
    let values: Vec<_> = values.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    decode(&mut decoder, &messages(&values));
    let field = |field: &crate::source::SourceField| {
        let optional = if field.optional { "?" } else { "" };
        let default = if field.default_for_null { " default" } else { "" };
        format!("{} {}{optional}{default}", field.name, field.written)
    };
    let of = |row: Arc<RowSchema>| row.fields.iter().map(field).collect::<Vec<_>>().join(", ");
    decoder.row_schemas().into_iter().map(of).collect()
}

fn with_schema(fields: &str, row: &str) -> String {
    let image = |name: &str| format!(r#"{{"field":"{name}","type":"struct","optional":true,"fields":[{fields}]}}"#);
    let (before, after) = (image("before"), image("after"));
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{before},{after}]}},"payload":{{"before":null,"after":{row},"op":"c"}}}}"#
    )
}

#[test]
fn each_schema_is_said_once_in_the_order_of_messages() {
    let id = r#"{"field":"id","type":"int32","optional":false,"default":0}"#;
    let note = r#"{"field":"note","type":"string","optional":true,"default":"none"}"#;
    let one = with_schema(id, r#"{"id":1}"#);
    let two = with_schema(&format!("{id},{note}"), r#"{"id":1,"note":null}"#);
    assert_eq!(said(Format::Envelope, &[&one, &two, &one, &two]), ["id Int32", "id Int32, note Utf8? default"]);
}

#[test]
fn without_a_schema_the_keys_of_rows_say_what_there_is() {
    let envelope = |row: &str| format!(r#"{{"before":null,"after":{row},"source":{{"ts_ms":1}},"op":"c"}}"#);
    let [one, two] = [envelope(r#"{"id":1}"#), envelope(r#"{"id":2,"a longer \u006eame of a column":null}"#)];
    let keys = "id without a schema, a longer name of a column without a schema";
    assert_eq!(said(Format::Envelope, &[&one]), ["id without a schema"]);
    assert_eq!(said(Format::Envelope, &[&one, &two, &one]), [keys]);
    assert_eq!(said(Format::Flat, &[r#"{"id":1,"__op":"c"}"#]), ["id without a schema, __op without a schema"]);
    assert_eq!(said(Format::Envelope, &[&envelope("null")]), Vec::<String>::new());
}

#[test]
fn documents_say_nothing_as_each_has_fields_of_its_own() {
    let document = r#"{"before":null,"after":"{\"id\":1,\"x\":2}","source":{"ts_ms":1},"op":"c"}"#;
    assert_eq!(said(Format::Envelope, &[document]), Vec::<String>::new());
}
