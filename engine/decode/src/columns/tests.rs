//! Each type with each way of writing it: what is read, and what is refused with which word.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use super::*;
use crate::policy::Reading;
use crate::reject::RejectCode;
use crate::tests::cell;

/// Reads one JSON value into a column of its own.
fn read_with(field: &Field, decimals: Decimals, wire: &Wire, json: &str) -> String {
    let mut column = column(field, &Reading::default(), decimals).unwrap();
    column.push_zero();
    let mut cursor = Cursor::new(json.as_bytes(), 0);
    match column.read(&mut cursor, wire).and_then(|()| cursor.end()) {
        Ok(()) => {
            column.push_null();
            let array = column.finish();
            assert_eq!((array.len(), array.null_count(), array.data_type()), (3, 1, field.data_type()));
            cell(&array, 1)
        }
        Err(refusal) => {
            column.truncate(1);
            assert_eq!(column.finish().len(), 1);
            refusal.code.as_str().to_owned()
        }
    }
}

fn read(data_type: DataType, wire: &Wire, json: &str) -> String {
    read_with(&Field::new("c", data_type, true), Decimals::Precise, wire, json)
}

fn check(data_type: &DataType, wire: &Wire, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(read(data_type.clone(), wire, json), *expected, "{data_type} from {json} as {wire:?}");
    }
}

const RANGE: &str = "out_of_range";
const INEXACT: &str = "inexact";
const TYPE: &str = "wrong_type";
const VALUE: &str = "invalid_value";

#[test]
fn integers_are_exact_to_their_last_bit() {
    use DataType::{Int8, Int64, UInt8, UInt64};
    check(&Int8, &Wire::Unknown, &[("127", "127"), ("-128", "-128"), ("128", RANGE), ("-129", RANGE), ("\"1\"", TYPE)]);
    check(&UInt8, &Wire::Unknown, &[("255", "255"), ("256", RANGE), ("-1", RANGE), ("true", TYPE), ("{}", TYPE)]);
    check(
        &Int64,
        &Wire::Unknown,
        &[
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", RANGE),
            ("9007199254740993", "9007199254740993"),
            ("1.0", "1"),
            ("12e2", "1200"),
            ("1.5", TYPE),
            ("1e400", RANGE),
            ("-0", "0"),
        ],
    );
    check(
        &UInt64,
        &Wire::Unknown,
        &[("18446744073709551615", "18446744073709551615"), ("18446744073709551616", RANGE)],
    );
    check(&UInt64, &Wire::Decimal { scale: 0 }, &[("\"AP//////////\"", "18446744073709551615"), ("\"/w==\"", RANGE)]);
}

#[test]
fn floats_are_the_nearest_and_their_specials_are_strings() {
    check(
        &DataType::Float64,
        &Wire::Unknown,
        &[
            ("0.1", "0.1"),
            ("1e308", &1e308_f64.to_string()),
            ("1e309", RANGE),
            ("\"NaN\"", "NaN"),
            ("\"Infinity\"", "inf"),
            ("\"-Infinity\"", "-inf"),
            ("\"1\"", TYPE),
            ("7", "7"),
        ],
    );
    check(&DataType::Float32, &Wire::Unknown, &[("0.1", "0.1"), ("1e39", RANGE), ("\"-Infinity\"", "-inf")]);
    // Nearest to the digits, not to the double nearest to them.
    check(&DataType::Float32, &Wire::Unknown, &[("1.00000017881393432617187499", "1.0000001")]);
}

#[test]
fn booleans_and_text_and_bytes() {
    check(
        &DataType::Boolean,
        &Wire::Unknown,
        &[("true", "true"), ("false", "false"), ("1", "true"), ("0", "false"), ("2", TYPE), ("\"true\"", TYPE)],
    );
    check(
        &DataType::Utf8,
        &Wire::Unknown,
        &[
            ("\"\"", ""),
            (r#""a\"\\\/\b\f\n\r\t\u00e9""#, "a\"\\/\u{8}\u{c}\n\r\té"),
            (r#""\uD83D\uDE80""#, "🚀"),
            (r#""\uD83D""#, "invalid_json"),
            (r#""\uD83Dx""#, "invalid_json"),
            (r#""\uDE80\uD83D""#, "invalid_json"),
            ("1", TYPE),
        ],
    );
    check(
        &DataType::Binary,
        &Wire::Bytes,
        &[("\"3q2+7wA=\"", "deadbeef00"), ("\"\"", ""), ("\"3q2+7wA\"", VALUE), ("\"!\"", VALUE), ("1", TYPE)],
    );
    check(
        &DataType::FixedSizeBinary(16),
        &Wire::Text,
        &[
            ("\"A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            ("\"a0eebc999c0b4ef8bb6d6bb9bd380a11\"", VALUE),
            ("\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1\"", VALUE),
            ("\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111\"", VALUE),
            ("\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g\"", VALUE),
            ("7", TYPE),
        ],
    );
}

#[test]
fn json_is_taken_as_it_stands_and_checked() {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]);
    let field = Field::new("c", DataType::Utf8, true).with_metadata(metadata);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (json, expected) in [
        (r#"{"b" : 1,"a":[2.50]}"#.to_owned(), r#"{"b" : 1,"a":[2.50]}"#.to_owned()),
        (r#""{\"b\": 1}""#.to_owned(), r#"{"b": 1}"#.to_owned()),
        ("12345678901234567890.10".to_owned(), "12345678901234567890.10".to_owned()),
        (r#""null""#.to_owned(), "null".to_owned()),
        (r#""{""#.to_owned(), VALUE.to_owned()),
        (r#""""#.to_owned(), VALUE.to_owned()),
        ("{]".to_owned(), VALUE.to_owned()),
        (deep(128), deep(128)),
        (deep(129), VALUE.to_owned()),
    ] {
        assert_eq!(read_with(&field, Decimals::Precise, &Wire::Unknown, &json), expected, "{json}");
    }
}

#[test]
fn dates() {
    check(
        &DataType::Date32,
        &Wire::Days,
        &[("20290", "20290"), ("-703383", "-703383"), ("2147483648", RANGE), ("1.5", TYPE), ("true", TYPE)],
    );
    check(
        &DataType::Date32,
        &Wire::Text,
        &[
            ("\"2025-07-21\"", "20290"),
            ("\"2017-09-15Z\"", "17424"),
            ("\"1970-01-01\"", "0"),
            ("\"0001-01-01\"", "-719162"),
            ("\"-0043-03-15\"", "-735160"),
            ("\"2024-02-29\"", "19782"),
            ("\"2023-02-29\"", VALUE),
            ("\"2023-13-01\"", VALUE),
            ("\"2023-1-01\"", VALUE),
            ("\"2023-01-01x\"", VALUE),
            ("\"\"", VALUE),
        ],
    );
    check(&DataType::Date32, &Wire::Timestamp(TimeUnit::Millisecond), &[("86400000", "1"), ("86400001", INEXACT)]);
    check(&DataType::Date32, &Wire::Time(TimeUnit::Millisecond), &[("0", TYPE)]);
}

#[test]
fn times_of_day() {
    let micros = DataType::Time64(TimeUnit::Microsecond);
    check(
        &micros,
        &Wire::Unknown,
        &[("0", "0"), ("86399999999", "86399999999"), ("86400000000", RANGE), ("-1", RANGE)],
    );
    check(&micros, &Wire::Time(TimeUnit::Nanosecond), &[("1000", "1"), ("1001", INEXACT)]);
    check(&micros, &Wire::Time(TimeUnit::Millisecond), &[("45296789", "45296789000")]);
    check(
        &DataType::Time32(TimeUnit::Millisecond),
        &Wire::Text,
        &[
            ("\"04:05:11.789Z\"", "14711789"),
            ("\"04:05:11\"", "14711000"),
            ("\"04:05:11.7891\"", INEXACT),
            ("\"24:00:00\"", RANGE),
        ],
    );
    check(&DataType::Time32(TimeUnit::Second), &Wire::Time(TimeUnit::Millisecond), &[("1000", "1"), ("1001", INEXACT)]);
    check(&DataType::Time64(TimeUnit::Nanosecond), &Wire::Text, &[("\"00:00:00.000000001\"", "1")]);
}

#[test]
fn points_in_time() {
    let unit = |unit| DataType::Timestamp(unit, None);
    let micros = unit(TimeUnit::Microsecond);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    check(&micros, &Wire::Unknown, &[("1753101296789012", "1753101296789012"), ("9223372036854775807", "infinity")]);
    check(&micros, &Wire::Timestamp(TimeUnit::Millisecond), &[("-1", "-1000"), ("9223372036854775806", RANGE)]);
    check(&unit(TimeUnit::Millisecond), &Wire::Timestamp(TimeUnit::Microsecond), &[("-1000", "-1"), ("1001", INEXACT)]);
    check(&unit(TimeUnit::Nanosecond), &Wire::Timestamp(TimeUnit::Microsecond), &[("1", "1000")]);
    check(&micros, &Wire::Days, &[("1", "86400000000")]);
    check(&micros, &Wire::Time(TimeUnit::Microsecond), &[("1", TYPE)]);
    check(
        &zoned,
        &Wire::Text,
        &[
            ("\"2026-11-20T12:29:52.503578Z\"", "1795177792503578"),
            ("\"2025-07-21T10:00:00+02:00\"", "1753084800000000"),
            ("\"2025-07-21T10:00:00-00:30\"", "1753093800000000"),
            ("\"2025-07-21 10:00:00+02\"", "1753084800000000"),
            ("\"1900-01-01T00:00:00.000001Z\"", "-2208988799999999"),
            ("\"1969-12-31T23:59:59.999999Z\"", "-1"),
            ("\"2025-07-21T10:00:00.1Z\"", "1753092000100000"),
            ("\"2025-07-21T10:00:00.123456000Z\"", "1753092000123456"),
            ("\"2025-07-21T10:00:00.123456789Z\"", INEXACT),
            ("\"2025-07-21T10:00:00.1234567890Z\"", VALUE),
            ("\"2025-07-21T10:00:00\"", VALUE),
            ("\"2025-07-21T10:00:60Z\"", VALUE),
            ("\"2025-07-21T10:00Z\"", VALUE),
            ("\"2025-02-30T10:00:00Z\"", VALUE),
            ("\"+294247-01-10T04:00:54.775807Z\"", "9223372036854775807"),
            ("\"+294248-01-10T04:00:54.775807Z\"", RANGE),
            ("\"infinity\"", "infinity"),
            ("\"soon\"", VALUE),
            ("true", TYPE),
        ],
    );
    check(&micros, &Wire::Text, &[("\"2025-07-21T10:00:00\"", "1753092000000000")]);
    check(&unit(TimeUnit::Second), &Wire::Text, &[("\"2025-07-21T10:00:00.000Z\"", "1753092000")]);
}

#[test]
fn decimals_are_exact_or_refused() {
    let cents = DataType::Decimal128(10, 2);
    check(
        &cents,
        &Wire::Decimal { scale: 2 },
        &[
            ("\"BOI=\"", "12.50"),
            ("\"/w==\"", "-0.01"),
            ("\"AA==\"", "0.00"),
            ("\"\"", VALUE),
            ("\"BOI\"", VALUE),
            ("\"AB==\"", VALUE),
        ],
    );
    check(&cents, &Wire::Decimal { scale: 4 }, &[("\"AeJA\"", "12.3456")].map(|(json, _)| (json, INEXACT)));
    check(&cents, &Wire::Decimal { scale: 3 }, &[("\"MNQ=\"", "12.50")]);
    check(&cents, &Wire::Decimal { scale: -2 }, &[("\"DA==\"", "1200.00")]);
    check(&cents, &Wire::Decimal { scale: 2000 }, &[("\"DA==\"", INEXACT), ("\"AA==\"", "0.00")]);
    check(&cents, &Wire::Decimal { scale: -2000 }, &[("\"DA==\"", RANGE)]);
    check(
        &cents,
        &Wire::Text,
        &[
            ("\"12.50\"", "12.50"),
            ("\"-0.01\"", "-0.01"),
            ("\"1E+3\"", "1000.00"),
            ("\"12.500\"", "12.50"),
            ("\"12.501\"", INEXACT),
            ("\"99999999.99\"", "99999999.99"),
            ("\"100000000\"", RANGE),
            ("\"NaN\"", "nan"),
            ("\"\"", VALUE),
            ("\"-\"", VALUE),
            ("\".\"", VALUE),
            ("\"1e\"", VALUE),
            ("\"1 \"", VALUE),
        ],
    );
    check(
        &cents,
        &Wire::Unknown,
        &[("12.5", "12.50"), ("1e-2", "0.01"), ("1e-3", INEXACT), ("[1]", TYPE), ("true", TYPE)],
    );
    check(
        &cents,
        &Wire::Unknown,
        &[
            (r#"{"scale":3,"value":"MNQ="}"#, "12.50"),
            (r#"{"value":"MNQ=","scale":3}"#, "12.50"),
            (r#"{"scale":3}"#, TYPE),
            (r#"{"scale":"3","value":"MNQ="}"#, TYPE),
            (r#"{"scale":3,"scale":3,"value":"MNQ="}"#, "duplicate_key"),
        ],
    );
    let text = Field::new("c", cents, true);
    assert_eq!(read_with(&text, Decimals::String, &Wire::Unknown, "\"1.5\""), "1.50");
    assert_eq!(read_with(&text, Decimals::String, &Wire::Decimal { scale: 2 }, "\"BOI=\""), "12.50");
}

#[test]
fn decimals_fill_their_types_to_the_brim() {
    let nines = "9".repeat(38);
    let widest = DataType::Decimal128(38, 0);
    check(
        &widest,
        &Wire::Unknown,
        &[(&nines, &nines), (&format!("-{nines}"), &format!("-{nines}")), (&format!("{nines}0"), RANGE)],
    );
    check(
        &widest,
        &Wire::Decimal { scale: 0 },
        &[("\"SztMqFqGxHoJiiI//////w==\"", &nines), ("\"SztMqFqGxHoJiiJAAAAAAA==\"", RANGE)],
    );
    let wider = DataType::Decimal256(76, 0);
    let nines = "9".repeat(76);
    check(&wider, &Wire::Unknown, &[(&nines, &nines), (&format!("1{}", "0".repeat(76)), RANGE)]);
    // Twenty bytes that shrink to sixteen at the declared scale.
    let long = format!("{}{}", "9".repeat(38), "0".repeat(8));
    let mut wide =
        column(&Field::new("c", DataType::Decimal256(76, 0), true), &Reading::default(), Decimals::Precise).unwrap();
    assert!(wide.read(&mut Cursor::new(long.as_bytes(), 0), &Wire::Unknown).is_ok());
    check(&widest, &Wire::Unknown, &[(&format!("{}.{}", "9".repeat(38), "0".repeat(8)), &"9".repeat(38))]);
}

#[test]
fn codes_are_words() {
    let codes = [
        RejectCode::InvalidUtf8,
        RejectCode::InvalidJson,
        RejectCode::DuplicateKey,
        RejectCode::WrongFormat,
        RejectCode::InvalidSchema,
        RejectCode::UnknownOp,
        RejectCode::MissingRow,
        RejectCode::MissingKey,
        RejectCode::InvalidKey,
        RejectCode::MissingValue,
        RejectCode::WrongType,
        RejectCode::OutOfRange,
        RejectCode::Inexact,
        RejectCode::InvalidValue,
        RejectCode::TooLarge,
    ];
    let words: std::collections::HashSet<&str> = codes.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), codes.len());
    assert!(
        words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'8'))
    );
}
