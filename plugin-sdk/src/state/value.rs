//! Values as bytes: a version in front, then the fields, one after the other. Integers take as many bytes as they need.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::{Date, Unit, Utc, Wall};
use crate::{Decimal, Timestamp, Uuid};

/// What an entry of state holds. For a struct or an enum without fields put `#[derive(StateValue)]` on it.
///
/// A value carries the version of the type that wrote it. When its fields change, the old struct stays beside the new one,
/// which names it and says how to come from there: each entry is read in its own version, and written in the newest when
/// it is written next.
///
/// ```
/// use plugin_sdk::StateValue;
///
/// #[derive(StateValue)]
/// pub struct AccountV1 { balance: i64 }
///
/// #[derive(Clone, StateValue)]
/// #[state(version = 2, from = AccountV1)]
/// pub struct Account { balance: i64, bookings: u64 }
///
/// impl From<AccountV1> for Account {
///     fn from(old: AccountV1) -> Self {
///         Self { balance: old.balance, bookings: 0 }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept in state",
    note = "put #[derive(StateValue)] on the struct or enum"
)]
pub trait StateValue: StateField {
    /// Of its fields.
    const VERSION: u32 = 1;
    /// Adds the versions that can be read, this one first.
    fn reads(versions: &mut Vec<u32>) {
        versions.push(Self::VERSION);
    }
    /// Reads the fields as a version wrote them; `None`: it is none of [`Self::reads`], or these are no such fields.
    fn read_version(version: u32, bytes: &mut &[u8]) -> Option<Self> {
        if version == Self::VERSION { Self::read(bytes) } else { None }
    }
}

/// A field of a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a field of what is kept in state",
    note = "fields are bool, numbers, String, Vec, Option, BTreeMap, BTreeSet, Uuid, Date, Timestamp, Decimal and structs with #[derive(StateValue)]"
)]
pub trait StateField: Sized {
    /// Writes it.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads it, and moves on; `None`: these are no bytes of it.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

/// Seven bits a byte, least significant first; the eighth says that more follow (LEB128).
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && bits > 1) {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Small numbers of either sign become small ones without: 0, -1, 1, -2, …
#[inline]
pub(crate) fn write_signed(value: i64, out: &mut Vec<u8>) {
    write_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

#[inline]
pub(crate) fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = read_varint(bytes)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

pub(crate) fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(read_varint(bytes)?).ok()?;
    let (read, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(read)
}

/// The version that wrote an entry.
pub(crate) fn read_version<V: StateValue>(bytes: &mut &[u8]) -> Result<u32, String> {
    check_version::<V>(read_varint(bytes).ok_or("an entry of state is empty")?)
}

/// A version that can be read.
pub(crate) fn check_version<V: StateValue>(version: u64) -> Result<u32, String> {
    if version == u64::from(V::VERSION) {
        return Ok(V::VERSION);
    }
    let mut reads = Vec::new();
    V::reads(&mut reads);
    let read = reads.iter().find(|read| u64::from(**read) == version);
    read.copied().ok_or_else(|| format!("an entry of state has version {version}, the plugin reads {reads:?}"))
}

#[cold]
pub(crate) fn damaged(version: u32) -> String {
    format!("an entry of state is not what version {version} writes: raise the version when the fields change")
}

macro_rules! values {
    ($([$($generics:tt)*] $value:ty: $self:ident, $out:ident => $write:expr, $bytes:ident => $read:expr;)*) => {$(
        impl<$($generics)*> StateField for $value {
            #[inline]
            fn write(&$self, $out: &mut Vec<u8>) {
                $write
            }
            #[inline]
            fn read($bytes: &mut &[u8]) -> Option<Self> {
                $read
            }
        }
        impl<$($generics)*> StateValue for $value {}
    )*};
}
macro_rules! integers {
    ($($unsigned:ty, $signed:ty;)*) => {
        values! {$(
            [] $unsigned: self, out => write_varint(u64::from(*self), out),
                bytes => Self::try_from(read_varint(bytes)?).ok();
            [] $signed: self, out => write_signed(i64::from(*self), out),
                bytes => Self::try_from(read_signed(bytes)?).ok();
        )*}
    };
}
integers!(u8, i8; u16, i16; u32, i32; u64, i64;);
values! {
    [] (): self, _out => (), _bytes => Some(());
    [] bool: self, out => out.push(u8::from(*self)), bytes => match read_array::<1>(bytes)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    };
    [] i128: self, out => out.extend_from_slice(&self.to_le_bytes()), bytes => read_array(bytes).map(Self::from_le_bytes);
    [] u128: self, out => out.extend_from_slice(&self.to_le_bytes()), bytes => read_array(bytes).map(Self::from_le_bytes);
    [] f32: self, out => out.extend_from_slice(&self.to_le_bytes()), bytes => read_array(bytes).map(Self::from_le_bytes);
    [] f64: self, out => out.extend_from_slice(&self.to_le_bytes()), bytes => read_array(bytes).map(Self::from_le_bytes);
    [] String: self, out => write_slice(self.as_bytes(), out),
        bytes => std::str::from_utf8(read_bytes(bytes)?).ok().map(ToOwned::to_owned);
    [] Uuid: self, out => out.extend_from_slice(&self.0), bytes => read_array(bytes).map(Self);
    [] Date: self, out => write_signed(i64::from(self.0), out), bytes => i32::try_from(read_signed(bytes)?).ok().map(Self);
    [U: Unit] Timestamp<U, Utc>: self, out => write_signed(self.units(), out), bytes => read_signed(bytes).map(Self::new);
    [U: Unit] Timestamp<U, Wall>: self, out => write_signed(self.units(), out), bytes => read_signed(bytes).map(Self::new);
    [const P: u8, const S: i8] Decimal<P, S>: self, out => write_decimal(self.unscaled(), out),
        bytes => read_decimal(bytes).and_then(Self::new);
    [T: StateField] Option<T>: self, out => match self {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            value.write(out);
        }
    }, bytes => match read_array::<1>(bytes)? {
        [0] => Some(None),
        [1] => T::read(bytes).map(Some),
        _ => None,
    };
    [T: StateField] Vec<T>: self, out => write_all(self.len(), self.iter(), out), bytes => read_all(bytes);
    [T: StateField + Ord] BTreeSet<T>: self, out => write_all(self.len(), self.iter(), out), bytes => read_all(bytes);
    [K: StateField + Ord, V: StateField] BTreeMap<K, V>: self, out => {
        write_varint(self.len() as u64, out);
        for (key, value) in self {
            key.write(out);
            value.write(out);
        }
    }, bytes => read_all::<(K, V), _>(bytes);
    [A: StateField, B: StateField] (A, B): self, out => {
        self.0.write(out);
        self.1.write(out);
    }, bytes => Some((A::read(bytes)?, B::read(bytes)?));
}

fn read_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*array)
}

fn write_slice(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_all<'t, T: StateField + 't>(len: usize, all: impl Iterator<Item = &'t T>, out: &mut Vec<u8>) {
    write_varint(len as u64, out);
    all.for_each(|value| value.write(out));
}

/// Stops at the first element that is not there, so that a wrong length costs nothing.
fn read_all<T: StateField, C: FromIterator<T>>(bytes: &mut &[u8]) -> Option<C> {
    let len = read_varint(bytes)?;
    (0..len).map(|_| T::read(bytes)).collect()
}

/// In 64 bits nearly always.
fn write_decimal(units: i128, out: &mut Vec<u8>) {
    match i64::try_from(units) {
        Ok(units) if units != i64::MIN => write_signed(units, out),
        _ => {
            // i64::MIN announces the long form.
            write_signed(i64::MIN, out);
            out.extend_from_slice(&units.to_le_bytes());
        }
    }
}

fn read_decimal(bytes: &mut &[u8]) -> Option<i128> {
    match read_signed(bytes)? {
        i64::MIN => read_array(bytes).map(i128::from_le_bytes),
        units => Some(units.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_value<V: StateValue>(value: &V, out: &mut Vec<u8>) {
        write_varint(u64::from(V::VERSION), out);
        value.write(out);
    }

    fn read_value<V: StateValue>(mut bytes: &[u8]) -> Result<V, String> {
        let version = read_version::<V>(&mut bytes)?;
        let value = V::read_version(version, &mut bytes);
        value.filter(|_| bytes.is_empty()).ok_or_else(|| damaged(version))
    }

    fn round<V: StateValue + PartialEq + std::fmt::Debug>(value: V) -> usize {
        let mut out = Vec::new();
        write_value(&value, &mut out);
        assert_eq!(read_value::<V>(&out), Ok(value));
        for cut in 0..out.len() {
            // Whatever is read of less, it never panics; nothing of it can be the whole.
            let _ = read_value::<V>(&out[..cut]);
        }
        out.len()
    }

    #[test]
    fn values_are_read_as_they_were_written_and_small_ones_are_short() {
        assert_eq!(round(7_u64), 2);
        assert_eq!(round(-7_i64), 2);
        assert_eq!(round(u64::MAX), 11);
        round(i64::MIN);
        round(String::from("größe"));
        round(vec![Some(Uuid([7; 16])), None]);
        round(BTreeMap::from([(String::from("a"), 1_u32)]));
        round(Decimal::<12, 2>::parse("-1.50").expect("a decimal"));
        round(Decimal::<38, 0>::new(i128::from(i64::MIN)).expect("it fits"));
        round((Timestamp::<crate::Millis>::new(-1), -0.5_f64));
    }

    #[test]
    fn foreign_bytes_are_told() {
        assert_eq!(read_value::<u8>(&[]), Err("an entry of state is empty".into()));
        assert_eq!(read_value::<u8>(&[9, 1]), Err("an entry of state has version 9, the plugin reads [1]".into()));
        assert!(read_value::<u8>(&[1, 200, 2]).is_err_and(|said| said.contains("not what version 1 writes")));
        assert!(read_value::<u8>(&[1, 2, 3]).is_err());
        assert_eq!(read_varint(&mut [0xff; 10].as_slice()), None);
    }
}
