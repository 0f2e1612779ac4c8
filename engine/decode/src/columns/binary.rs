//! Bytes, written as base64.

use arrow_array::types::BinaryType;

use super::bytes::Bytes;
use super::{Plain, base64};
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_BYTES: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a string of base64" };

/// Reads bytes.
#[derive(Debug, Default)]
pub(super) struct Binary {
    scratch: Vec<u8>,
}

impl Bytes for Binary {
    type Arrow = BinaryType;

    fn read(&mut self, value: &mut Cursor<'_>, _: Wire, out: &mut Vec<u8>) -> Read<()> {
        if !value.at_string() {
            return Err(NOT_BYTES);
        }
        base64::append(value.raw_string()?.text(&mut self.scratch)?, out)
    }

    fn plain(&mut self, value: Plain<'_>, out: &mut Vec<u8>) -> Read<bool> {
        let Plain::Bytes(bytes) = value else { return Ok(false) };
        out.extend_from_slice(bytes);
        Ok(true)
    }
}
