//! Decimals: exact at the declared scale, or refused; never rounded.
//!
//! | written as | read |
//! |---|---|
//! | base64 of the unscaled integer (`precise`), the scale in the schema; without schema, the column's | yes |
//! | text (`string`) | yes |
//! | number (`double`, or `decimal.format=NUMERIC`) | its digits as they stand |
//! | `{"scale": …, "value": base64}` (`VariableScaleDecimal`) | yes |
//!
//! Whether a string is base64 or text is told by the schema, and without one by the input.

use std::fmt::Debug;

use arrow_array::ArrowNativeTypeOp;
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Decimal256Type};
use arrow_buffer::i256;

use super::integer::int64;
use super::primitive::Cell;
use super::{Plain, base64};
use crate::input::Decimals;
use crate::reject::{DUPLICATE, NEGATIVE_INFINITY, NOT_A_NUMBER, POSITIVE_INFINITY, Read, Refusal, RejectCode};
use crate::scan::{Cursor, RawString};
use crate::schema::Wire;

const NOT_A_DECIMAL: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected a decimal: base64 or text as the input says, a number, or an object of scale and value",
};
const NOT_TEXT: &Refusal = &Refusal { code: RejectCode::InvalidValue, reason: "expected decimal text like -12.50" };
const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a decimal within the column's precision" };
const INEXACT: &Refusal =
    &Refusal { code: RejectCode::Inexact, reason: "the decimal has more digits than the column's scale can hold" };
const NOT_VARIABLE: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected an object of a whole number `scale` and a base64 string `value`",
};

/// Unscaled integers of the two widths.
pub(super) trait Unscaled: ArrowNativeTypeOp {
    /// From the widths that base64 is read in.
    fn from_small(value: i128) -> Self;
    /// None: too wide.
    fn from_wide(value: i256) -> Option<Self>;
}

impl Unscaled for i128 {
    fn from_small(value: i128) -> Self {
        value
    }

    fn from_wide(value: i256) -> Option<Self> {
        value.to_i128()
    }
}

impl Unscaled for i256 {
    fn from_small(value: i128) -> Self {
        Self::from_i128(value)
    }

    fn from_wide(value: i256) -> Option<Self> {
        Some(value)
    }
}

/// Arrow's decimal types.
pub(super) trait DecimalType: ArrowPrimitiveType<Native: Unscaled> + Debug {}
impl DecimalType for Decimal128Type {}
impl DecimalType for Decimal256Type {}

/// Reads decimals of one precision and scale.
#[derive(Debug)]
pub(super) struct Decimal<A: DecimalType> {
    scale: i32,
    /// 10 to the power of the precision: what no value reaches.
    limit: A::Native,
    decimals: Decimals,
    scratch: Vec<u8>,
}

impl<A: DecimalType> Decimal<A> {
    /// Of the declared precision and scale; without schema, strings are written as `decimals` says.
    pub(super) fn new(precision: u8, scale: i8, decimals: Decimals) -> Self {
        // A precision beyond the type's is Arrow's to refuse; until then the width is the limit.
        let limit = power(u32::from(precision)).unwrap_or(A::Native::MAX_TOTAL_ORDER);
        Self { scale: i32::from(scale), limit, decimals, scratch: Vec::new() }
    }

    fn within(&self, unscaled: A::Native) -> Read<A::Native> {
        let within = unscaled.is_lt(self.limit) && unscaled.is_gt(self.limit.neg_wrapping());
        if within { Ok(unscaled) } else { Err(OUT_OF_RANGE) }
    }

    fn unscaled(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<A::Native> {
        if value.at_number() {
            return from_text(value.number()?, self.scale);
        }
        match value.peek() {
            Some(b'"') => {}
            Some(b'{') => {
                let (scale, unscaled) = variable(value)?;
                return from_base64(unscaled.text(&mut self.scratch)?, scale, self.scale);
            }
            _ => return Err(NOT_A_DECIMAL),
        }
        let text = value.raw_string()?.text(&mut self.scratch)?;
        if let Some(special) = special(text) {
            return Err(special);
        }
        match (wire, self.decimals) {
            (Wire::Decimal { scale }, _) => from_base64(text, *scale, self.scale),
            (Wire::Text | Wire::Plain, _) | (Wire::Unknown, Decimals::String) => from_text(text, self.scale),
            (Wire::Bytes, _) | (Wire::Unknown, Decimals::Precise) => from_base64(text, self.scale, self.scale),
            _ => Err(NOT_A_DECIMAL),
        }
    }
}

impl<A: DecimalType> Cell for Decimal<A> {
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<A::Native> {
        let unscaled = self.unscaled(value, wire)?;
        self.within(unscaled)
    }

    fn plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<Option<A::Native>> {
        let unscaled = match (value, wire) {
            (Plain::Bytes(bytes), Wire::Decimal { scale }) => match base64::small_of_bytes(bytes) {
                Some(unscaled) => rescale(A::Native::from_small(unscaled), *scale, self.scale)?,
                None => return Ok(None),
            },
            (Plain::Text(text), Wire::Text) => from_text(text, self.scale)?,
            _ => return Ok(None),
        };
        self.within(unscaled).map(Some)
    }
}

/// What has no digits, in the words of `decimal.handling.mode=string` and, for `double`, of the JSON converter.
fn special(text: &[u8]) -> Option<&'static Refusal> {
    Some(match text {
        b"NAN" | b"NaN" => NOT_A_NUMBER,
        b"POSITIVE_INFINITY" | b"Infinity" => POSITIVE_INFINITY,
        b"NEGATIVE_INFINITY" | b"-Infinity" => NEGATIVE_INFINITY,
        _ => return None,
    })
}

/// The members of a `VariableScaleDecimal`, in any order: its scale, and the base64 of its unscaled integer.
fn variable<'m>(value: &mut Cursor<'m>) -> Read<(i32, RawString<'m>)> {
    let (mut scale, mut unscaled) = (None, None);
    let mut scratch = Vec::new();
    value.expect(b'{')?;
    loop {
        let key = value.raw_string()?.text(&mut scratch)?;
        let (is_scale, is_value) = (key == b"scale", key == b"value");
        value.expect(b':')?;
        let repeated = if is_scale {
            scale.replace(int64(value).map_err(|_| NOT_VARIABLE)?).is_some()
        } else if is_value && value.at_string() {
            unscaled.replace(value.raw_string()?).is_some()
        } else {
            return Err(NOT_VARIABLE);
        };
        if repeated {
            return Err(DUPLICATE);
        }
        if !value.another_member()? {
            break;
        }
    }
    let (Some(scale), Some(unscaled)) = (scale, unscaled) else { return Err(NOT_VARIABLE) };
    Ok((i32::try_from(scale).map_err(|_| NOT_VARIABLE)?, unscaled))
}

/// Most zeros that a scale may add to a text.
const MOST_ZEROS: u32 = 1000;

/// Appends the digits of a decimal that is written as base64, for a column of text.
pub(crate) fn append_digits(text: &[u8], scale: i32, out: &mut Vec<u8>) -> Read<()> {
    if scale.unsigned_abs() > MOST_ZEROS {
        return Err(OUT_OF_RANGE);
    }
    let unscaled = base64::digits(text)?;
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled.as_str()), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    let places = usize::try_from(scale).unwrap_or_default();
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    if scale < 0 && whole != "0" {
        out.extend(std::iter::repeat_n(b'0', scale.unsigned_abs() as usize));
    }
    Ok(())
}

/// The same of a `VariableScaleDecimal`.
pub(super) fn append_variable(value: &mut Cursor<'_>, out: &mut Vec<u8>) -> Read<()> {
    let (scale, unscaled) = variable(value)?;
    append_digits(unscaled.text(&mut Vec::new())?, scale, out)
}

fn from_base64<N: Unscaled>(text: &[u8], from: i32, to: i32) -> Read<N> {
    if let Some(unscaled) = base64::small_integer(text) {
        return rescale(N::from_small(unscaled), from, to);
    }
    match base64::wide_integer(text) {
        Ok(wide) => N::from_wide(rescale(wide, from, to)?).ok_or(OUT_OF_RANGE),
        // A scale below zero, -2, comes from PostgreSQL's connector as 2046, with as many zeros.
        Err(refusal) if refusal.code == RejectCode::OutOfRange => {
            from_text(format!("{}e{}", base64::digits(text)?, -i64::from(from)).as_bytes(), to)
        }
        Err(refusal) => Err(refusal),
    }
}

/// The unscaled integer of another scale.
pub(super) fn rescale<N: ArrowNativeTypeOp>(unscaled: N, from: i32, to: i32) -> Read<N> {
    if from == to || unscaled.is_zero() {
        return Ok(unscaled);
    }
    let power = power::<N>(from.abs_diff(to));
    if to > from {
        // A power beyond the width times at least one is beyond it as well.
        return power.and_then(|power| unscaled.mul_checked(power).ok()).ok_or(OUT_OF_RANGE);
    }
    // A power beyond the width divides nothing within it.
    let power = power.ok_or(INEXACT)?;
    if unscaled.mod_wrapping(power).is_zero() { Ok(unscaled.div_wrapping(power)) } else { Err(INEXACT) }
}

fn power<N: ArrowNativeTypeOp>(exponent: u32) -> Option<N> {
    // 10 is built from ones: the trait has no conversions.
    let two = N::ONE.add_wrapping(N::ONE);
    let ten = two.add_wrapping(two).add_wrapping(N::ONE).mul_wrapping(two);
    ten.pow_checked(exponent).ok()
}

/// The unscaled integer at this scale of decimal text, of a JSON number or of any of Java's `BigDecimal` spellings.
pub(super) fn from_text<N: Unscaled>(text: &[u8], scale: i32) -> Read<N> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return Err(NOT_TEXT);
    }
    // Value = digits × 10^shift at the wanted scale. Lengths are far below 2^63.
    let shift = exponent.saturating_add(i64::from(scale)).saturating_sub_unsigned(fraction.len() as u64);
    let value = unscaled::<N>(whole, fraction, shift)?;
    Ok(if negative { value.neg_wrapping() } else { value })
}

fn unscaled<N: Unscaled>(whole: &[u8], fraction: &[u8], shift: i64) -> Read<N> {
    let ten = N::from_small(10);
    let mut value = N::ZERO;
    let mut zeros = 0_i64; // seen since the last other digit: not yet multiplied in
    for byte in whole.iter().chain(fraction) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(NOT_TEXT);
        }
        if digit == 0 {
            zeros += 1;
            continue;
        }
        if !value.is_zero() {
            value = scale_up(value, zeros).ok_or(OUT_OF_RANGE)?;
        }
        let digit = N::from_small(i128::from(digit));
        value = value.mul_checked(ten).and_then(|value| value.add_checked(digit)).map_err(|_| OUT_OF_RANGE)?;
        zeros = 0;
    }
    let shift = shift.saturating_add(zeros);
    if value.is_zero() {
        Ok(value)
    } else if shift < 0 {
        Err(INEXACT)
    } else {
        scale_up(value, shift).ok_or(OUT_OF_RANGE)
    }
}

fn scale_up<N: ArrowNativeTypeOp>(value: N, zeros: i64) -> Option<N> {
    if zeros == 0 {
        return Some(value);
    }
    value.mul_checked(power(u32::try_from(zeros).ok()?)?).ok()
}

/// An exponent; beyond 18 digits it is as good as infinite.
fn exponent(text: &[u8]) -> Read<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(NOT_TEXT);
    }
    let magnitude = digits.iter().try_fold(0_i64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { Err(NOT_TEXT) } else { Ok(value.saturating_mul(10).saturating_add(i64::from(digit))) }
    })?;
    Ok(if negative { -magnitude } else { magnitude })
}
