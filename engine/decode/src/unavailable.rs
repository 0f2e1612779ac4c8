//! Values that were not in the source's log: PostgreSQL does not log a large value (TOAST) that an update left alone,
//! so Debezium writes a placeholder in its place, in the shape of the column's type.
//!
//! | type | placeholder `p` |
//! |---|---|
//! | text, JSON, XML | `"p"` |
//! | bytes | base64 or hexadecimal digits of `p` |
//! | list of text, of bytes | a list of one such element |
//! | list of integers | one element for each byte of `p` |
//! | list of UUIDs | the name-based UUID of `p`, known for the default placeholder alone |
//! | map (`hstore`) | `{"p": "p"}`, also as JSON in a string |
//!
//! A value that happens to be the same can't be told from it.

use std::sync::Arc;

use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE};
use arrow_schema::{DataType, Field};

use crate::input::PLACEHOLDER;

/// `UUID.nameUUIDFromBytes` of the default placeholder.
const PLACEHOLDER_UUID: &str = "\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"";

/// The JSON values that stand for an unavailable one in a column, as the JSON converter writes them.
pub(super) fn forms(field: &Field, placeholder: &str) -> Vec<Box<[u8]>> {
    let bytes = match placeholder.strip_prefix("hex:").and_then(unhex) {
        Some(bytes) => bytes,
        None => placeholder.as_bytes().to_vec(),
    };
    let text = String::from_utf8_lossy(&bytes);
    let forms = of_type(field.data_type(), &text, &bytes, placeholder == PLACEHOLDER);
    forms.into_iter().map(|form| form.into_bytes().into()).collect()
}

/// The same for a column that takes values of any type.
pub(super) fn forms_of_any(placeholder: &str) -> Vec<Box<[u8]>> {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let elements = [DataType::Utf8, DataType::Binary, DataType::FixedSizeBinary(16), DataType::Int32];
    let lists = elements.clone().into_iter().map(|element| DataType::List(item(element)));
    let map = DataType::Map(item(DataType::Null), false);
    let mut forms: Vec<_> = elements
        .into_iter()
        .chain(lists)
        .chain([map])
        .flat_map(|data_type| forms(&Field::new("any", data_type, true), placeholder))
        .collect();
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other types have no placeholder")]
fn of_type(data_type: &DataType, text: &str, bytes: &[u8], default: bool) -> Vec<String> {
    let quoted = serde_json::Value::from(text).to_string();
    match data_type {
        DataType::Utf8 => vec![quoted],
        DataType::Binary => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![
                format!("\"{}\"", STANDARD.encode(bytes)),
                format!("\"{}\"", URL_SAFE.encode(bytes)),
                format!("\"{hex}\""),
            ]
        }
        DataType::FixedSizeBinary(16) if default => vec![PLACEHOLDER_UUID.to_owned()],
        DataType::List(element) if element.data_type().is_integer() => {
            let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
            vec![format!("[{}]", numbers.join(","))]
        }
        DataType::List(element) => {
            let forms = of_type(element.data_type(), text, bytes, default);
            forms.into_iter().map(|form| format!("[{form}]")).collect()
        }
        DataType::Map(..) => {
            let object = format!("{{{quoted}:{quoted}}}");
            vec![serde_json::Value::from(object.as_str()).to_string(), object, quoted]
        }
        _ => Vec::new(),
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}
