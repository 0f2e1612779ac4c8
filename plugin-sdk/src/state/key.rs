//! Keys as bytes: equal keys are equal bytes, and bytes of one table are ordered as their keys are where these are
//! integers.

use crate::time::{Date, Millis, Timestamp, Unit, Utc, WallClock};
use crate::{Json, Uuid};

/// A type that entries of state are found by: integers, text, bytes, [`Uuid`], dates and timestamps, `Option` and tuples of
/// these. For a struct put `#[derive(StateKey)]` on it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of state",
    note = "keys are integers, bool, &str, &[u8], Uuid, Date, Timestamp, Option and tuples of these, or a struct with #[derive(StateKey)]"
)]
pub trait StateKey: Sized {
    /// `Self` for another lifetime.
    type Of<'a>: StateKey;
    /// Bytes of each key, where they are the same for all.
    const WIDTH: Option<usize>;
    /// Whether it is no key at all: of an `Option`, `None`.
    fn is_null(&self) -> bool {
        false
    }
    /// Writes the key where it is the last part of one.
    fn write(&self, out: &mut Vec<u8>);
    /// Writes the key where another part follows.
    fn write_part(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
    /// Reads what [`Self::write`] wrote.
    fn read(bytes: &[u8]) -> Option<Self::Of<'_>>;
    /// Reads what [`Self::write_part`] wrote, and moves on.
    fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<Self::Of<'a>> {
        let (part, rest) = bytes.split_at_checked(Self::WIDTH?)?;
        *bytes = rest;
        Self::read(part)
    }
}

/// Eight bytes, most significant first, so that a type may become wider and hosts have one fast path.
macro_rules! integers {
    ($wide:ty, $flip:expr; $($integer:ty),*) => {$(
        impl StateKey for $integer {
            type Of<'a> = Self;
            const WIDTH: Option<usize> = Some(8);
            #[inline(always)]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(<$wide>::from(*self) ^ $flip).to_be_bytes());
            }
            #[inline(always)]
            fn read(bytes: &[u8]) -> Option<Self> {
                Self::try_from(<$wide>::from_be_bytes(bytes.try_into().ok()?) ^ $flip).ok()
            }
        }
    )*};
}
integers!(u64, 0; u8, u16, u32, u64);
// The sign bit is turned over, so that negative ones come first.
integers!(i64, i64::MIN; i8, i16, i32, i64);

impl StateKey for bool {
    type Of<'a> = Self;
    const WIDTH: Option<usize> = Some(1);
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [byte @ 0..=1] => Some(*byte == 1),
            _ => None,
        }
    }
}

impl StateKey for Uuid {
    type Of<'a> = Self;
    const WIDTH: Option<usize> = Some(16);
    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl StateKey for Date {
    type Of<'a> = Self;
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        i32::read(bytes).map(Self)
    }
}

impl<U: Unit> StateKey for Timestamp<U> {
    type Of<'a> = Self;
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        self.units().write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        i64::read(bytes).map(Self::new)
    }
}

impl<U: Unit> StateKey for WallClock<U> {
    type Of<'a> = Self;
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        self.units().write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        i64::read(bytes).map(Self::new)
    }
}

impl StateKey for &[u8] {
    type Of<'a> = &'a [u8];
    const WIDTH: Option<usize> = None;
    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    #[inline(always)]
    fn write_part(&self, out: &mut Vec<u8>) {
        // Its length in front: what follows can't be taken for a part of it.
        super::value::write_varint(self.len() as u64, out);
        out.extend_from_slice(self);
    }
    fn read(bytes: &[u8]) -> Option<&[u8]> {
        Some(bytes)
    }
    fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        super::value::read_bytes(bytes)
    }
}

impl StateKey for &str {
    type Of<'a> = &'a str;
    const WIDTH: Option<usize> = None;
    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }
    #[inline(always)]
    fn write_part(&self, out: &mut Vec<u8>) {
        self.as_bytes().write_part(out);
    }
    fn read(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }
    fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(super::value::read_bytes(bytes)?).ok()
    }
}

impl StateKey for String {
    type Of<'a> = String;
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
    fn write_part(&self, out: &mut Vec<u8>) {
        self.as_str().write_part(out);
    }
    fn read(bytes: &[u8]) -> Option<String> {
        <&str>::read(bytes).map(ToOwned::to_owned)
    }
    fn read_part(bytes: &mut &[u8]) -> Option<String> {
        <&str>::read_part(bytes).map(ToOwned::to_owned)
    }
}

impl StateKey for Json<'_> {
    type Of<'a> = Json<'a>;
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn write_part(&self, out: &mut Vec<u8>) {
        self.0.write_part(out);
    }
    fn read(bytes: &[u8]) -> Option<Json<'_>> {
        <&str>::read(bytes).map(Json)
    }
    fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<Json<'a>> {
        <&str>::read_part(bytes).map(Json)
    }
}

impl<K: StateKey> StateKey for Option<K> {
    type Of<'a> = Option<K::Of<'a>>;
    const WIDTH: Option<usize> = None;
    #[inline(always)]
    fn is_null(&self) -> bool {
        self.is_none()
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(key) = self {
            key.write(out);
        }
    }
    fn write_part(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(key) = self {
            key.write_part(out);
        }
    }
    fn read(bytes: &[u8]) -> Option<Option<K::Of<'_>>> {
        match bytes.split_first()? {
            (0, []) => Some(None),
            (1, rest) => K::read(rest).map(Some),
            _ => None,
        }
    }
    fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<Option<K::Of<'a>>> {
        let (some, rest) = bytes.split_first()?;
        *bytes = rest;
        match some {
            0 => Some(None),
            1 => K::read_part(bytes).map(Some),
            _ => None,
        }
    }
}

const fn sum(widths: &[Option<usize>]) -> Option<usize> {
    let (mut total, mut index) = (0, 0);
    while index < widths.len() {
        match widths[index] {
            Some(width) => total += width,
            None => return None,
        }
        index += 1;
    }
    Some(total)
}

macro_rules! tuples {
    ($($part:ident $index:tt),* ; $last:ident $last_index:tt) => {
        impl<$($part: StateKey,)* $last: StateKey> StateKey for ($($part,)* $last,) {
            type Of<'a> = ($($part::Of<'a>,)* $last::Of<'a>,);
            const WIDTH: Option<usize> = sum(&[$($part::WIDTH,)* $last::WIDTH]);
            #[inline(always)]
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$index.write_part(out);)*
                self.$last_index.write(out);
            }
            #[inline(always)]
            fn write_part(&self, out: &mut Vec<u8>) {
                $(self.$index.write_part(out);)*
                self.$last_index.write_part(out);
            }
            fn read(mut bytes: &[u8]) -> Option<Self::Of<'_>> {
                let bytes = &mut bytes;
                Some(($($part::read_part(bytes)?,)* $last::read(bytes)?,))
            }
            fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<Self::Of<'a>> {
                Some(($($part::read_part(bytes)?,)* $last::read_part(bytes)?,))
            }
        }
    };
}
tuples!(; A 0);
tuples!(A 0; B 1);
tuples!(A 0, B 1; C 2);
tuples!(A 0, B 1, C 2; D 3);
tuples!(A 0, B 1, C 2, D 3; E 4);
tuples!(A 0, B 1, C 2, D 3, E 4; F 5);

/// A point in time as milliseconds, whatever its unit.
pub(super) fn timestamp_ms<U: Unit>(timestamp: Timestamp<U, Utc>) -> i64 {
    let units = i128::from(timestamp.units()) * i128::from(Millis::PER_SECOND);
    // Rounded down, before 1970 as well; a second of i64 is beyond any date, so it is bounded.
    let ms = units.div_euclid(i128::from(U::PER_SECOND));
    i64::try_from(ms.clamp(i128::from(i64::MIN), i128::from(i64::MAX))).expect("it was clamped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Micros, Seconds};

    fn bytes<K: StateKey>(key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.write(&mut out);
        assert!(K::WIDTH.is_none_or(|width| width == out.len()));
        out
    }

    #[test]
    fn keys_are_read_as_they_were_written() {
        assert_eq!(u32::read(&bytes(&7_u32)), Some(7));
        assert_eq!(i16::read(&bytes(&-7_i64)), Some(-7));
        assert_eq!(i8::read(&bytes(&300_i64)), None);
        assert_eq!(<(&str, i32, &str)>::read(&bytes(&("ab", -1, ""))), Some(("ab", -1, "")));
        assert_eq!(<(Option<&str>, bool)>::read(&bytes(&(None::<&str>, true))), Some((None, true)));
        assert_eq!(<((&str, &str), u8)>::read(&bytes(&(("a", "b"), 9_u8))), Some((("a", "b"), 9)));
        assert_eq!(<&str>::read(&[0xff]), None);
        assert_eq!(<(i64, i64)>::WIDTH, Some(16));
    }

    #[test]
    fn different_keys_are_different_bytes_and_integers_keep_their_order() {
        assert_ne!(bytes(&("a", "bc")), bytes(&("ab", "c")));
        assert_ne!(bytes(&(Some("a"), "")), bytes(&(None::<&str>, "a")));
        let mut numbers = [5_i64, -1, i64::MIN, i64::MAX, 0];
        numbers.sort_by_key(bytes);
        assert_eq!(numbers, [i64::MIN, -1, 0, 5, i64::MAX]);
    }

    #[test]
    fn timestamps_round_down() {
        assert_eq!(timestamp_ms(Timestamp::<Micros>::new(-1)), -1);
        assert_eq!(timestamp_ms(Timestamp::<Micros>::new(1_999)), 1);
        assert_eq!(timestamp_ms(Timestamp::<Seconds>::new(i64::MAX)), i64::MAX);
    }
}
