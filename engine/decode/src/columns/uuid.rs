//! UUIDs: 16 bytes in the order in which they are written (RFC 9562 §4).

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray};
use arrow_buffer::NullBufferBuilder;

use super::{Column, Plain, base64};
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_STRING: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a string with a UUID" };
const NOT_A_UUID: &Refusal = &Refusal {
    code: RejectCode::InvalidValue,
    reason: "expected a UUID: 32 hexadecimal digits with hyphens after the 8th, 12th, 16th and 20th",
};
const LENGTH: usize = 16;

/// A column of UUIDs.
#[derive(Debug)]
pub(super) struct Uuids {
    scratch: Vec<u8>,
    values: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Default for Uuids {
    fn default() -> Self {
        Self { scratch: Vec::new(), values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl Column for Uuids {
    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows.saturating_mul(LENGTH));
    }

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()> {
        if !value.at_string() {
            return Err(NOT_A_STRING);
        }
        let text = value.raw_string()?.text(&mut self.scratch)?;
        match parse(text) {
            Some(uuid) => self.values.extend_from_slice(&uuid),
            // MongoDB's are binary.
            None if *wire == Wire::Plain && text.len() == 24 && text.ends_with(b"==") => {
                base64::append(text, &mut self.values).map_err(|_| NOT_A_UUID)?;
            }
            None => return Err(NOT_A_UUID),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn read_plain(&mut self, value: Plain<'_>, _: &Wire) -> Read<bool> {
        let Plain::Text(text) = value else { return Ok(false) };
        self.values.extend_from_slice(&parse(text).ok_or(NOT_A_UUID)?);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn push_null(&mut self) {
        self.values.extend_from_slice(&[0; LENGTH]);
        self.nulls.append_null();
    }

    fn push_zero(&mut self) {
        self.values.extend_from_slice(&[0; LENGTH]);
        self.nulls.append_non_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows * LENGTH);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        let array = FixedSizeBinaryArray::try_new(16, values.into(), self.nulls.finish());
        Arc::new(array.expect("each cell appended 16 bytes"))
    }
}

fn parse(text: &[u8]) -> Option<[u8; LENGTH]> {
    let mut uuid = [0; LENGTH];
    let mut digits = 0;
    for (index, byte) in text.iter().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
        let place = uuid.get_mut(digits / 2)?;
        *place = *place << 4 | digit;
        digits += 1;
    }
    (digits == 2 * LENGTH && text.len() == 36).then_some(uuid)
}
