//! Text: the string's characters, whatever they mean. Strings alone: to take a number as text would keep its
//! spelling, which no source promises.

use arrow_array::types::Utf8Type;

use super::Plain;
use super::bytes::Bytes;
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_TEXT: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a string" };

/// Reads text.
#[derive(Debug)]
pub(super) struct Text;

impl Bytes for Text {
    type Arrow = Utf8Type;

    fn read(&mut self, value: &mut Cursor<'_>, _: Wire, out: &mut Vec<u8>) -> Read<()> {
        if !value.at_string() {
            return Err(NOT_TEXT);
        }
        value.raw_string()?.append_to(out)
    }

    fn plain(&mut self, value: Plain<'_>, out: &mut Vec<u8>) -> Read<bool> {
        let Plain::Text(text) = value else { return Ok(false) };
        out.extend_from_slice(text);
        Ok(true)
    }
}
