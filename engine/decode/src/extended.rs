//! MongoDB's extended JSON, made plain: version 1 (strict), version 2 (canonical and relaxed), as the connector writes
//! documents and keys, in a string.
//!
//! | extended | plain |
//! |---|---|
//! | `{"$oid": "…"}`, `{"$symbol": "…"}`, `{"$uuid": "…"}` | the string |
//! | `{"$numberInt": "1"}`, `{"$numberLong": "1"}` | the number |
//! | `{"$numberDouble": "1.5"}` | the number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `{"$numberDecimal": "1.50"}` | the string: decimal text |
//! | `{"$date": 0}`, `{"$date": {"$numberLong": "0"}}`, `{"$date": "…"}` | ISO 8601 text |
//! | `{"$binary": "…", "$type": "00"}`, `{"$binary": {"base64": "…", "subType": "00"}}` | the string: base64 |
//! | `{"$undefined": true}` | null |
//! | any other `$` | refused; a column of Json takes it as it stands |

use crate::columns::date_text;
use crate::reject::{MALFORMED, Read, Refusal, RejectCode};
use crate::scan::Cursor;

/// Deepest nesting that is made plain: the documents of MongoDB have 100 levels at most.
const MAX_DEPTH: usize = 128;

const TOO_DEEP: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "the document is nested more than 128 levels deep" };
const UNKNOWN: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "a type of MongoDB that has no other in Arrow: declare the column as Json",
};
const NOT_A_DATE: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "expected $date to be milliseconds or ISO 8601 text" };
const NOT_A_NUMBER: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "expected the text of a number behind $number…" };

/// Appends the value that the cursor is at, made plain.
pub(super) fn plain(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    nested(value, out, 0)
}

fn nested(value: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Read<()> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    match value.peek() {
        Some(b'{') => object(value, out, depth),
        Some(b'[') => array(value, out, depth),
        _ => {
            out.extend_from_slice(value.skip()?);
            Ok(())
        }
    }
}

fn array(value: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Read<()> {
    value.expect(b'[')?;
    out.push(b'[');
    if value.take(b']') {
        out.push(b']');
        return Ok(());
    }
    loop {
        nested(value, out, depth + 1)?;
        if value.take(b']') {
            out.push(b']');
            return Ok(());
        }
        value.expect(b',')?;
        out.push(b',');
    }
}

fn object(value: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Read<()> {
    let start = *value;
    value.expect(b'{')?;
    if value.take(b'}') {
        out.extend_from_slice(b"{}");
        return Ok(());
    }
    let mut scratch = Vec::new();
    let mut key = *value;
    if value.raw_string()?.text(&mut scratch)?.starts_with(b"$") {
        *value = start;
        return special(value, out);
    }
    out.push(b'{');
    loop {
        out.extend_from_slice(key.skip()?);
        *value = key;
        value.expect(b':')?;
        out.push(b':');
        nested(value, out, depth + 1)?;
        if !value.another_member()? {
            out.push(b'}');
            return Ok(());
        }
        out.push(b',');
        key = *value;
    }
}

/// An object whose first key begins with `$`.
fn special(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    let mut scratch = Vec::new();
    value.expect(b'{')?;
    let kind = value.raw_string()?.text(&mut scratch)?;
    value.expect(b':')?;
    match kind {
        b"$oid" | b"$symbol" | b"$uuid" | b"$numberDecimal" if value.at_string() => {
            out.extend_from_slice(value.skip()?)
        }
        b"$numberInt" | b"$numberLong" | b"$numberDouble" => number(value, out)?,
        b"$date" => date(value, out)?,
        b"$binary" => binary(value, out)?,
        b"$type" => {
            value.skip()?;
            value.expect(b',')?;
            return binary_second(value, out);
        }
        b"$undefined" => {
            value.skip()?;
            out.extend_from_slice(b"null");
        }
        _ => return Err(UNKNOWN),
    }
    if value.another_member()? {
        // Version 1 has a binary's type behind it.
        if kind != b"$binary" || value.raw_string()?.text(&mut Vec::new())? != b"$type" {
            return Err(UNKNOWN);
        }
        value.expect(b':')?;
        value.skip()?;
        value.expect(b'}')?;
    }
    Ok(())
}

fn number(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    if value.at_number() {
        out.extend_from_slice(value.number()?);
        return Ok(());
    }
    let quoted = value.skip()?;
    if matches!(quoted, b"\"NaN\"" | b"\"Infinity\"" | b"\"-Infinity\"") {
        out.extend_from_slice(quoted);
        return Ok(());
    }
    let text = quoted.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).ok_or(NOT_A_NUMBER)?;
    let mut cursor = Cursor::new(text, 0);
    let digits = cursor.number().map_err(|_| NOT_A_NUMBER)?;
    cursor.end().map_err(|_| NOT_A_NUMBER)?;
    out.extend_from_slice(digits);
    Ok(())
}

fn date(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    let ms = match value.peek() {
        Some(b'"') => {
            out.extend_from_slice(value.skip()?);
            return Ok(());
        }
        Some(b'{') => {
            let mut digits = Vec::new();
            special(value, &mut digits)?;
            Cursor::new(&digits, 0).number().ok().and_then(|ms| std::str::from_utf8(ms).ok()?.parse().ok())
        }
        _ => std::str::from_utf8(value.number().map_err(|_| NOT_A_DATE)?).ok().and_then(|ms| ms.parse().ok()),
    };
    let text = date_text(ms.ok_or(NOT_A_DATE)?);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

fn binary(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    if value.at_string() {
        out.extend_from_slice(value.skip()?);
        return Ok(());
    }
    value.expect(b'{')?;
    let mut found = false;
    loop {
        let is_base64 = value.raw_string()?.text(&mut Vec::new())? == b"base64";
        value.expect(b':')?;
        let part = value.skip()?;
        if is_base64 && !found {
            out.extend_from_slice(part);
            found = true;
        }
        if !value.another_member()? {
            return if found { Ok(()) } else { Err(MALFORMED) };
        }
    }
}

/// Version 1 with a binary's type before it.
fn binary_second(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    if value.raw_string()?.text(&mut Vec::new())? != b"$binary" {
        return Err(UNKNOWN);
    }
    value.expect(b':')?;
    out.extend_from_slice(value.skip()?);
    value.expect(b'}')
}
