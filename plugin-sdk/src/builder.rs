//! Writing: builders of output columns, which are Arrow's buffers from the first value on.

use std::borrow::Cow;

use crate::text::flip_case;
use crate::view::{Nullable, Plain, Variable, bit};

/// A column as it is written.
pub trait Builder: Sized {
    /// An empty column with room for so many rows.
    fn with_capacity(rows: usize) -> Self;
    /// Rows written.
    fn len(&self) -> usize;
    /// No row written?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Writes the type's zero: the slot of a null.
    fn push_zero(&mut self);
    /// The buffers behind the validity.
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>);
    /// All buffers, validity first. Empty validity: no nulls.
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(&[]);
        self.values(buffers);
    }
}

pub(crate) fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding, so all bytes are initialised; u8 has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Bits, least significant first.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// Adds a bit.
    #[inline]
    pub fn push(&mut self, set: bool) {
        let shift = self.len & 7;
        if shift == 0 {
            self.bytes.push(u8::from(set));
        } else if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(set) << shift;
        }
        self.len += 1;
    }

    /// Adds the first `count` bits of a bitmap. Panics if it has fewer.
    pub fn extend_from(&mut self, bits: &[u8], count: usize) {
        if self.len & 7 != 0 {
            (0..count).for_each(|index| self.push(bit(bits, index)));
            return;
        }
        self.bytes.extend_from_slice(&bits[..count.div_ceil(8)]);
        if let (Some(last), tail @ 1..) = (self.bytes.last_mut(), count & 7) {
            *last &= (1 << tail) - 1;
        }
        self.len += count;
    }

    /// So many bits, all set.
    #[must_use]
    pub fn ones(len: usize) -> Self {
        let mut bytes = vec![0xff; len.div_ceil(8)];
        if let (Some(last), tail @ 1..) = (bytes.last_mut(), len & 7) {
            *last = (1 << tail) - 1;
        }
        Self { bytes, len }
    }

    /// So many bits, none set.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self { bytes: vec![0; len.div_ceil(8)], len }
    }

    /// Sets a bit. Panics if it is beyond the end.
    #[inline]
    pub fn set(&mut self, index: usize) {
        self.bytes[index >> 3] |= 1 << (index & 7);
    }

    /// A bit. Panics if it is beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        bit(&self.bytes, index)
    }

    /// Number of bits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No bits?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits that are set.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The bytes; bits beyond the end are zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Builds a column of values of one width.
#[derive(Clone, Debug, Default)]
pub struct FixedBuilder<T>(Vec<T>);

impl<T: Plain> FixedBuilder<T> {
    /// Adds a value.
    #[inline(always)]
    pub fn push(&mut self, value: T) {
        self.0.push(value);
    }

    /// Adds values.
    pub fn extend_from_slice(&mut self, values: &[T]) {
        self.0.extend_from_slice(values);
    }
}

/// Adds values.
impl<T: Plain> Extend<T> for FixedBuilder<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        self.0.extend(values);
    }
}

impl<T: Plain> Builder for FixedBuilder<T> {
    fn with_capacity(rows: usize) -> Self {
        Self(Vec::with_capacity(rows))
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    fn push_zero(&mut self) {
        self.0.push(T::ZERO);
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(bytes_of(&self.0));
    }
}

/// Builds a column of booleans.
#[derive(Clone, Debug, Default)]
pub struct BoolBuilder(Bits);

impl BoolBuilder {
    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        self.0.push(value);
    }
}

impl Builder for BoolBuilder {
    fn with_capacity(rows: usize) -> Self {
        Self(Bits { bytes: Vec::with_capacity(rows.div_ceil(8)), len: 0 })
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn push_zero(&mut self) {
        self.0.push(false);
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(self.0.as_bytes());
    }
}

/// Builds a column of text, JSON or bytes. Which of them is the column type's business: the buffers are the same.
#[derive(Clone, Debug)]
pub struct VariableBuilder {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl VariableBuilder {
    /// Adds a row of these bytes.
    #[inline(always)]
    pub fn push(&mut self, bytes: &[u8]) {
        append(&mut self.bytes, bytes);
        self.close_row();
    }

    /// Adds a row that is written piece by piece; what `write` appends is the row.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.close_row();
    }

    /// Adds all rows of an input column.
    pub fn extend_from<T>(&mut self, column: &Variable<'_, T>) {
        let (written, bytes) = (self.bytes.len(), column.bytes());
        i32::try_from(written + bytes.len()).expect("a column of one batch is below 2 GiB");
        let offsets = column.offsets().iter().skip(1);
        // Offsets of a batch begin at 0, and the sum fits, see above.
        let shift = i32::try_from(written).expect("less than the sum");
        self.offsets.extend(offsets.map(|offset| offset.wrapping_add(shift)));
        self.bytes.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn close_row(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).expect("a column of one batch is below 2 GiB"));
    }
}

impl Builder for VariableBuilder {
    fn with_capacity(rows: usize) -> Self {
        // 16 bytes a row: the median of the text columns in the recorded topics; it grows by doubling from there.
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(rows * 16) }
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    #[inline]
    fn push_zero(&mut self) {
        self.close_row();
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(bytes_of(&self.offsets));
        buffers.push(&self.bytes);
    }
}

/// Appends bytes.
#[inline(always)]
fn append(to: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= SHORT {
        append_short(to, bytes, |eight| eight);
    } else {
        to.extend_from_slice(bytes);
    }
}

/// Appends bytes of which some letters are of the other case; `flip` says how eight of them change.
#[inline(always)]
fn append_flipped(to: &mut Vec<u8>, bytes: &[u8], flip: impl Fn(u64) -> u64) {
    if bytes.len() <= SHORT {
        append_short(to, bytes, flip);
        return;
    }
    let start = to.len();
    to.extend_from_slice(bytes);
    let (eights, rest) = to[start..].as_chunks_mut::<8>();
    eights.iter_mut().for_each(|eight| *eight = flip(u64::from_le_bytes(*eight)).to_le_bytes());
    rest.iter_mut().for_each(|byte| *byte = flip(u64::from(*byte)).to_le_bytes()[0]);
}

/// Longest text that is copied by loads and stores. WebAssembly's `memory.copy` is a call into the host, which costs more
/// than the text of most columns.
const SHORT: usize = 32;

/// Appends at most [`SHORT`] bytes, changed by `map`, by two or four loads and stores that may overlap.
#[inline(always)]
fn append_short(to: &mut Vec<u8>, bytes: &[u8], map: impl Fn(u64) -> u64) {
    let len = bytes.len();
    to.reserve(len);
    // SAFETY: both sides have `len` bytes, the target reserved just now, and each branch stays within them: it copies
    // the first N and the last N bytes, for an N that is at most `len`.
    unsafe {
        let (from, target) = (bytes.as_ptr(), to.as_mut_ptr().add(to.len()));
        let byte = |at: usize| target.add(at).write(map(u64::from(from.add(at).read())).to_le_bytes()[0]);
        match len {
            0 => {}
            1..4 => {
                byte(0);
                byte(len / 2);
                byte(len - 1);
            }
            4..8 => copy_ends::<4>(from, target, len, &map),
            8..=16 => copy_ends::<8>(from, target, len, &map),
            _ => {
                copy_ends::<8>(from, target, 16, &map);
                copy_ends::<8>(from.add(len - 16), target.add(len - 16), 16, &map);
            }
        }
        to.set_len(to.len() + len);
    }
}

/// Copies the first and the last `N` of `len` bytes, changed by `map`.
///
/// # Safety
/// Both pointers are good for `len` bytes, which is at least `N`, which is at most 8.
#[inline(always)]
unsafe fn copy_ends<const N: usize>(from: *const u8, to: *mut u8, len: usize, map: impl Fn(u64) -> u64) {
    // SAFETY: the caller's promise.
    let load = |at: usize| unsafe {
        let mut eight = [0; 8];
        eight[..N].copy_from_slice(&from.add(at).cast::<[u8; N]>().read());
        map(u64::from_le_bytes(eight))
    };
    let (head, tail) = (load(0), load(len - N));
    // SAFETY: the caller's promise; eight bytes have `N`.
    unsafe {
        to.cast::<[u8; N]>().write(*head.to_le_bytes().as_ptr().cast());
        to.add(len - N).cast::<[u8; N]>().write(*tail.to_le_bytes().as_ptr().cast());
    }
}

/// Builds a column that may be null. The bitmap begins with the first null: most columns never have one.
#[derive(Clone, Debug)]
pub struct NullableBuilder<B> {
    validity: Option<Bits>,
    values: B,
}

impl<B: Builder> NullableBuilder<B> {
    /// Adds a value through `write`, which must write exactly one.
    #[inline(always)]
    pub fn push_valid(&mut self, write: impl FnOnce(&mut B)) {
        if let Some(validity) = &mut self.validity {
            validity.push(true);
        }
        write(&mut self.values);
    }

    /// Adds a null.
    #[inline]
    pub fn push_null(&mut self) {
        self.validity.get_or_insert_with(|| Bits::ones(self.values.len())).push(false);
        self.values.push_zero();
    }

    /// Adds all rows of an input column; `write` adds its values.
    pub fn extend_from<V>(&mut self, column: &Nullable<'_, V>, rows: usize, write: impl FnOnce(&mut B, &V)) {
        match column.validity() {
            Some(bits) => {
                self.validity.get_or_insert_with(|| Bits::ones(self.values.len())).extend_from(bits, rows);
            }
            None => {
                if let Some(validity) = &mut self.validity {
                    (0..rows).for_each(|_| validity.push(true));
                }
            }
        }
        write(&mut self.values, column.values());
    }

    /// Adds a value or a null.
    #[inline(always)]
    pub fn push<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut B, T)) {
        match value {
            Some(value) => self.push_valid(|values| write(values, value)),
            None => self.push_null(),
        }
    }
}

impl<B: Builder> Builder for NullableBuilder<B> {
    fn with_capacity(rows: usize) -> Self {
        Self { validity: None, values: B::with_capacity(rows) }
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn push_zero(&mut self) {
        self.push_null();
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        self.values.values(buffers);
    }
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(self.validity.as_ref().map_or(&[], Bits::as_bytes));
        self.values(buffers);
    }
}

/// The builder of a column that is passed on: it writes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassBuilder;

impl Builder for PassBuilder {
    fn with_capacity(_rows: usize) -> Self {
        Self
    }
    fn len(&self) -> usize {
        0
    }
    fn push_zero(&mut self) {}
    fn values<'b>(&'b self, _buffers: &mut Vec<&'b [u8]>) {}
    fn buffers<'b>(&'b self, _buffers: &mut Vec<&'b [u8]>) {}
}

/// Text written in lower case (ASCII letters only), without a copy in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowercase<'a>(pub &'a str);

/// Text written in upper case (ASCII letters only), without a copy in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uppercase<'a>(pub &'a str);

/// Text that can be written into a column.
pub trait WriteText {
    /// Appends the text's bytes.
    fn write_text(&self, to: &mut Vec<u8>);
}

impl WriteText for &str {
    #[inline(always)]
    fn write_text(&self, to: &mut Vec<u8>) {
        append(to, self.as_bytes());
    }
}

impl WriteText for String {
    fn write_text(&self, to: &mut Vec<u8>) {
        append(to, self.as_bytes());
    }
}

impl WriteText for Cow<'_, str> {
    #[inline]
    fn write_text(&self, to: &mut Vec<u8>) {
        append(to, self.as_bytes());
    }
}

impl WriteText for Lowercase<'_> {
    #[inline(always)]
    fn write_text(&self, to: &mut Vec<u8>) {
        append_flipped(to, self.0.as_bytes(), |eight| flip_case(eight, b'A', b'Z'));
    }
}

impl WriteText for Uppercase<'_> {
    #[inline]
    fn write_text(&self, to: &mut Vec<u8>) {
        append_flipped(to, self.0.as_bytes(), |eight| flip_case(eight, b'a', b'z'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_length_is_copied_whole() {
        let source: Vec<u8> = (0..=255).collect();
        let mut copied = Vec::new();
        let mut expected = Vec::new();
        for len in (0..80).chain((0..80).rev()) {
            append(&mut copied, &source[len..2 * len]);
            expected.extend_from_slice(&source[len..2 * len]);
            assert_eq!(copied, expected, "length {len}");
        }
    }

    #[test]
    fn the_case_of_every_letter_at_every_place_is_turned() {
        for len in 1..80 {
            for byte in 0..=u8::MAX {
                let mut source = vec![b'-'; len];
                source[usize::from(byte) % len] = byte;
                source[len - 1 - usize::from(byte) % len] = byte;
                let (mut lower, mut upper) = (b"x".to_vec(), b"x".to_vec());
                append_flipped(&mut lower, &source, |eight| flip_case(eight, b'A', b'Z'));
                append_flipped(&mut upper, &source, |eight| flip_case(eight, b'a', b'z'));
                assert_eq!(lower[1..], source.to_ascii_lowercase(), "{byte} in {len} bytes");
                assert_eq!(upper[1..], source.to_ascii_uppercase(), "{byte} in {len} bytes");
            }
        }
    }

    #[test]
    fn bits_beyond_the_end_are_zero() {
        for len in 0..20 {
            assert_eq!(Bits::ones(len).count_ones(), len);
            let mut pushed = Bits::default();
            (0..len).for_each(|_| pushed.push(true));
            assert_eq!(pushed.as_bytes(), Bits::ones(len).as_bytes());
        }
    }
}
