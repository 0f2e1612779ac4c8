//! Floating point numbers: the value nearest to the digits, as Debezium wrote the digits nearest to the value.
//!
//! | written as | read |
//! |---|---|
//! | number | yes, unless it is too large |
//! | `"NaN"`, `"Infinity"`, `"-Infinity"` | yes |

use arrow_array::types::{Float32Type, Float64Type};

use super::Plain;
use super::primitive::Cell;
use crate::reject::{NOT_A_NUMBER, NUMBER, Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_FLOAT: &Refusal =
    &Refusal { code: RejectCode::WrongType, reason: "expected a number, \"NaN\", \"Infinity\" or \"-Infinity\"" };
const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a number that fits the column's type" };

/// Reads doubles.
#[derive(Debug)]
pub(super) struct Float64 {
    /// Whether NaN and the infinities are values; else they are a case for a policy.
    pub(super) specials: bool,
}

/// Reads floats. Not by way of a double: that would round twice.
#[derive(Debug)]
pub(super) struct Float32 {
    /// Whether NaN and the infinities are values; else they are a case for a policy.
    pub(super) specials: bool,
}

impl Cell for Float64 {
    type Arrow = Float64Type;

    fn read(&mut self, value: &mut Cursor<'_>, _: &Wire) -> Read<f64> {
        match token(value)? {
            Token::Digits(digits) => {
                let number: f64 = digits.parse().map_err(|_| NUMBER)?;
                if number.is_finite() { Ok(number) } else { Err(OUT_OF_RANGE) }
            }
            Token::Special(number) if self.specials => Ok(number),
            Token::Special(_) => Err(NOT_A_NUMBER),
        }
    }

    /// Of the same width alone: to another one the digits count, as in JSON.
    fn plain(&mut self, value: Plain<'_>, _: &Wire) -> Read<Option<f64>> {
        Ok(if let Plain::Double(number) = value { Some(number).filter(|number| number.is_finite()) } else { None })
    }
}

impl Cell for Float32 {
    type Arrow = Float32Type;

    fn read(&mut self, value: &mut Cursor<'_>, _: &Wire) -> Read<f32> {
        match token(value)? {
            Token::Digits(digits) => {
                let number: f32 = digits.parse().map_err(|_| NUMBER)?;
                if number.is_finite() { Ok(number) } else { Err(OUT_OF_RANGE) }
            }
            #[expect(clippy::cast_possible_truncation, reason = "not a number and the infinities have their like")]
            Token::Special(number) if self.specials => Ok(number as f32),
            Token::Special(_) => Err(NOT_A_NUMBER),
        }
    }

    /// Of the same width alone: to another one the digits count, as in JSON.
    fn plain(&mut self, value: Plain<'_>, _: &Wire) -> Read<Option<f32>> {
        Ok(if let Plain::Float(number) = value { Some(number).filter(|number| number.is_finite()) } else { None })
    }
}

enum Token<'m> {
    Digits(&'m str),
    Special(f64),
}

fn token<'m>(value: &mut Cursor<'m>) -> Read<Token<'m>> {
    if value.at_number() {
        let digits = std::str::from_utf8(value.number()?).map_err(|_| NUMBER)?;
        return Ok(Token::Digits(digits));
    }
    match value.skip()? {
        b"\"NaN\"" => Ok(Token::Special(f64::NAN)),
        b"\"Infinity\"" => Ok(Token::Special(f64::INFINITY)),
        b"\"-Infinity\"" => Ok(Token::Special(f64::NEG_INFINITY)),
        _ => Err(NOT_A_FLOAT),
    }
}
