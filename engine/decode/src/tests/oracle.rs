//! The decoder against serde_json: random rows, written in random ways, must come out as a plain reading of the parsed
//! value says; and random damage may change what becomes of a message only in ways that serde_json agrees with.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn columns() -> Vec<Field> {
    vec![
        required("id", DataType::Int64),
        optional("small", DataType::Int8),
        optional("name", DataType::Utf8),
        optional("flag", DataType::Boolean),
        optional("price", DataType::Decimal128(20, 3)),
        optional("wide", DataType::Decimal256(60, 10)),
        optional("weight", DataType::Float64),
        optional("bytes", DataType::Binary),
    ]
}

/// A text's plain reading, cell by cell; `None` where the value must be refused.
fn expected(row: &Value) -> Option<String> {
    let cells = columns().iter().map(|field| expected_cell(field, row.get(field.name()))).collect::<Option<Vec<_>>>();
    Some(cells?.join(" | "))
}

fn expected_cell(field: &Field, value: Option<&Value>) -> Option<String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return field.is_nullable().then(|| "null".to_owned());
    };
    match field.data_type() {
        DataType::Int64 => {
            scaled(&value.as_number()?.to_string(), 0)?.parse::<i64>().ok().map(|value| value.to_string())
        }
        DataType::Int8 => scaled(&value.as_number()?.to_string(), 0)?.parse::<i8>().ok().map(|value| value.to_string()),
        DataType::Utf8 => value.as_str().map(str::to_owned),
        DataType::Boolean => match value.as_number().map(ToString::to_string).as_deref() {
            Some("1") => Some("true".to_owned()),
            Some("0" | "-0") => Some("false".to_owned()),
            _ => value.as_bool().map(|value| value.to_string()),
        },
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = usize::try_from(*scale).unwrap();
            let unscaled = match value {
                Value::String(text) => unscaled(text)?,
                value => scaled(&value.as_number()?.to_string(), scale)?,
            };
            let digits = unscaled.trim_start_matches('-');
            if digits.len() > usize::from(*precision) {
                return None;
            }
            let sign = if unscaled.starts_with('-') { "-" } else { "" };
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            Some(format!("{sign}{whole}.{fraction}"))
        }
        DataType::Float64 => {
            let number: f64 = value.as_number()?.to_string().parse().unwrap();
            number.is_finite().then(|| number.to_string())
        }
        DataType::Binary => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
            Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        other => panic!("no oracle for {other}"),
    }
}

/// What Connect's `Decimal` holds: an integer of some bytes, the sign in the highest, in base64. Strings here have few.
fn unscaled(text: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let sign = if *bytes.first()? < 0x80 { 0 } else { 0xff };
    let mut wide = [sign; 16];
    wide.get_mut(16_usize.checked_sub(bytes.len())?..)?.copy_from_slice(&bytes);
    Some(i128::from_be_bytes(wide).to_string())
}

/// A number's digits moved by the scale, in school arithmetic on text; `None` if digits would be lost.
fn scaled(number: &str, scale: usize) -> Option<String> {
    let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |number| ("-", number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let exponent: i64 = exponent.trim_start_matches('+').parse().ok()?;
    let shift = exponent + i64::try_from(scale).unwrap() - i64::try_from(fraction.len()).unwrap()
        + i64::try_from(digits.len() - digits.trim_end_matches('0').len()).unwrap();
    let zeros = usize::try_from(shift).ok().filter(|zeros| *zeros < 200)?;
    Some(format!("{sign}{significant}{}", "0".repeat(zeros)))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<i8>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinities", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}")),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,14})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9][0-9]{0,6})\\.[0-9]{1,3}0{0,9}",
    ]
}

/// A string with its quotes: as serde_json writes it, or each character as an escape.
fn string() -> impl Strategy<Value = String> {
    let text = prop_oneof!["\\PC{0,12}", "[A-Za-z0-9+/]{0,12}={0,2}", ".{0,6}", "[\"\\\\{}\\[\\],:\n\u{1}é🚀]{0,80}"];
    (text, any::<bool>()).prop_map(|(text, escaped)| {
        if escaped {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            format!("\"{}\"", units.collect::<String>())
        } else {
            serde_json::to_string(&text).unwrap()
        }
    })
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => number(),
        4 => string(),
        1 => Just("true".to_owned()),
        1 => Just("false".to_owned()),
        2 => Just("null".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((string(), inner), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", items.join(" , "))
            }),
        ]
    })
}

/// Values that fit the column more often than not.
fn fitting(field: &Field) -> BoxedStrategy<String> {
    let fitting = match field.data_type() {
        DataType::Utf8 | DataType::Binary => string().boxed(),
        DataType::Boolean => {
            prop_oneof![Just("true".to_owned()), Just("false".to_owned()), Just("1".to_owned())].boxed()
        }
        DataType::Int64 => any::<i64>().prop_map(|value| value.to_string()).boxed(),
        _ => number().boxed(),
    };
    prop_oneof![10 => fitting, 1 => Just("null".to_owned()), 1 => value()].boxed()
}

/// A row: some columns and some that nobody asked for, in any order, with or without white space.
fn row() -> impl Strategy<Value = String> {
    let columns = columns();
    let members: Vec<_> = columns.iter().map(|field| (Just(field.name().clone()), fitting(field))).collect();
    let others = prop::collection::vec(("x[a-z]{0,20}", value()), 0..4);
    let kept = prop::collection::vec(prop::bool::weighted(0.9), columns.len());
    let spaces = prop_oneof![Just(""), Just(" "), Just("\n\t ")];
    (members, others, kept, spaces, any::<bool>()).prop_flat_map(|(members, others, kept, space, shuffle)| {
        let mut members: Vec<(String, String)> = members
            .into_iter()
            .zip(kept)
            .filter(|(member, kept)| *kept || member.0 == "id")
            .map(|(member, _)| member)
            .collect();
        members.extend(others);
        let members = if shuffle { Just(members).prop_shuffle().boxed() } else { Just(members).boxed() };
        members.prop_map(move |members| {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            format!("{{{}}}", members.join(","))
        })
    })
}

proptest! {
    #![proptest_config(random(1500))]

    #[test]
    fn rows_come_out_as_serde_json_reads_them(rows in prop::collection::vec(row(), 1..6)) {
        let mut flat = decoder(&input(Format::Flat, columns()));
        let mut envelope = decoder(&input(Format::Envelope, columns()));
        let wrapped: Vec<String> = rows.iter().map(|row| format!(
            r#"{{"before":{row},"after":{row},"source":{{"a":[{row}],"ts_ms":7}},"op":"u"}}"#)).collect();
        let all: Vec<_> = rows.iter().map(|row| (None, Some(row.as_bytes()))).collect();
        let all_wrapped: Vec<_> = wrapped.iter().map(|row| (None, Some(row.as_bytes()))).collect();
        let flat = outcomes(&decode(&mut flat, &messages(&all)));
        let envelope = outcomes(&decode(&mut envelope, &messages(&all_wrapped)));
        for ((row, flat), envelope) in rows.iter().zip(&flat).zip(&envelope) {
            let parsed: Value = serde_json::from_str(row).unwrap();
            match expected(&parsed) {
                Some(cells) => {
                    prop_assert_eq!(flat, &format!("c: {}", cells), "{}", row);
                    prop_assert_eq!(envelope, &format!("u: {}", cells), "{}", row);
                }
                None => {
                    prop_assert!(!flat.starts_with("c: "), "{} became {}", row, flat);
                    prop_assert_eq!(envelope, flat);
                }
            }
        }
    }

    #[test]
    fn damage_is_refused_or_agreed_upon(
        row in row(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b','), Just(b':'), Just(b'0'), any::<u8>()],
        insert in any::<bool>(),
    ) {
        let mut damaged = row.into_bytes();
        let at = at.index(damaged.len());
        if insert { damaged.insert(at, byte) } else { damaged[at] = byte }
        let became = outcome(&input(Format::Flat, columns()), &damaged);
        // serde_json takes the last of two equal keys and looks into what is skipped, so it may differ where the decoder
        // refuses, or where it never looked; whatever it reads must be the same.
        if became.starts_with("c: ") && let Ok(parsed) = serde_json::from_slice::<Value>(&damaged) {
            prop_assert_eq!(Some(became), expected(&parsed).map(|cells| format!("c: {cells}")));
        }
        if std::str::from_utf8(&damaged).is_err() {
            prop_assert_eq!(outcome(&input(Format::Flat, columns()), &damaged), "invalid_utf8");
        }
    }

    #[test]
    fn noise_is_refused_and_never_a_panic(noise in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[{\"\\\\:,}\\]a0 ]{0,60}") {
        for format in [Format::Flat, Format::Envelope] {
            let mut decoder = decoder(&input(format, columns()));
            let all = [(Some(noise.as_slice()), Some(text.as_bytes())), (Some(text.as_bytes()), Some(noise.as_slice())), (Some(noise.as_slice()), None)];
            prop_assert_eq!(decode(&mut decoder, &messages(&all)).rows.num_rows(), 0);
        }
    }
}
