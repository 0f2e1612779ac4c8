//! JSON as text.
//!
//! | written as | read |
//! |---|---|
//! | string | its content, as Debezium writes `json` and `jsonb`; it must be JSON |
//! | string in a document of MongoDB | as it stands, with its quotes: there it is a text like others |
//! | object, array, number, boolean | as it stands, byte by byte |
//!
//! Checked in full, at most 128 levels deep: one text that is no JSON fails a whole insert of ClickHouse.

use arrow_array::types::Utf8Type;
use serde::de::IgnoredAny;

use super::Plain;
use super::bytes::Bytes;
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

/// Deepest nesting: ClickHouse's and most other readers' limits are not far above, and their stacks are not ours.
const MAX_DEPTH: usize = 128;

const NOT_JSON: &Refusal = &Refusal {
    code: RejectCode::InvalidValue,
    reason: "expected JSON of at most 128 levels, as a value or as the text of a string",
};

/// Reads JSON.
#[derive(Debug, Default)]
pub(super) struct Json {
    scratch: Vec<u8>,
}

impl Bytes for Json {
    type Arrow = Utf8Type;
    /// Nothing is no JSON, and ClickHouse's `JSON` wants an object.
    const ZERO: &[u8] = b"{}";

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire, out: &mut Vec<u8>) -> Read<()> {
        let holds_json = value.at_string() && *wire != Wire::Plain;
        let text = if holds_json { value.raw_string()?.text(&mut self.scratch)? } else { value.skip()? };
        append(text, out)
    }

    fn plain(&mut self, value: Plain<'_>, _: &Wire, out: &mut Vec<u8>) -> Read<bool> {
        let Plain::Text(text) = value else { return Ok(false) };
        append(text, out)?;
        Ok(true)
    }
}

fn append(text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    // Ignoring does not recurse, so that serde_json's own limit does not count here.
    serde_json::from_slice::<IgnoredAny>(text).map_err(|_| NOT_JSON)?;
    if depth(text) > MAX_DEPTH {
        return Err(NOT_JSON);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// The nesting of a valid JSON text.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    deepest
}
