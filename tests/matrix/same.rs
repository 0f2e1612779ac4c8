//! Whether a cell is what the database says of it.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

use crate::cell::cell;
use crate::tables::As;

/// Whether the two are equal; `unit`: that of a TIME which is declared as a number.
pub(crate) fn same(array: &ArrayRef, row: usize, expected: &Value, column: As, unit: TimeUnit) -> bool {
    let Some(text) = expected.as_str() else { return array.is_null(row) };
    if array.is_null(row) {
        return false;
    }
    let found = cell(array, row);
    let micros = |unit| found.parse().ok().and_then(|value| micros(value, unit));
    match array.data_type() {
        DataType::Float32 => {
            text.parse().is_ok_and(|value: f32| found.parse().map(f32::to_bits) == Ok(value.to_bits()))
        }
        DataType::Float64 => {
            text.parse().is_ok_and(|value: f64| found.parse().map(f64::to_bits) == Ok(value.to_bits()))
        }
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            micros(*unit) == text.parse().ok()
        }
        DataType::Int64 if matches!(column, As::Duration) => micros(unit) == text.parse().ok(),
        DataType::List(element) => same_list(&found, text, element.data_type()),
        DataType::Map(..) => same_map(&found, text),
        DataType::Utf8 if matches!(column, As::Interval) => duration(&found) == duration(text),
        _ if found == text => true,
        DataType::Utf8 if matches!(column, As::Json) => same_json(&found, text),
        _ => false,
    }
}

/// In microseconds, if it is a whole number of them.
fn micros(value: i128, unit: TimeUnit) -> Option<i128> {
    match unit {
        TimeUnit::Second => Some(value * 1_000_000),
        TimeUnit::Millisecond => Some(value * 1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => (value % 1000 == 0).then_some(value / 1000),
    }
}

fn same_map(found: &str, text: &str) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return false };
    let pair = |(key, value): (&String, &Value)| format!("{key}: {}", value.as_str().unwrap_or("null"));
    let pairs: BTreeSet<String> = object.iter().map(pair).collect();
    let inner = found.trim_start_matches('{').trim_end_matches('}');
    let found: BTreeSet<String> = inner.split(", ").filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
    pairs == found
}

/// The database writes a list as JSON of texts, as `[1, 2]`, or, a set, as words with commas between them.
fn same_list(found: &str, text: &str, element: &DataType) -> bool {
    if let (DataType::Utf8, Ok(Value::Array(items))) = (element, serde_json::from_str(text)) {
        let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap_or("null")).collect();
        return found == format!("[{}]", items.join(", "));
    }
    let text = if text.starts_with('[') { text.to_owned() } else { format!("[{}]", text.replace(',', ", ")) };
    let items = |text: &str| -> Vec<String> {
        let inner = text.trim_matches(['[', ']']).split(", ").filter(|item| !item.is_empty());
        inner.map(|item| item.trim().to_owned()).collect()
    };
    let (found_items, expected) = (items(found), items(&text));
    let each = |same: fn(&str, &str) -> bool| {
        found_items.len() == expected.len() && found_items.iter().zip(&expected).all(|(one, other)| same(one, other))
    };
    let null = |one: &str, other: &str| one == "null" && other == "null";
    match element {
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Time32(_) => {
            let up = |item: &str| item.parse().ok().and_then(|value| micros(value, TimeUnit::Millisecond));
            found_items.len() == expected.len()
                && found_items
                    .iter()
                    .zip(&expected)
                    .all(|(one, other)| null(one, other) || up(one) == other.parse().ok())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond) => {
            let down = |item: &str| item.parse().ok().and_then(|value| micros(value, TimeUnit::Nanosecond));
            found_items.len() == expected.len()
                && found_items
                    .iter()
                    .zip(&expected)
                    .all(|(one, other)| null(one, other) || down(one) == other.parse().ok())
        }
        DataType::Float64 => each(|one, other| {
            one == other || one.parse::<f64>().is_ok_and(|one| other.parse().map(f64::to_bits) == Ok(one.to_bits()))
        }),
        DataType::Float32 => each(|one, other| {
            one == other || one.parse::<f32>().is_ok_and(|one| other.parse().map(f32::to_bits) == Ok(one.to_bits()))
        }),
        _ => found == text,
    }
}

fn same_json(found: &str, expected: &str) -> bool {
    let (Ok(found), Ok(expected)) = (serde_json::from_str(found), serde_json::from_str(expected)) else { return false };
    contains(&found, &expected)
}

/// Objects may have more members than the database was asked for, and floats other spellings.
fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value)))
        }
        _ => found == expected || found.as_f64().is_some() && found.as_f64() == expected.as_f64(),
    }
}

/// The parts of an ISO 8601 duration, or of a structured one, that are not zero.
fn duration(text: &str) -> BTreeMap<String, String> {
    if let Ok(Value::Object(parts)) = serde_json::from_str(text) {
        let number = |key: &str| parts[key].as_i64().unwrap();
        let nanos = number("seconds") * 1_000_000_000 + number("nanos");
        let seconds = format!("{}", nanos as f64 / 1e9);
        let named = [("PY", "years"), ("PM", "months"), ("PD", "days"), ("TH", "hours"), ("TM", "minutes")];
        let named = named.map(|(letter, key)| (letter.to_owned(), number(key).to_string()));
        return named.into_iter().chain([("TS".to_owned(), seconds)]).filter(|(_, value)| value != "0").collect();
    }
    let (mut parts, mut number, mut half) = (BTreeMap::new(), String::new(), 'P');
    for letter in text.chars() {
        match letter {
            'P' | 'T' => half = letter,
            '0'..='9' | '-' | '.' => number.push(letter),
            _ => {
                let value: f64 = std::mem::take(&mut number).parse().unwrap();
                if value != 0.0 {
                    parts.insert(format!("{half}{letter}"), value.to_string());
                }
            }
        }
    }
    parts
}
