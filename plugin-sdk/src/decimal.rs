//! Decimals: an integer and the power of ten that it counts.
//!
//! Values are kept as the border has them, in words of 64 bits: 128-bit integers ask for an alignment of 16 in Rust,
//! the lists that a plugin is given have 8.

use std::cmp::Ordering;
use std::fmt;

use crate::column::ColumnType;
use crate::description::{DataType, ScalarType};
use crate::view::Plain;
use crate::wide::Wide;

/// A decimal of at most `P` digits, `S` of them behind the point, in 128 bits. `P` is 1 to 38.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Decimal<const P: u8, const S: i8>([u64; 2]);

// SAFETY: two u64.
unsafe impl<const P: u8, const S: i8> Plain for Decimal<P, S> {
    const ZERO: Self = Self([0; 2]);
}

impl<const P: u8, const S: i8> ColumnType for Decimal<P, S> {
    const TYPE: DataType = {
        assert!(P >= 1 && P <= 38, "Decimal<P, S> holds 1 to 38 digits: use Decimal256 for more");
        DataType::Scalar(ScalarType::Decimal { precision: P, scale: S })
    };
}

impl<const P: u8, const S: i8> Decimal<P, S> {
    /// The greatest unscaled integer.
    const MAX: i128 = 10_i128.pow(P as u32) - 1;

    /// The decimal `unscaled` × 10^-S; `None` where it has more than `P` digits.
    #[inline]
    #[must_use]
    pub fn new(unscaled: i128) -> Option<Self> {
        (-Self::MAX..=Self::MAX).contains(&unscaled).then(|| Self::wrap(unscaled))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
    const fn wrap(unscaled: i128) -> Self {
        let bits = unscaled.cast_unsigned();
        Self([bits as u64, (bits >> 64) as u64])
    }

    /// The integer that counts units of 10^-S.
    #[inline(always)]
    #[must_use]
    pub const fn unscaled(self) -> i128 {
        ((self.0[1] as u128) << 64 | self.0[0] as u128).cast_signed()
    }

    /// The unscaled integer where 64 bits hold it, as they do for most values: 128-bit arithmetic is several times
    /// slower in WebAssembly.
    #[inline(always)]
    const fn small(self) -> Option<i64> {
        let low = self.0[0].cast_signed();
        if self.0[1].cast_signed() == low >> 63 { Some(low) } else { None }
    }

    /// Sum of two decimals of one type; `None` where it has more than `P` digits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.unscaled().checked_add(other.unscaled())?)
    }

    /// Difference of two decimals of one type; `None` where it has more than `P` digits.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::new(self.unscaled().checked_sub(other.unscaled())?)
    }

    /// The decimal times an integer, in a type of the same scale; `None` where it has more than `Q` digits.
    #[inline]
    #[must_use]
    pub fn checked_mul<const Q: u8>(self, factor: i64) -> Option<Decimal<Q, S>> {
        let product = match self.small() {
            // Both below 2^31: the product fits 64 bits.
            Some(small) if small.unsigned_abs() < 1 << 31 && factor.unsigned_abs() < 1 << 31 => {
                i128::from(small * factor)
            }
            _ => self.unscaled().checked_mul(i128::from(factor))?,
        };
        Decimal::new(product)
    }

    /// The same value with another number of digits. `None` where digits other than zeros would be lost.
    #[inline]
    #[must_use]
    pub fn rescale<const Q: u8, const R: i8>(self) -> Option<Decimal<Q, R>> {
        match (self.small(), Shift::<S, R>::FACTOR) {
            (Some(small), Some(factor)) if R >= S => match small.checked_mul(factor) {
                Some(unscaled) => Decimal::new(i128::from(unscaled)),
                None => self.rescale_any(),
            },
            (Some(small), Some(factor)) if small % factor == 0 => Decimal::new(i128::from(small / factor)),
            (Some(_), Some(_)) => None,
            _ => self.rescale_any(),
        }
    }

    fn rescale_any<const Q: u8, const R: i8>(self) -> Option<Decimal<Q, R>> {
        let shift = i16::from(R) - i16::from(S);
        let factor = 10_i128.checked_pow(u32::from(shift.unsigned_abs()));
        let unscaled = match (self.unscaled(), factor) {
            (0, _) => 0,
            (_, None) => return None,
            (unscaled, Some(factor)) if shift >= 0 => unscaled.checked_mul(factor)?,
            (unscaled, Some(factor)) if unscaled % factor == 0 => unscaled / factor,
            _ => return None,
        };
        Decimal::new(unscaled)
    }

    /// Whether it is below zero.
    #[inline(always)]
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0[1].cast_signed() < 0
    }

    /// Reads `-12.50`: digits with at most one point, at least one digit. `None` for other text, too many digits, or
    /// digits behind the scale other than zeros.
    #[inline]
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match small_unscaled(text.as_bytes(), S) {
            Some(unscaled) => Self::new(i128::from(unscaled)),
            None => Self::parse_any(text),
        }
    }

    fn parse_any(text: &str) -> Option<Self> {
        let (negative, digits) = scaled_digits(text, S)?;
        let mut unscaled = 0_i128;
        for digit in digits {
            unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        Self::new(if negative { -unscaled } else { unscaled })
    }
}

/// Reads a parameter's text, as [`Decimal::parse`] does.
impl<const P: u8, const S: i8> std::str::FromStr for Decimal<P, S> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("`{text}` is no number of {P} digits, {S} of them behind the point"))
    }
}

impl<const P: u8, const S: i8> PartialOrd for Decimal<P, S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const P: u8, const S: i8> Ord for Decimal<P, S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.unscaled().cmp(&other.unscaled())
    }
}

impl<const P: u8, const S: i8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled_text(self.is_negative(), &self.unscaled().unsigned_abs().to_string(), S))
    }
}

impl<const P: u8, const S: i8> fmt::Debug for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A decimal of `P` digits, `S` of them behind the point, in 256 bits. `P` is 39 to 76.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Decimal256<const P: u8, const S: i8>(Wide);

// SAFETY: transparent over four u64.
unsafe impl<const P: u8, const S: i8> Plain for Decimal256<P, S> {
    const ZERO: Self = Self(Wide::ZERO);
}

impl<const P: u8, const S: i8> ColumnType for Decimal256<P, S> {
    const TYPE: DataType = {
        assert!(P >= 39 && P <= 76, "Decimal256<P, S> holds 39 to 76 digits: use Decimal for fewer");
        DataType::Scalar(ScalarType::Decimal { precision: P, scale: S })
    };
}

impl<const P: u8, const S: i8> Decimal256<P, S> {
    /// The decimal `unscaled` × 10^-S.
    #[must_use]
    pub fn new(unscaled: i128) -> Self {
        Self(Wide::from(unscaled))
    }

    /// The integer that counts units of 10^-S, where 128 bits hold it.
    #[must_use]
    pub fn unscaled(self) -> Option<i128> {
        self.0.to_i128()
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_negative()
    }

    pub(crate) fn unscaled_text(self) -> String {
        self.0.magnitude_text()
    }

    /// Reads decimal text as [`Decimal::parse`] does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = scaled_digits(text, S)?;
        let (mut magnitude, mut count) = (Wide::ZERO, 0);
        for digit in digits {
            // 76 digits are below 2^253: no overflow.
            count += u8::from(count > 0 || digit > 0);
            if count > P {
                return None;
            }
            magnitude = magnitude.times_ten_plus(digit);
        }
        Some(Self(if negative { magnitude.negated() } else { magnitude }))
    }
}

impl<const P: u8, const S: i8> PartialOrd for Decimal256<P, S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const P: u8, const S: i8> Ord for Decimal256<P, S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<const P: u8, const S: i8> fmt::Display for Decimal256<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled_text(self.is_negative(), &self.unscaled_text(), S))
    }
}

impl<const P: u8, const S: i8> fmt::Debug for Decimal256<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Powers of ten that 64 bits hold.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// From one scale to another.
struct Shift<const FROM: i8, const TO: i8>;

impl<const FROM: i8, const TO: i8> Shift<FROM, TO> {
    /// What the unscaled integer is multiplied with or divided by, where 64 bits hold it.
    const FACTOR: Option<i64> = 10_i64.checked_pow(FROM.abs_diff(TO) as u32);
}

/// The unscaled integer of at most 18 digits with at most one point, not more of them behind it than the scale. `None`
/// is for [`scaled_digits`] to judge.
///
/// One pass, in 64 bits: 128-bit multiplication is a call for each digit in WebAssembly.
#[inline]
fn small_unscaled(text: &[u8], scale: i8) -> Option<i64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // A point and 18 digits, or 19 digits: both are below 2^64.
    if text.len() > 19 {
        return None;
    }
    let (mut value, mut point) = (0_u64, None);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let (digits, behind) = point.map_or((text.len(), 0), |at| (text.len() - 1, text.len() - 1 - at));
    let missing = usize::try_from(scale).ok()?.checked_sub(behind)?;
    let value = i64::try_from(value).ok().filter(|_| digits > 0)?.checked_mul(*POWERS.get(missing)?)?;
    Some(if negative { -value } else { value })
}

/// Sign, and the digits of the unscaled integer: those of the text, cut or filled with zeros to the scale.
fn scaled_digits(text: &str, scale: i8) -> Option<(bool, impl Iterator<Item = u8>)> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let wanted = usize::try_from(i64::try_from(whole.len()).ok()? + i64::from(scale)).unwrap_or(0);
    let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0');
    let rest_is_zero = digits.clone().skip(wanted).all(|digit| digit == 0);
    rest_is_zero.then(|| (negative, digits.chain(std::iter::repeat(0)).take(wanted)))
}

/// The decimal text of an unscaled integer.
pub(crate) fn scaled_text(negative: bool, digits: &str, scale: i8) -> String {
    let sign = if negative { "-" } else { "" };
    let behind = usize::from(scale.unsigned_abs());
    match scale {
        ..0 if digits == "0" => "0".into(),
        ..=0 => format!("{sign}{digits}{}", "0".repeat(behind)),
        _ => {
            let digits = format!("{digits:0>width$}", width = behind + 1);
            let (whole, fraction) = digits.split_at(digits.len() - behind);
            format!("{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests;
