//! The rest of a row: what no column reads, as one object.

use super::*;
use crate::policy::{Case, Policy};

fn with_rest(format: Format, columns: Vec<Field>) -> Input {
    let mut input = input(format, columns);
    input.columns.push(rest());
    input
}

fn id_and_rest(format: Format) -> Input {
    with_rest(format, vec![required("id", DataType::Int64)])
}

fn flat(value: &str) -> String {
    outcome(&id_and_rest(Format::Flat), value.as_bytes())
}

fn envelope(key: Option<&str>, value: &str) -> String {
    outcome_with_key(&id_and_rest(Format::Envelope), key.map(str::as_bytes), value.as_bytes())
}

#[test]
fn what_is_not_declared_goes_as_it_is_written() {
    assert_eq!(flat(r#"{"id":1}"#), "c: 1 | {}");
    assert_eq!(
        flat(
            r#"{ "n" : 12345678901234567890.10 , "id":1, "e":1E400, "\u00e4\n":" \u0000\"", "l":[1, {"a":[]}] ,"z":null}"#
        ),
        r#"c: 1 | {"n" :12345678901234567890.10,"e":1E400,"\u00e4\n":" \u0000\"","l":[1, {"a":[]}],"z":null}"#
    );
    assert_eq!(flat(&format!(r#"{{"id":1,"n":{}}}"#, "9".repeat(10_000))).len(), 10_013);
    assert_eq!(flat(r#"{"id":1,"__op":"u","__deleted":"false","__lsn":7}"#), r#"u: 1 | {"__lsn":7}"#);
    assert_eq!(flat(r#"{"id":1,"":2,"*":3}"#), r#"c: 1 | {"":2,"*":3}"#);
}

#[test]
fn each_kind_of_change_has_its_rest() {
    let op = |op: &str, before: &str, after: &str| format!(r#"{{"before":{before},"after":{after},"op":"{op}"}}"#);
    assert_eq!(envelope(None, &op("c", "null", r#"{"id":1,"a":"x"}"#)), r#"c: 1 | {"a":"x"}"#);
    assert_eq!(envelope(None, &op("u", r#"{"id":1,"a":"x"}"#, r#"{"b":2,"id":1}"#)), r#"u: 1 | {"b":2}"#);
    assert_eq!(envelope(None, &op("d", r#"{"id":1,"a":"x"}"#, "null")), r#"d: 1 | {"a":"x"}"#);
    // Of a delete by its key alone, the rest is what else the key has.
    assert_eq!(envelope(Some(r#"{"id":1,"day":7}"#), &op("d", "null", "null")), r#"d: 1 | {"day":7}"#);
    assert_eq!(envelope(Some(r#"{"id":1,"day":7}"#), &op("d", r#"{"day":8}"#, "null")), r#"d: 1 | {"day":8}"#);
    let mut tombstones = id_and_rest(Format::Flat);
    tombstones.tombstone = Tombstone::Delete;
    let decoded = decode(&mut decoder(&tombstones), &messages(&[(Some(br#"{"id":1,"day":7}"#), None)]));
    assert_eq!(outcomes(&decoded), [r#"d: 1 | {"day":7}"#]);
}

#[test]
fn the_row_before_has_a_rest_of_its_own() {
    let mut input = id_and_rest(Format::Envelope);
    let before = |name: &str, field: Field| InputColumn {
        field: Arc::new(field),
        source: Source::Before(name.to_owned()),
        ..rest()
    };
    input.columns.push(before(REST, json("before.*")));
    input.columns.push(before("a", optional("before.a", DataType::Utf8)));
    let value = r#"{"before":{"id":1,"a":"x","b":0.10},"after":{"id":1,"a":"y","b":0.20},"op":"u"}"#;
    assert_eq!(outcome(&input, value.as_bytes()), r#"u: 1 | {"a":"y","b":0.20} | {"id":1,"b":0.10} | x"#);
    let value = r#"{"before":null,"after":{"id":1},"op":"c"}"#;
    assert_eq!(outcome(&input, value.as_bytes()), "c: 1 | {} | null | null");
}

#[test]
fn what_would_be_no_object_is_refused() {
    assert_eq!(flat(r#"{"id":1,"a":1,"a":1}"#), "duplicate_key *");
    assert_eq!(flat(r#"{"a":1,"id":1,"b":2,"\u0061":1}"#), "duplicate_key *");
    assert_eq!(flat(r#"{"id":1,"a":[1,}}"#), "invalid_value *");
    assert_eq!(flat(r#"{"id":1,"a":{"b":01}}"#), "invalid_value *");
    assert_eq!(flat(r#"{"id":1,"a":"\x"}"#), "invalid_value *");
    let deep = |levels: usize| format!(r#"{{"id":1,"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(flat(&deep(127)).starts_with("c: 1 | "));
    assert_eq!(flat(&deep(128)), "invalid_value *");
    assert_eq!(flat(&deep(100_000)), "invalid_value *");
}

/// GIVEN keys that are known to differ, WHEN a message repeats one of them, THEN it is refused all the same.
#[test]
fn what_is_remembered_of_keys_makes_no_difference() {
    let mut decoder = decoder(&id_and_rest(Format::Flat));
    let values = [
        r#"{"id":1,"a":1,"b":2}"#,
        r#"{"id":2,"a":1,"b":2}"#,
        r#"{"id":3,"a":1,"b":2,"a":3}"#,
        r#"{"id":4,"a":1,"b":2,"c":3}"#,
        r#"{"id":5,"b":1,"a":2}"#,
        r#"{"id":6,"b":1,"b":2}"#,
        r#"{"id":7,"b":1}"#,
    ];
    let all = messages(&values.map(|value| (None, Some(value.as_bytes()))));
    for _ in 0..2 {
        assert_eq!(
            outcomes(&decode(&mut decoder, &all)),
            [
                r#"c: 1 | {"a":1,"b":2}"#,
                r#"c: 2 | {"a":1,"b":2}"#,
                "duplicate_key *",
                r#"c: 4 | {"a":1,"b":2,"c":3}"#,
                r#"c: 5 | {"b":1,"a":2}"#,
                "duplicate_key *",
                r#"c: 7 | {"b":1}"#,
            ]
        );
    }
}

/// A decimal's scale is in the schema alone.
#[test]
fn decimals_have_the_scale_of_their_schema() {
    let decimal = |scale: &str| {
        format!(r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"}}"#)
    };
    let schema = format!(
        r#"{{"type":"struct","fields":[{{"field":"id","type":"int64"}},{{"field":"price",{}}},{{"field":"huge",{}}},
        {{"field":"list","type":"array","items":{{{}}}}},{{"field":"raw","type":"bytes"}},{{"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"}}]}}"#,
        decimal("2"),
        decimal("-3"),
        decimal("1"),
    );
    let row = |payload: &str| flat(&format!(r#"{{"schema":{schema},"payload":{payload}}}"#));
    assert_eq!(
        row(r#"{"id":1,"price":"BOI=","huge":"AQ==","list":["AQ==",null,"/w=="],"raw":"BOI=","at":-1,"new":"BOI="}"#),
        r#"c: 1 | {"price":"12.50","huge":"1000","list":["0.1",null,"-0.1"],"raw":"BOI=","at":-1,"new":"BOI="}"#
    );
    assert_eq!(row(r#"{"id":1,"price":null,"huge":7.5}"#), r#"c: 1 | {"price":null,"huge":7.5}"#);
    assert_eq!(row(r#"{"id":1,"price":"?"}"#), "invalid_value *");
}

/// A thousand places for four letters, in a list without end, is more than a message may ask for.
#[test]
fn decimals_out_of_proportion_to_their_text_are_refused() {
    let schema = r#"{"type":"struct","fields":[{"field":"list","type":"array","items":{"type":"bytes",
        "name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1000"}}}]}"#;
    let list = |count: usize| {
        let list = vec![r#""AQ==""#; count].join(",");
        flat(&format!(r#"{{"schema":{schema},"payload":{{"id":1,"list":[{list}]}}}}"#))
    };
    assert!(list(10).starts_with("c: 1 | "));
    assert_eq!(list(1_000_000), "too_large *");
}

#[test]
fn a_value_that_was_not_in_the_log_is_refused_left_out_or_kept() {
    let values = [
        r#""__debezium_unavailable_value""#,
        r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
        r#"["__debezium_unavailable_value"]"#,
        r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
        "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
        r#""b68a35a7-17ad-35b3-af2a-ae46edb4545a""#,
    ];
    for value in values {
        let row = format!(r#"{{"id":1,"a":{value},"b":2}}"#);
        assert_eq!(flat(&row), "unavailable *");
        let mut input = id_and_rest(Format::Flat);
        // Whether the column may be null makes no difference: what is missing is a field of it.
        input.columns[1].field = Arc::new(Field::clone(&input.columns[1].field).with_nullable(false));
        let mut with = |policy| {
            input.columns[1].reading.policies.insert(Case::Unavailable, policy);
            outcome(&input, row.as_bytes())
        };
        assert_eq!(with(Policy::Null), r#"c: 1 | {"b":2}"#);
        assert_eq!(with(Policy::Keep), format!(r#"c: 1 | {{"a":{value},"b":2}}"#));
    }
}

#[test]
fn two_schemas_in_one_batch_have_each_its_rest() {
    let schema = |fields: &str| {
        format!(
            r#"{{"type":"struct","fields":[{{"field":"after","type":"struct","fields":[{{"field":"id","type":"int64"}}{fields}]}}]}}"#
        )
    };
    let wrapped = |fields: &str, after: &str| {
        format!(r#"{{"schema":{},"payload":{{"after":{after},"op":"c"}}}}"#, schema(fields))
    };
    let decimal =
        r#",{"field":"n","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#;
    let values = [
        wrapped("", r#"{"id":1}"#),
        wrapped(decimal, r#"{"id":2,"n":"BOI="}"#),
        wrapped("", r#"{"id":3}"#),
        wrapped(r#",{"field":"n","type":"string"}"#, r#"{"id":4,"n":"BOI="}"#),
        wrapped(decimal, r#"{"id":5,"n":"BOI="}"#),
    ];
    let all: Vec<_> = values.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    let decoded = decode(&mut decoder(&id_and_rest(Format::Envelope)), &messages(&all));
    let rests = ["1 | {}", r#"2 | {"n":"12.50"}"#, "3 | {}", r#"4 | {"n":"BOI="}"#, r#"5 | {"n":"12.50"}"#];
    assert_eq!(outcomes(&decoded), rests.map(|rest| format!("c: {rest}")));
}

#[test]
fn documents_keep_their_dialect() {
    let input = with_rest(Format::Envelope, vec![json("_id")]);
    let value = r#"{"after":"{\"_id\":{\"$oid\":\"65a1\"},\"n\":{\"$numberLong\":\"9007199254740993\"},\"t\":\"x\"}","source":{"connector":"mongodb"},"op":"c"}"#;
    assert_eq!(
        outcome(&input, value.as_bytes()),
        r#"c: {"$oid":"65a1"} | {"n":{"$numberLong":"9007199254740993"},"t":"x"}"#
    );
    let delete = br#"{"before":null,"after":null,"source":{"connector":"mongodb"},"op":"d"}"#;
    let mut input = input;
    input.columns[1].field = Arc::new(Field::clone(&input.columns[1].field).with_nullable(false));
    assert_eq!(
        outcome_with_key(&input, Some(br#"{"id":"{\"$oid\":\"65a1\"}"}"#), delete),
        r#"d: {"$oid":"65a1"} | {}"#
    );
}

#[test]
fn a_rest_that_can_not_be_is_named() {
    let mut input = id_and_rest(Format::Flat);
    input.columns.push(InputColumn { field: Arc::new(optional("text", DataType::Utf8)), ..rest() });
    let error = Decoder::new(&input, &partition(), 1).unwrap_err();
    assert_eq!(
        error.problems,
        [
            "column * is the rest of the row, and not the only one",
            "column text is the rest of the row, an object: declare it as Json"
        ]
    );
}
