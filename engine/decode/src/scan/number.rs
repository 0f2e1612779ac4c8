//! Numbers: taken as digits, so that each type decides what they mean and nothing goes through a float.

use super::Cursor;
use crate::reject::{NUMBER, Read};

impl<'m> Cursor<'m> {
    /// Whether a number is next.
    pub(crate) fn at_number(&mut self) -> bool {
        self.peek().is_some_and(|byte| byte == b'-' || byte.is_ascii_digit())
    }

    /// Takes a number and gives its text.
    pub(crate) fn number(&mut self) -> Read<&'m [u8]> {
        self.peek();
        let start = self.at;
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Takes a whole number of at most 18 digits in its plain form; anything else is left where it is.
    #[inline]
    pub(crate) fn plain_integer(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        let digits = self.rest().get(usize::from(negative)..)?;
        let (magnitude, length) = leading_digits(digits);
        let plain = match length {
            0 => false,
            1 => true,
            2..=18 => digits.first() != Some(&b'0'),
            _ => false,
        };
        if !plain || matches!(digits.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += usize::from(negative) + length;
        let magnitude = magnitude.cast_signed();
        Some(if negative { -magnitude } else { magnitude })
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while self.rest().first_chunk::<8>().is_some_and(|eight| are_digits(u64::from_le_bytes(*eight) ^ ZEROS)) {
            self.at += 8;
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NUMBER) }
    }
}

/// The value and the count of the digits that the text begins with. More than 19 digits: the value means nothing.
#[inline]
fn leading_digits(text: &[u8]) -> (u64, usize) {
    let (mut value, mut length) = (0_u64, 0);
    while length < 16
        && let Some(eight) = text.get(length..).and_then(|rest| rest.first_chunk::<8>())
        && let Some(eight) = eight_digits(*eight)
    {
        value = value * 100_000_000 + eight;
        length += 8;
    }
    while length < 20
        && let Some(digit) = text.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        length += 1;
    }
    (value, length)
}

/// Eight digits at once: bytes are added up to pairs, pairs to fours, fours to eight (after Lemire, "Quickly parsing
/// eight digits", 2018).
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(text) ^ ZEROS;
    if !are_digits(digits) {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// Eight times the digit 0.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Whether eight bytes, less the digit 0 each, are all below 10.
fn are_digits(bytes: u64) -> bool {
    (bytes | bytes.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_integers_are_read_to_the_last_digit_and_others_left() {
        let cases: [(&str, Option<i64>); 14] = [
            ("0", Some(0)),
            ("-0,", Some(0)),
            ("7}", Some(7)),
            ("12345678", Some(12_345_678)),
            ("-123456789012345678,", Some(-123_456_789_012_345_678)),
            ("1795177783978108,", Some(1_795_177_783_978_108)),
            ("1234567890123456789", None),
            ("99999999999999999999999999", None),
            ("01", None),
            ("00000000", None),
            ("1.0", None),
            ("1e3", None),
            ("-", None),
            ("\"1\"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Cursor::new(text.as_bytes(), 0).plain_integer(), expected, "{text}");
        }
    }

    #[test]
    fn eight_digits_are_eight_digits() {
        assert_eq!(eight_digits(*b"00000000"), Some(0));
        assert_eq!(eight_digits(*b"99999999"), Some(99_999_999));
        assert_eq!(eight_digits(*b"12345678"), Some(12_345_678));
        for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            for at in 0..8 {
                let mut text = *b"12345678";
                text[at] = byte;
                assert_eq!(eight_digits(text), None, "byte {byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for text in ["0", "-0", "12", "1.5", "-1.5e10", "1E+2", "0.0e-0"] {
            assert_eq!(Cursor::new(text.as_bytes(), 0).number(), Ok(text.as_bytes()));
        }
        for text in ["", "-", "+1", ".5", "1.", "1.e3", "1e", "1e+", "x"] {
            assert!(Cursor::new(text.as_bytes(), 0).number().is_err(), "{text}");
        }
    }
}
