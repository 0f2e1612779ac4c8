//! UUIDs: 16 bytes, most significant first.

use std::fmt;

use crate::view::Plain;

/// A UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Uuid(pub [u8; 16]);

// SAFETY: sixteen bytes of any value.
unsafe impl Plain for Uuid {
    const ZERO: Self = Self([0; 16]);
}

/// Places of the hyphens in the canonical text.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    /// Reads the canonical text, 8-4-4-4-12 hexadecimal digits of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (mut bytes, mut digits) = ([0; 16], 0);
        for (place, &byte) in text.iter().enumerate() {
            if HYPHENS.contains(&place) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit(byte)?;
            digits += 1;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let uuid = Uuid::parse(text).expect("canonical");
        assert_eq!((uuid.0[0], uuid.0[15]), (0xf8, 0xf6));
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Uuid::parse(&text.to_uppercase()), Some(uuid));
        for wrong in ["", "f81d4fae", "f81d4fae-7dec-11d0-a765-00a0c91e6bfg", "f81d4fae7dec-11d0-a765-00a0c91e6bf66-"] {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
    }
}
