//! Policies: each case with each of them, and what makes no sense is said at load.

use super::*;
use crate::policy::{Case, Encoding, Policy};

/// What becomes of one value of a column, as a word: its cell, or the reject's code.
fn read(field: Field, policies: &[(Case, Policy)], json: &str) -> String {
    let mut input = input(Format::Flat, vec![required("id", DataType::Int64), field]);
    input.columns[1].required = false;
    input.columns[1].reading.policies = policies.iter().copied().collect();
    let outcome = outcome(&input, format!(r#"{{"id":1,"c":{json}}}"#).as_bytes());
    outcome.trim_start_matches("c: 1 | ").to_owned()
}

#[test]
fn infinities_are_refused_or_null_or_the_nearest_value() {
    let (date, time) = (optional("c", DataType::Date32), optional("c", MICROS));
    for (field, json, clamped) in [
        (&date, "-622191234", "120529"),
        (&date, "2146033979", "120529"),
        (&date, "-625821272", "-25567"),
        (&date, "-2147472691", "-25567"),
        (&date, r#""+5877611-06-21Z""#, "120529"),
        (&date, r#""-5877611-06-22Z""#, "-25567"),
        (&date, r#"{"year":null,"month":null,"day":null,"specialValue":"POSITIVE_INFINITY"}"#, "120529"),
        (&time, "9223372036825200000", "10413791999999999"),
        (&time, "-9223372036832400000", "-2208988800000000"),
        (&time, r#""infinity""#, "10413791999999999"),
        (&time, r#""-292275055-05-16T23:00:00Z""#, "-2208988800000000"),
    ] {
        assert_eq!(read(field.clone(), &[], json), "infinity c", "{json}");
        assert_eq!(read(field.clone(), &[(Case::Infinity, Policy::Null)], json), "null", "{json}");
        assert_eq!(read(field.clone(), &[(Case::Infinity, Policy::Clamp)], json), clamped, "{json}");
    }
    // As little as infinity, a year beyond ClickHouse's is taken for another one unasked.
    assert_eq!(read(date.clone(), &[], "200000"), "200000");
    assert_eq!(read(date.clone(), &[(Case::OutOfRange, Policy::Clamp)], "200000"), "120529");
    assert_eq!(read(date, &[(Case::OutOfRange, Policy::Null)], "-200000"), "null");
    assert_eq!(read(time, &[(Case::OutOfRange, Policy::Clamp)], "-9000000000000000"), "-2208988800000000");
    let nanos = optional("c", DataType::Timestamp(TimeUnit::Nanosecond, None));
    assert_eq!(read(nanos, &[(Case::Infinity, Policy::Clamp)], r#""infinity""#), i64::MAX.to_string());
}

#[test]
fn what_is_no_number_is_kept_or_refused_or_null() {
    let (float, decimal) = (optional("c", DataType::Float64), optional("c", DataType::Decimal128(9, 2)));
    assert_eq!(read(float.clone(), &[], "\"NaN\""), "NaN");
    assert_eq!(read(float.clone(), &[(Case::Nan, Policy::Reject)], "\"NaN\""), "nan c");
    assert_eq!(read(float, &[(Case::Nan, Policy::Null)], "\"-Infinity\""), "null");
    assert_eq!(read(decimal.clone(), &[], "\"NAN\""), "nan c");
    assert_eq!(read(decimal.clone(), &[(Case::Nan, Policy::Null)], "\"NAN\""), "null");
    assert_eq!(read(decimal.clone(), &[(Case::Infinity, Policy::Null)], "\"POSITIVE_INFINITY\""), "null");
    assert_eq!(read(decimal, &[(Case::OutOfRange, Policy::Null)], "99999999"), "null");
}

#[test]
fn zero_dates_missing_values_and_small_integers() {
    let date = optional("c", DataType::Date32);
    assert_eq!(read(date.clone(), &[], "\"0000-00-00\""), "zero_date c");
    assert_eq!(read(date, &[(Case::ZeroDate, Policy::Null)], "\"0000-00-00\""), "null");
    let number = required("c", DataType::Int8);
    assert_eq!(read(number.clone(), &[], "null"), "missing_value c");
    assert_eq!(read(number, &[(Case::Missing, Policy::Zero)], "null"), "0");
    assert_eq!(read(optional("c", DataType::Int8), &[(Case::OutOfRange, Policy::Null)], "300"), "null");
}

#[test]
fn unavailable_values_are_known_in_each_shape() {
    let text = "__debezium_unavailable_value";
    let base64 = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
    let list = |element: DataType| optional("c", DataType::List(Arc::new(optional("item", element))));
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    let pair = vec![required("keys", DataType::Utf8), optional("values", DataType::Utf8)];
    let map = DataType::Map(Arc::new(required("entries", DataType::Struct(pair.into()))), false);
    for (field, json) in [
        (optional("c", DataType::Utf8), format!("\"{text}\"")),
        (json("c"), format!("\"{text}\"")),
        (optional("c", DataType::Binary), base64.to_owned()),
        (list(DataType::Utf8), format!("[\"{text}\"]")),
        (list(DataType::Binary), format!("[{base64}]")),
        (list(DataType::Int32), format!("[{}]", bytes.join(","))),
        (list(DataType::Int64), format!("[{}]", bytes.join(","))),
        (list(DataType::FixedSizeBinary(16)), "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]".to_owned()),
        (optional("c", map), format!("{{\"{text}\":\"{text}\"}}")),
    ] {
        assert_eq!(read(field.clone(), &[], &json), "unavailable c", "{json}");
        assert_eq!(read(field, &[(Case::Unavailable, Policy::Null)], &json), "null", "{json}");
    }
    assert_eq!(read(optional("c", DataType::Utf8), &[(Case::Unavailable, Policy::Keep)], &format!("\"{text}\"")), text);
    assert_eq!(read(optional("c", DataType::Utf8), &[], &format!("\"{text}s\"")), format!("{text}s"));
    let mut input = input(Format::Flat, vec![optional("c", DataType::Utf8)]);
    input.placeholder = "hex:3f3f".to_owned();
    assert_eq!(outcome(&input, br#"{"c":"??"}"#), "unavailable c");
    assert_eq!(outcome(&input, format!(r#"{{"c":"{text}"}}"#).as_bytes()), format!("c: {text}"));
}

#[test]
fn a_negative_number_is_unsigned_where_mysql_wrote_it_or_a_policy_says_so() {
    let u64_max = "18446744073709551615";
    let field = || optional("c", DataType::UInt64);
    assert_eq!(read(field(), &[], "-1"), "out_of_range c");
    assert_eq!(read(field(), &[(Case::Unsigned, Policy::Wrap)], "-1"), u64_max);
    let mut input = input(Format::Envelope, vec![field(), optional("old", DataType::UInt64)]);
    input.columns[1].source = Source::Before("c".to_owned());
    let envelope = |connector: &str| {
        format!(
            r#"{{"before":{{"c":-9223372036854775808}},"after":{{"c":-1}},"source":{{"connector":"{connector}"}},"op":"u"}}"#
        )
    };
    for connector in ["mysql", "mariadb"] {
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{}}}"#, envelope(connector));
        for message in [envelope(connector), wrapped] {
            assert_eq!(outcome(&input, message.as_bytes()), format!("u: {u64_max} | 9223372036854775808"));
        }
    }
    assert_eq!(outcome(&input, envelope("postgresql").as_bytes()), "out_of_range c");
    input.columns[0].reading.policies = [(Case::Unsigned, Policy::Reject)].into();
    assert_eq!(outcome(&input, envelope("mysql").as_bytes()), "out_of_range c");
}

#[test]
fn a_policy_that_makes_no_sense_is_an_error_at_load() {
    let problem = |field: Field, case: Case, policy: Policy| {
        let mut input = input(Format::Flat, vec![field]);
        input.columns[0].reading.policies = [(case, policy)].into();
        Decoder::new(&input, &partition(), 1).unwrap_err().to_string()
    };
    let null = problem(required("c", DataType::Date32), Case::Infinity, Policy::Null);
    assert!(null.contains("infinity = null needs a column that may be null"), "{null}");
    let clamp = problem(optional("c", DataType::Utf8), Case::Infinity, Policy::Clamp);
    assert!(clamp.contains("infinity = clamp is not for this type"), "{clamp}");
    let wrap = problem(optional("c", DataType::UInt64), Case::Nan, Policy::Wrap);
    assert!(wrap.contains("is not possible, but keep, reject, null"), "{wrap}");
    let mut input = input(Format::Flat, vec![optional("c", DataType::Utf8)]);
    input.columns[0].reading.encoding = Some(Encoding::Hex);
    let hex = Decoder::new(&input, &partition(), 1).unwrap_err().to_string();
    assert!(hex.contains("the encoding hex is not for this type"), "{hex}");
}
