//! Reading: typed views over the buffers of a batch, without a copy.
//!
//! **Assumed.** Buffers hold what the description says: the host fills them from validated Arrow arrays, the test
//! harness from the SDK's own builders. Lengths and alignment are checked once when a view is bound, UTF-8 is not
//! looked at again.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A value whose bytes are its column's bytes.
///
/// # Safety
/// Any bit pattern, all zero among them, must be a valid value; no padding; alignment at most 8.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read from a column",
    note = "text is read as &str, bytes as &[u8], lists as List, so that no row is copied; Option<T> is a nullable column"
)]
pub unsafe trait Plain: Copy + 'static {
    /// The value of a slot that has none: zero bits.
    const ZERO: Self;
}

macro_rules! plain_numbers {
    ($($number:ty),*) => {$(
        // SAFETY: a primitive number of at most 8 bytes.
        unsafe impl Plain for $number {
            const ZERO: Self = 0 as Self;
        }
    )*};
}
plain_numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// The buffers of a batch, taken one by one, in the order of the description.
#[derive(Debug)]
pub struct Buffers<'a> {
    rows: usize,
    rest: std::slice::Iter<'a, &'a [u8]>,
    presence: Option<Presence>,
}

/// Which rows of an `Option` of a row are there, gathered while its columns are bound: those that have a value in every
/// column that cannot be null; where all columns can be null, those that have a value in any.
#[derive(Debug)]
struct Presence {
    /// Bits of the rows without null in the columns so far that cannot be null; `None`: there was no such column.
    whole: Option<Vec<u8>>,
    /// Bits of the rows with a value in a column that can be null.
    partly: Vec<u8>,
}

/// The host's buffers are not what was described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl Mismatch {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Says which column it was.
    #[must_use]
    pub fn of_column(self, name: &str) -> Self {
        Self(format!("input column `{name}`: {}", self.0))
    }
}

impl<'a> Buffers<'a> {
    pub(crate) fn new(rows: usize, buffers: &'a [&'a [u8]]) -> Self {
        Self { rows, rest: buffers.iter(), presence: None }
    }

    /// Rows of the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn finish(mut self) -> Result<(), Mismatch> {
        match self.rest.len() {
            0 => Ok(()),
            more => {
                self.rest = [].iter();
                Err(Mismatch(format!("{more} buffers more than the input columns have")))
            }
        }
    }

    fn take(&mut self) -> Result<&'a [u8], Mismatch> {
        self.rest.next().copied().ok_or_else(|| Mismatch("a buffer is missing".into()))
    }

    fn values<T: Plain>(&mut self, wanted: usize) -> Result<&'a [T], Mismatch> {
        let bytes = self.take()?;
        if bytes.len() != wanted * size_of::<T>() {
            return Err(Mismatch(format!(
                "a buffer has {} bytes where {wanted} values of {} bytes need {}",
                bytes.len(),
                size_of::<T>(),
                wanted * size_of::<T>()
            )));
        }
        // SAFETY: `Plain` takes any bit pattern.
        let (before, values, _) = unsafe { bytes.align_to::<T>() };
        if before.is_empty() && values.len() == wanted { Ok(values) } else { Err(Mismatch("misaligned buffer".into())) }
    }

    fn bits(&mut self) -> Result<&'a [u8], Mismatch> {
        let (bytes, wanted) = (self.take()?, self.rows.div_ceil(8));
        if bytes.len() < wanted {
            return Err(Mismatch(format!("a bitmap has {} bytes where {} rows need {wanted}", bytes.len(), self.rows)));
        }
        Ok(bytes)
    }

    fn raw_validity(&mut self) -> Result<Option<&'a [u8]>, Mismatch> {
        if self.rest.as_slice().first().is_some_and(|bytes| bytes.is_empty()) {
            self.take().map(|_| None)
        } else {
            self.bits().map(Some)
        }
    }

    pub(crate) fn validity(&mut self) -> Result<Option<&'a [u8]>, Mismatch> {
        let bits = self.raw_validity()?;
        if let Some(Presence { partly, .. }) = &mut self.presence {
            combine(partly, bits, |present, valid| present | valid);
        }
        Ok(bits)
    }

    pub(crate) fn no_nulls(&mut self) -> Result<(), Mismatch> {
        let (bits, rows) = (self.raw_validity()?, self.rows);
        if let Some(Presence { whole, .. }) = &mut self.presence {
            combine(whole.get_or_insert_with(|| vec![0xff; rows.div_ceil(8)]), bits, |present, valid| present & valid);
            return Ok(());
        }
        match bits {
            Some(bits) if !(0..rows).all(|row| bit(bits, row)) => Err(Mismatch("null, but not nullable".into())),
            _ => Ok(()),
        }
    }

    /// Binds columns of which all may be null, and says which rows are there.
    pub(crate) fn optional<C>(
        &mut self,
        bind: impl FnOnce(&mut Self) -> Result<C, Mismatch>,
    ) -> Result<(Vec<u8>, C), Mismatch> {
        let outer = self.presence.replace(Presence { whole: None, partly: vec![0; self.rows.div_ceil(8)] });
        let columns = bind(self)?;
        let presence = std::mem::replace(&mut self.presence, outer);
        let Presence { whole, partly } = presence.expect("nothing but this function changes it, and that nests");
        Ok((whole.unwrap_or(partly), columns))
    }

    /// Offsets of lists or maps: rows + 1 of them, and the number of elements.
    pub(crate) fn offsets(&mut self) -> Result<(&'a [i32], usize), Mismatch> {
        let offsets: &[i32] = self.values(self.rows + 1)?;
        Ok((offsets, offsets.last().map_or(0, |last| last.cast_unsigned() as usize)))
    }

    /// Binds the column of the elements of lists or maps.
    pub(crate) fn elements<T>(
        &mut self,
        count: usize,
        bind: impl FnOnce(&mut Self) -> Result<T, Mismatch>,
    ) -> Result<T, Mismatch> {
        let mut inner = Self { rows: count, rest: self.rest.clone(), presence: None };
        let elements = bind(&mut inner).map_err(|mismatch| Mismatch(format!("elements: {}", mismatch.0)))?;
        self.rest = inner.rest;
        Ok(elements)
    }
}

/// Combines bits with those of a validity, all of which are set where it is absent.
fn combine(bits: &mut [u8], validity: Option<&[u8]>, with: impl Fn(u8, u8) -> u8) {
    match validity {
        Some(validity) => bits.iter_mut().zip(validity).for_each(|(bits, valid)| *bits = with(*bits, *valid)),
        None => bits.iter_mut().for_each(|bits| *bits = with(*bits, 0xff)),
    }
}

/// The bit of a row, least significant first.
#[inline(always)]
#[must_use]
pub fn bit(bits: &[u8], row: usize) -> bool {
    bits[row >> 3] >> (row & 7) & 1 == 1
}

/// A column as it is read.
pub trait View<'a>: Copy {
    /// What a row holds.
    type Item;
    /// Takes the column's buffers, validity first.
    ///
    /// # Errors
    /// The buffers do not fit the type and the number of rows.
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch>;
    /// The value of a row. Panics if the batch has no such row.
    fn get(&self, row: usize) -> Self::Item;
}

/// A column's values without its validity: what [`Nullable`] wraps.
pub trait Values<'a>: View<'a> {
    /// Takes the column's buffers behind the validity.
    ///
    /// # Errors
    /// As for [`View::bind`].
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch>;
}

/// A column of values of one width: derefs to `&[T]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<'a, T>(&'a [T]);

impl<'a, T: Plain> View<'a> for Fixed<'a, T> {
    type Item = T;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.no_nulls()?;
        Self::values(buffers)
    }
    #[inline(always)]
    fn get(&self, row: usize) -> T {
        self.0[row]
    }
}

impl<'a, T: Plain> Values<'a> for Fixed<'a, T> {
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.values(buffers.rows).map(Self)
    }
}

impl<'a, T> Fixed<'a, T> {
    /// All values, as long as the batch lives; those of null rows are arbitrary.
    #[must_use]
    pub fn as_slice(&self) -> &'a [T] {
        self.0
    }
}

impl<T> Deref for Fixed<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.0
    }
}

/// A column of booleans.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bools<'a>(&'a [u8]);

impl<'a> View<'a> for Bools<'a> {
    type Item = bool;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.no_nulls()?;
        Self::values(buffers)
    }
    #[inline(always)]
    fn get(&self, row: usize) -> bool {
        bit(self.0, row)
    }
}

impl<'a> Values<'a> for Bools<'a> {
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.bits().map(Self)
    }
}

impl<'a> Bools<'a> {
    /// The bitmap, least significant bit first.
    #[must_use]
    pub fn bits(&self) -> &'a [u8] {
        self.0
    }
}

/// A value made from bytes of variable length.
pub trait FromBytes<'a>: Copy {
    /// # Safety
    /// The bytes are of the column's type: UTF-8 for text.
    unsafe fn from_bytes(bytes: &'a [u8]) -> Self;
}

impl<'a> FromBytes<'a> for &'a [u8] {
    unsafe fn from_bytes(bytes: &'a [u8]) -> Self {
        bytes
    }
}

impl<'a> FromBytes<'a> for &'a str {
    #[inline(always)]
    unsafe fn from_bytes(bytes: &'a [u8]) -> Self {
        // SAFETY: the caller's promise.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
}

/// A column of text, JSON or bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variable<'a, T> {
    offsets: &'a [i32],
    bytes: &'a [u8],
    item: PhantomData<T>,
}

impl<'a, T: FromBytes<'a>> View<'a> for Variable<'a, T> {
    type Item = T;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.no_nulls()?;
        Self::values(buffers)
    }
    #[inline(always)]
    fn get(&self, row: usize) -> T {
        let (start, end) = (self.offsets[row].cast_unsigned(), self.offsets[row + 1].cast_unsigned());
        let bytes = &self.bytes[start as usize..end as usize];
        // SAFETY: the buffers come from a validated Arrow array of this type, see the module's assumption.
        unsafe { T::from_bytes(bytes) }
    }
}

impl<'a, T: FromBytes<'a>> Values<'a> for Variable<'a, T> {
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        let offsets = buffers.values(buffers.rows + 1)?;
        Ok(Self { offsets, bytes: buffers.take()?, item: PhantomData })
    }
}

impl<'a, T> Variable<'a, T> {
    /// Rows + 1 offsets into [`Self::bytes`].
    #[must_use]
    pub fn offsets(&self) -> &'a [i32] {
        self.offsets
    }

    /// The bytes of all rows, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A column that may be null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<'a, V> {
    validity: Option<&'a [u8]>,
    values: V,
}

impl<'a, V: Values<'a>> View<'a> for Nullable<'a, V> {
    type Item = Option<V::Item>;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        Ok(Self { validity: buffers.validity()?, values: V::values(buffers)? })
    }
    #[inline(always)]
    fn get(&self, row: usize) -> Option<V::Item> {
        if self.is_valid(row) { Some(self.values.get(row)) } else { None }
    }
}

impl<'a, V> Nullable<'a, V> {
    /// Whether a row has a value.
    #[inline(always)]
    #[must_use]
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.is_none_or(|bits| bit(bits, row))
    }

    /// The bitmap of rows that have a value, least significant bit first; `None`: all have.
    #[must_use]
    pub fn validity(&self) -> Option<&'a [u8]> {
        self.validity
    }

    /// The values; those of null rows are arbitrary.
    #[must_use]
    pub fn values(&self) -> &V {
        &self.values
    }
}
