//! Rows as text, from whichever database, and their comparison.

use serde_json::Value;

/// Rows of values in text form; a null is `None`.
pub type Rows = Vec<Vec<Option<String>>>;

/// Reads rows that are JSON arrays of texts and nulls, one a line: what PostgreSQL's `json_build_array` and ClickHouse's
/// `JSONCompactEachRow` both write, so that no rule of quoting differs between the two.
///
/// # Panics
/// When the text is something else.
#[must_use]
pub fn rows_of_json_lines(lines: &str) -> Rows {
    lines.lines().filter(|line| !line.is_empty()).map(row).collect()
}

fn row(line: &str) -> Vec<Option<String>> {
    let values: Vec<Value> = serde_json::from_str(line).unwrap_or_else(|error| panic!("no row: {line}: {error}"));
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
    };
    values.into_iter().map(text).collect()
}

/// What differs between two lists of rows, in words; a row is named by its first column. `None`: nothing.
#[must_use]
pub fn difference(columns: &[&str], expected: &Rows, found: &Rows) -> Option<String> {
    const SHOWN: usize = 5;
    let mut words = Vec::new();
    if expected.len() != found.len() {
        words.push(format!("{} rows expected, {} found", expected.len(), found.len()));
    }
    for (expected, found) in expected.iter().zip(found) {
        for (column, (expected_value, found_value)) in columns.iter().zip(expected.iter().zip(found)) {
            if expected_value != found_value {
                let row = expected.first();
                words.push(format!("row {row:?}, {column}: expected {expected_value:?}, found {found_value:?}"));
            }
        }
    }
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    (!words.is_empty()).then(|| words.join("\n"))
}
