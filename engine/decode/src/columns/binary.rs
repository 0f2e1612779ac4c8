//! Bytes.
//!
//! | written as | read |
//! |---|---|
//! | base64 of either alphabet, with or without padding: `bytes`, `base64`, `base64-url-safe` | yes |
//! | hexadecimal digits: `hex` | if the column's encoding says so |
//! | object with `wkb` (`Geometry`, `Geography`, `Point`) | its well-known binary |
//!
//! A string that is text by its schema may be base64 or hexadecimal digits, and many strings are both: the column's
//! encoding must say which.

use arrow_array::types::BinaryType;

use super::bytes::Bytes;
use super::{Plain, base64};
use crate::policy::Encoding;
use crate::reject::{DUPLICATE, Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_BYTES: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a string of base64" };
const NOT_HEX: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "expected an even number of hexadecimal digits" };
const WHICH: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "the schema says that this is text, not bytes: set the column's encoding to base64 or hex, as the \
             connector's binary.handling.mode has it",
};
const NOT_GEOMETRY: &Refusal =
    &Refusal { code: RejectCode::WrongType, reason: "expected a string of base64, or an object with `wkb`" };

/// Reads bytes.
#[derive(Debug)]
pub(super) struct Binary {
    encoding: Option<Encoding>,
    scratch: Vec<u8>,
}

impl Binary {
    /// Of strings that are written like this, where no schema says that they are bytes.
    pub(super) fn new(encoding: Option<Encoding>) -> Self {
        Self { encoding, scratch: Vec::new() }
    }

    fn geometry(&mut self, value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
        value.expect(b'{')?;
        let mut wkb = None;
        loop {
            let is_wkb = value.raw_string()?.text(&mut self.scratch)? == b"wkb";
            value.expect(b':')?;
            if is_wkb && value.at_string() {
                if wkb.replace(value.raw_string()?).is_some() {
                    return Err(DUPLICATE);
                }
            } else {
                value.skip()?;
            }
            if !value.another_member()? {
                break;
            }
        }
        base64::append(wkb.ok_or(NOT_GEOMETRY)?.text(&mut self.scratch)?, out)
    }
}

impl Bytes for Binary {
    type Arrow = BinaryType;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire, out: &mut Vec<u8>) -> Read<()> {
        match value.peek() {
            Some(b'"') => {}
            Some(b'{') => return self.geometry(value, out),
            _ => return Err(NOT_BYTES),
        }
        let text = value.raw_string()?.text(&mut self.scratch)?;
        match (wire, self.encoding) {
            (Wire::Bytes | Wire::Bits | Wire::Decimal { .. } | Wire::Plain, _) => base64::append(text, out),
            (_, Some(Encoding::Hex)) => hex(text, out),
            (Wire::Text, None) => Err(WHICH),
            _ => base64::append(text, out),
        }
    }

    fn plain(&mut self, value: Plain<'_>, _: &Wire, out: &mut Vec<u8>) -> Read<bool> {
        let Plain::Bytes(bytes) = value else { return Ok(false) };
        out.extend_from_slice(bytes);
        Ok(true)
    }
}

fn hex(text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NOT_HEX);
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(NOT_HEX);
    for [high, low] in pairs {
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    Ok(())
}
