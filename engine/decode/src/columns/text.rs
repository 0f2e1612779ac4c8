//! Text: the string's characters, whatever they mean. Strings alone: to take a number as text would keep its
//! spelling, which no source promises. But for decimals: where the schema says that the string is one (or where it is a
//! `VariableScaleDecimal`), the text is its digits.

use arrow_array::types::Utf8Type;

use super::Plain;
use super::bytes::Bytes;
use super::decimal;
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const BYTES: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected text, but the schema says that the string is base64 of bytes: declare the column as Binary",
};
const NOT_TEXT: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a string" };

/// Reads text.
#[derive(Debug)]
pub(super) struct Text;

impl Bytes for Text {
    type Arrow = Utf8Type;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire, out: &mut Vec<u8>) -> Read<()> {
        match (value.peek(), wire) {
            (Some(b'"'), Wire::Bytes | Wire::Bits) => Err(BYTES),
            (Some(b'"'), Wire::Decimal { scale }) => {
                decimal::append_digits(value.raw_string()?.text(&mut Vec::new())?, *scale, out)
            }
            (Some(b'"'), _) => value.raw_string()?.append_to(out),
            (Some(b'{'), _) => decimal::append_variable(value, out).map_err(|_| NOT_TEXT),
            _ => Err(NOT_TEXT),
        }
    }

    fn plain(&mut self, value: Plain<'_>, _: &Wire, out: &mut Vec<u8>) -> Read<bool> {
        let Plain::Text(text) = value else { return Ok(false) };
        out.extend_from_slice(text);
        Ok(true)
    }
}
