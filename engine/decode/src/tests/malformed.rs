//! Whatever arrives, a message is refused: no panic, no hang, no overflow of the stack.

use std::fmt::Write as _;

use super::*;

fn everything() -> Vec<Field> {
    vec![
        required("id", DataType::Int64),
        optional("name", DataType::Utf8),
        optional("price", DataType::Decimal128(10, 2)),
        optional("at", MICROS),
        json("extra"),
        optional("weight", DataType::Float64),
    ]
}

fn flat(value: &str) -> String {
    outcome(&input(Format::Flat, everything()), value.as_bytes())
}

fn envelope(value: &str) -> String {
    outcome(&input(Format::Envelope, everything()), value.as_bytes())
}

#[test]
fn text_that_is_no_json_is_refused() {
    let cases = [
        "",
        " ",
        "{",
        "}",
        "nul",
        "{]",
        "{\"id\":1",
        "{\"id\":1,}",
        "{\"id\" 1}",
        "{id:1}",
        "{\"id\":1}x",
        "{\"id\":01}",
        "{\"id\":1 2}",
        "{\"id\":1}{\"id\":2}",
        "{\"name\":\"a}",
        "{\"id\":1,\"name\":\"a\nb\"}",
        "{\"id\":+1}",
        "{\"id\":1,\"name\":\"\\x\"}",
        "{\"id\":1,\"name\":\"\\ud83d\"}",
        "{\"id\":1,\"name\":\"\\ude80\\ud83d\"}",
        "{\"id\":1,\"name\":\"\\u12\"}",
        "{\"id\":1,\"other\":tru}",
        "{\"id\":1,\"other\":}",
        "{\"id\":1.}",
        "{\"id\":-}",
    ];
    for case in cases {
        let outcome = flat(case);
        let refused =
            ["invalid_json", "wrong_type id", "wrong_format"].contains(&outcome.split(" name").next().unwrap());
        assert!(refused, "{case:?} became {outcome}");
    }
    assert_eq!(flat("17"), "wrong_format");
    assert_eq!(flat("[{}]"), "wrong_format");
    let mut invalid = b"{\"id\":1,\"other\":\"".to_vec();
    invalid.extend_from_slice(b"\xff\"}");
    assert_eq!(outcome(&input(Format::Flat, everything()), &invalid), "invalid_utf8");
}

#[test]
fn every_prefix_of_a_message_is_refused() {
    let row =
        r#"{"id":7,"name":"a\"\\é🚀","price":"BOI=","extra":{"a":[1,"}"]},"skipped":[{"x":"]"}],"at":1,"weight":1.5}"#;
    let whole = format!(r#"{{"before":{row},"after":{row},"source":{{"ts_ms":5,"x":[]}},"op":"u","ts_ms":1}}"#);
    let schema = r#"{"type":"struct","fields":[],"optional":false}"#;
    for (format, whole) in [
        (Format::Flat, row.to_owned()),
        (Format::Envelope, whole.clone()),
        (Format::Envelope, format!(r#"{{"schema":{schema},"payload":{whole}}}"#)),
        (Format::Envelope, format!(r#"{{"payload":{whole},"schema":{schema}}}"#)),
    ] {
        let mut decoder = decoder(&input(format, everything()));
        let all = messages(&[(None, Some(whole.as_bytes()))]);
        assert_eq!(decode(&mut decoder, &all).rows.num_rows(), 1, "{whole}");
        for end in 0..whole.len() {
            let prefix = messages(&[(None, Some(&whole.as_bytes()[..end]))]);
            let decoded = decode(&mut decoder, &prefix);
            assert_eq!(decoded.rejects.len(), 1, "{}", &whole[..end.min(whole.floor_char_boundary(end))]);
        }
    }
}

#[test]
fn what_is_huge_is_read_or_refused_in_time() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(flat(&format!("{{\"id\":1,\"extra\":{deep}}}")), "invalid_value extra");
    assert_eq!(flat(&deep), "wrong_format");
    assert_eq!(flat(&"[".repeat(100_000)), "wrong_format");
    assert_eq!(flat(&"{\"id\":".repeat(100_000)), "invalid_json");
    assert_eq!(envelope(&"{\"after\":".repeat(100_000)), "invalid_json");
    assert_eq!(envelope(&format!("{{\"schema\":{deep},\"payload\":null}}")), "wrong_format");
    let nested = format!("{}null{}", "{\"type\":\"struct\",\"fields\":[".repeat(50_000), "]}".repeat(50_000));
    assert_eq!(envelope(&format!("{{\"schema\":{nested},\"payload\":null}}")), "invalid_schema");
    let digits = "9".repeat(10_000);
    assert_eq!(flat(&format!("{{\"id\":{digits}}}")), "out_of_range id");
    assert_eq!(flat(&format!("{{\"id\":1,\"price\":{digits}}}")), "out_of_range price");
    assert_eq!(flat(&format!("{{\"id\":1,\"price\":0.{digits}}}")), "out_of_range price");
    assert_eq!(flat(&format!("{{\"id\":1,\"price\":1e-{digits}}}")), "inexact price");
    assert_eq!(flat(&format!("{{\"id\":1,\"price\":0e{digits}}}")), "c: 1 | null | 0.00 | null | null | null");
    assert_eq!(flat(&format!("{{\"id\":1,\"weight\":{digits}}}")), "out_of_range weight");
    assert_eq!(
        flat(&format!("{{\"id\":1,\"price\":\"{}\"}}", "/".repeat(40_000))),
        "c: 1 | null | -0.01 | null | null | null"
    );
}

#[test]
fn a_string_of_100_mb_is_a_value_like_others() {
    let long = "x".repeat(100_000_000);
    let outcome = flat(&format!("{{\"id\":1,\"name\":\"{long}\"}}"));
    assert_eq!(outcome.len(), long.len() + "c: 1 |  | null | null | null | null".len());
}

/// 100 MB that are no message are refused as a hundred bytes are.
#[test]
fn what_is_wrong_is_refused_at_100_mb_as_well() {
    let long = |unit: &str| unit.repeat(100_000_000 / unit.len());
    let wide = |unit: &str| unit.repeat(5_000_000 / unit.len());
    assert_eq!(flat(&long("[")), "wrong_format");
    assert_eq!(flat(&format!("{{\"id\":1,\"name\":\"{}", long("x"))), "invalid_json");
    assert_eq!(flat(&format!("{{\"id\":1,\"x\":{}", wide("[1,"))), "invalid_json");
    assert_eq!(flat(&format!("{{\"id\":{}}}", long("9"))), "out_of_range id");
    assert_eq!(flat(&format!("{{\"id\":1}}{}", long("{"))), "invalid_json");
    assert_eq!(flat(&format!("{{\"id\":1,\"name\":\"\",{}\"name\":1}}", wide("\"x\":1,"))), "duplicate_key name");
    assert_eq!(flat(&format!("{{\"id\":1,\"extra\":{}1{}}}", wide("["), wide("]"))), "invalid_value extra");
    let mut invalid = format!("{{\"id\":1,\"x\":\"{}\"}}", long("x")).into_bytes();
    invalid[99_000_000] = 0xff;
    assert_eq!(outcome(&input(Format::Flat, everything()), &invalid), "invalid_utf8");
}

/// `0,` is a decimal of 32 bytes: without a bound 100 MB of it would be 1.6 GB, and any number of places one object.
#[test]
fn lists_out_of_proportion_to_their_text_are_refused() {
    let list = |element: DataType| DataType::List(Arc::new(optional("item", element)));
    let decimals = input(Format::Flat, vec![optional("a", list(DataType::Decimal256(76, 2)))]);
    let zeros = |count: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(count));
    assert_eq!(outcome(&decimals, zeros(20_000_000).as_bytes()), "too_large a");
    assert!(outcome(&decimals, zeros(100_000).as_bytes()).starts_with("c: [0.00, "));
    let floats = input(Format::Flat, vec![optional("a", list(DataType::Float64))]);
    let sparse = |dimensions: &str| format!(r#"{{"a":{{"dimensions":{dimensions},"vector":[[2,1.5]]}}}}"#);
    assert_eq!(outcome(&floats, sparse("3").as_bytes()), "c: [0, 1.5, 0]");
    assert_eq!(outcome(&floats, sparse("1").as_bytes()), "invalid_value a");
    assert_eq!(outcome(&floats, sparse("-1").as_bytes()), "invalid_value a");
    assert_eq!(outcome(&floats, sparse("9223372036854775807").as_bytes()), "too_large a");
}

#[test]
fn a_schema_without_end_is_refused() {
    let fields = r#"{"type":""},"#.repeat(1_000_000);
    let message = format!(r#"{{"schema":{{"type":"struct","fields":[{fields}{{"type":""}}]}},"payload":{{"id":1}}}}"#);
    assert_eq!(flat(&message), "too_large");
}

#[test]
fn many_keys_do_not_fill_the_memory() {
    let mut decoder = decoder(&input(Format::Flat, everything()));
    for round in 0..5 {
        let mut wide = String::from("{\"id\":1");
        for key in 0..5000 {
            write!(wide, ",\"k{round}_{key}\":{key}").unwrap();
        }
        wide.push('}');
        assert_eq!(decode(&mut decoder, &messages(&[(None, Some(wide.as_bytes()))])).rows.num_rows(), 1);
    }
}

#[test]
fn a_key_that_counts_may_not_occur_twice() {
    assert_eq!(flat(r#"{"id":1,"id":1}"#), "duplicate_key id");
    assert_eq!(flat(r#"{"id":1,"id":null}"#), "duplicate_key id");
    assert_eq!(flat(r#"{"name":null,"id":1,"\u006eame":"x"}"#), "duplicate_key name");
    assert_eq!(flat(r#"{"id":1,"x":1,"x":2}"#), "c: 1 | null | null | null | null | null");
    assert_eq!(flat(r#"{"id":1,"__op":"u","__op":"d"}"#), "duplicate_key");
    assert_eq!(envelope(r#"{"after":{"id":1},"after":{"id":2},"op":"c"}"#), "duplicate_key");
    assert_eq!(envelope(r#"{"after":{"id":1},"op":"c","op":"d"}"#), "duplicate_key");
}

#[test]
fn a_refused_row_leaves_no_trace_in_its_neighbours() {
    let mut decoder = decoder(&input(Format::Flat, everything()));
    let good = |id: i64| format!(r#"{{"id":{id},"name":"n{id}","price":"BOI=","extra":[1],"at":5,"weight":1}}"#);
    let bad = r#"{"id":2,"name":"lost","price":"BOI=","extra":[2],"at":"never","weight":2}"#;
    let (first, last) = (good(1), good(3));
    let all = [first.as_str(), bad, "{", "", last.as_str(), bad].map(|value| (None, Some(value.as_bytes())));
    let outcomes = outcomes(&decode(&mut decoder, &messages(&all)));
    assert_eq!(
        outcomes,
        [
            "c: 1 | n1 | 12.50 | 5 | [1] | 1",
            "invalid_value at",
            "invalid_json",
            "invalid_json",
            "c: 3 | n3 | 12.50 | 5 | [1] | 1",
            "invalid_value at",
        ]
    );
}

#[test]
fn reasons_name_the_column_and_never_the_value() {
    let secret = r#"{"id":1,"price":"S3cr3tS3cr3t","name":"x"}"#;
    let decoded =
        decode(&mut decoder(&input(Format::Flat, everything())), &messages(&[(None, Some(secret.as_bytes()))]));
    let reject = &decoded.rejects[0];
    assert_eq!(reject.column.as_deref(), Some("price"));
    assert!(reject.reason.contains("price (Decimal128(10, 2))"), "{}", reject.reason);
    assert!(!reject.reason.contains("S3cr3t"));
}
