//! 256-bit integers, as far as decimals need them: two's complement in four words, least significant first.

use std::cmp::Ordering;

/// A signed integer of 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub(crate) struct Wide([u64; 4]);

impl Wide {
    pub(crate) const ZERO: Self = Self([0; 4]);

    pub(crate) fn is_negative(self) -> bool {
        self.0[3].cast_signed() < 0
    }

    pub(crate) fn negated(self) -> Self {
        let mut carry = true;
        Self(self.0.map(|word| {
            let (word, carried) = (!word).overflowing_add(u64::from(carry));
            carry = carried;
            word
        }))
    }

    /// Ten times this plus a digit, for magnitudes below 2^252.
    #[expect(clippy::cast_possible_truncation, reason = "the low half; the high half is carried")]
    pub(crate) fn times_ten_plus(self, digit: u8) -> Self {
        let mut carry = u128::from(digit);
        Self(self.0.map(|word| {
            let product = u128::from(word) * 10 + carry;
            carry = product >> 64;
            product as u64
        }))
    }

    pub(crate) fn to_i128(self) -> Option<i128> {
        let low = (u128::from(self.0[1]) << 64 | u128::from(self.0[0])).cast_signed();
        (Self::from(low) == self).then_some(low)
    }

    /// The absolute value in decimal digits.
    #[expect(clippy::cast_possible_truncation, reason = "quotients of a remainder below the divisor fit 64 bits")]
    pub(crate) fn magnitude_text(self) -> String {
        const CHUNK: u128 = 10_u128.pow(19);
        let Self(mut words) = if self.is_negative() { self.negated() } else { self };
        let mut chunks = Vec::new();
        while words != [0; 4] {
            let mut remainder = 0_u128;
            for word in words.iter_mut().rev() {
                let dividend = remainder << 64 | u128::from(*word);
                *word = (dividend / CHUNK) as u64;
                remainder = dividend % CHUNK;
            }
            chunks.push(remainder);
        }
        let Some(first) = chunks.pop() else { return "0".into() };
        chunks.iter().rev().fold(first.to_string(), |text, chunk| format!("{text}{chunk:019}"))
    }
}

impl From<i128> for Wide {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
    fn from(number: i128) -> Self {
        let bits = number.cast_unsigned();
        let sign = if number < 0 { u64::MAX } else { 0 };
        Self([bits as u64, (bits >> 64) as u64, sign, sign])
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |wide: &Self| (wide.0[3].cast_signed(), wide.0[2], wide.0[1], wide.0[0]);
        key(self).cmp(&key(other))
    }
}
