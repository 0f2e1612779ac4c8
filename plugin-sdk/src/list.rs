//! Lists and maps: read in place, written from whatever yields their elements.
//!
//! A [`List`] or [`Map`] of a row is a range of the batch's elements: it is `Copy`, and yields elements without a copy.
//! To write one, a field is a [`List`] as it was read, a `Vec`, slice or array, or [`Elements`] of an iterator, which
//! allocates nothing; a map is a [`Map`], a `BTreeMap` or a `Vec` of pairs. (No `HashMap`: its order is random, and a
//! plugin gives the same answer each time.)

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::builder::{Builder, Lowercase, Uppercase, bytes_of};
use crate::column::{ColumnType, Json, JsonString, ReadColumn, WriteColumn};
use crate::decimal::{Decimal, Decimal256};
use crate::description::DataType;
use crate::time::{Date, Time, Timestamp, Unit, Zone};
use crate::uuid::Uuid;
use crate::view::{Buffers, Fixed, Mismatch, Plain, Values, View};

/// A list of a row: a view of its elements. `T` is a column type that is no list itself; `Option<T>` where elements
/// may be null.
pub struct List<'a, T: ReadColumn> {
    elements: T::View<'a>,
    start: usize,
    end: usize,
}

impl<T: ReadColumn> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ReadColumn> Copy for List<'_, T> {}

impl<'a, T: ReadColumn> List<'a, T> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// No elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// An element.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T::Of<'a>> {
        (index < self.len()).then(|| self.elements.get(self.start + index))
    }

    /// The elements, in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T::Of<'a>> + DoubleEndedIterator + use<'a, T> {
        let elements = self.elements;
        (self.start..self.end).map(move |index| elements.get(index))
    }
}

impl<'a, T: Plain + ColumnType> List<'a, T> {
    /// The elements as they lie in the batch.
    #[must_use]
    pub fn as_slice(&self) -> &'a [T] {
        Fixed::as_slice(&self.elements).get(self.start..self.end).unwrap_or_default()
    }
}

/// The empty list.
impl<'a, T: ReadColumn<View<'a>: Default>> Default for List<'a, T> {
    fn default() -> Self {
        Self { elements: T::View::default(), start: 0, end: 0 }
    }
}

impl<'a, T: ReadColumn<Of<'a>: fmt::Debug>> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: ReadColumn<Of<'a>: PartialEq>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// The keys and values of a row, in the order of the message.
pub struct Map<'a, K: ReadColumn, V: ReadColumn> {
    keys: K::View<'a>,
    values: V::View<'a>,
    start: usize,
    end: usize,
}

impl<K: ReadColumn, V: ReadColumn> Clone for Map<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ReadColumn, V: ReadColumn> Copy for Map<'_, K, V> {}

impl<'a, K: ReadColumn, V: ReadColumn> Map<'a, K, V> {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// No keys?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Keys and values, in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (K::Of<'a>, V::Of<'a>)> + DoubleEndedIterator + use<'a, K, V> {
        let (keys, values) = (self.keys, self.values);
        (self.start..self.end).map(move |index| (keys.get(index), values.get(index)))
    }

    /// The value of a key: of its first one, should it be there twice. Keys are looked at one after the other.
    pub fn get<Q: Copy>(&self, key: Q) -> Option<V::Of<'a>>
    where
        K::Of<'a>: PartialEq<Q>,
    {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

/// The empty map.
impl<'a, K: ReadColumn<View<'a>: Default>, V: ReadColumn<View<'a>: Default>> Default for Map<'a, K, V> {
    fn default() -> Self {
        Self { keys: K::View::default(), values: V::View::default(), start: 0, end: 0 }
    }
}

impl<'a, K: ReadColumn<Of<'a>: fmt::Debug>, V: ReadColumn<Of<'a>: fmt::Debug>> fmt::Debug for Map<'a, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, K: ReadColumn<Of<'a>: PartialEq>, V: ReadColumn<Of<'a>: PartialEq>> PartialEq for Map<'a, K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// A view of a column of lists.
pub struct Lists<'a, T: ReadColumn> {
    offsets: &'a [i32],
    elements: T::View<'a>,
}

impl<T: ReadColumn> Clone for Lists<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ReadColumn> Copy for Lists<'_, T> {}

impl<'a, T: ReadColumn> Lists<'a, T> {
    /// Rows + 1 offsets into [`Self::elements`].
    #[must_use]
    pub fn offsets(&self) -> &'a [i32] {
        self.offsets
    }

    /// The elements of all rows, one behind the other.
    #[must_use]
    pub fn elements(&self) -> T::View<'a> {
        self.elements
    }
}

/// The range of a row's elements.
#[inline(always)]
fn range(offsets: &[i32], row: usize) -> (usize, usize) {
    (offsets[row].cast_unsigned() as usize, offsets[row + 1].cast_unsigned() as usize)
}

impl<'a, T: ReadColumn> View<'a> for Lists<'a, T> {
    type Item = List<'a, T>;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.no_nulls()?;
        Self::values(buffers)
    }
    #[inline(always)]
    fn get(&self, row: usize) -> List<'a, T> {
        let (start, end) = range(self.offsets, row);
        List { elements: self.elements, start, end }
    }
}

impl<'a, T: ReadColumn> Values<'a> for Lists<'a, T> {
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        let (offsets, count) = buffers.offsets()?;
        Ok(Self { offsets, elements: buffers.elements(count, View::bind)? })
    }
}

/// A view of a column of maps.
pub struct Maps<'a, K: ReadColumn, V: ReadColumn> {
    offsets: &'a [i32],
    keys: K::View<'a>,
    values: V::View<'a>,
}

impl<K: ReadColumn, V: ReadColumn> Clone for Maps<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ReadColumn, V: ReadColumn> Copy for Maps<'_, K, V> {}

impl<'a, K: ReadColumn, V: ReadColumn> View<'a> for Maps<'a, K, V> {
    type Item = Map<'a, K, V>;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        buffers.no_nulls()?;
        Self::values(buffers)
    }
    #[inline(always)]
    fn get(&self, row: usize) -> Map<'a, K, V> {
        let (start, end) = range(self.offsets, row);
        Map { keys: self.keys, values: self.values, start, end }
    }
}

impl<'a, K: ReadColumn, V: ReadColumn> Values<'a> for Maps<'a, K, V> {
    fn values(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        let (offsets, count) = buffers.offsets()?;
        let (keys, values) = (buffers.elements(count, View::bind)?, buffers.elements(count, View::bind)?);
        Ok(Self { offsets, keys, values })
    }
}

/// Builds a column of lists.
#[derive(Clone, Debug)]
pub struct ListBuilder<B> {
    offsets: Vec<i32>,
    elements: B,
}

impl<B: Builder> ListBuilder<B> {
    /// Adds a row of these elements.
    #[inline]
    pub fn push<T: WriteColumn<Builder = B>>(&mut self, elements: impl IntoIterator<Item = T>) {
        elements.into_iter().for_each(|element| element.write(&mut self.elements));
        self.close_row();
    }

    fn close_row(&mut self) {
        self.offsets.push(i32::try_from(self.elements.len()).expect("a column of one batch has below 2^31 elements"));
    }
}

impl<B: Builder> Builder for ListBuilder<B> {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, elements: B::with_capacity(rows) }
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    fn push_zero(&mut self) {
        self.close_row();
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(bytes_of(&self.offsets));
        self.elements.buffers(buffers);
    }
}

/// Builds a column of maps.
#[derive(Clone, Debug)]
pub struct MapBuilder<K, V> {
    offsets: Vec<i32>,
    keys: K,
    values: V,
}

impl<K: Builder, V: Builder> MapBuilder<K, V> {
    /// Adds a row of these keys and values.
    #[inline]
    pub fn push<A, B>(&mut self, entries: impl IntoIterator<Item = (A, B)>)
    where
        A: WriteColumn<Builder = K>,
        B: WriteColumn<Builder = V>,
    {
        for (key, value) in entries {
            key.write(&mut self.keys);
            value.write(&mut self.values);
        }
        self.close_row();
    }

    fn close_row(&mut self) {
        self.offsets.push(i32::try_from(self.keys.len()).expect("a column of one batch has below 2^31 keys"));
    }
}

impl<K: Builder, V: Builder> Builder for MapBuilder<K, V> {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, keys: K::with_capacity(rows), values: V::with_capacity(rows) }
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    fn push_zero(&mut self) {
        self.close_row();
    }
    fn values<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        buffers.push(bytes_of(&self.offsets));
        self.keys.buffers(buffers);
        self.values.buffers(buffers);
    }
}

const fn list_of<T: ColumnType>() -> DataType {
    DataType::List { element: T::TYPE.element(), nullable: T::NULLABLE }
}

const fn map_of<K: ColumnType, V: ColumnType>() -> DataType {
    assert!(!K::NULLABLE, "the keys of a map are never null");
    DataType::Map { key: K::TYPE.element(), value: V::TYPE.element(), nullable: V::NULLABLE }
}

impl<T: ReadColumn> ColumnType for List<'_, T> {
    const TYPE: DataType = list_of::<T>();
}

impl<T: ReadColumn> ReadColumn for List<'_, T> {
    type Of<'a> = List<'a, T>;
    type View<'a> = Lists<'a, T>;
}

impl<'a, T> WriteColumn for List<'a, T>
where
    T: ReadColumn + WriteColumn,
    T::Of<'a>: WriteColumn<Builder = T::Builder>,
{
    type Builder = ListBuilder<T::Builder>;
    #[inline]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.iter());
    }
}

impl<K: ReadColumn, V: ReadColumn> ColumnType for Map<'_, K, V> {
    const TYPE: DataType = map_of::<K, V>();
}

impl<K: ReadColumn, V: ReadColumn> ReadColumn for Map<'_, K, V> {
    type Of<'a> = Map<'a, K, V>;
    type View<'a> = Maps<'a, K, V>;
}

impl<'a, K, V> WriteColumn for Map<'a, K, V>
where
    K: ReadColumn + WriteColumn,
    V: ReadColumn + WriteColumn,
    K::Of<'a>: WriteColumn<Builder = K::Builder>,
    V::Of<'a>: WriteColumn<Builder = V::Builder>,
{
    type Builder = MapBuilder<K::Builder, V::Builder>;
    #[inline]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.iter());
    }
}

/// Writes a list from an iterator, or from anything else that becomes one: `Elements(text.split(','))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements<I>(pub I);

impl<I: IntoIterator<Item: WriteColumn>> ColumnType for Elements<I> {
    const TYPE: DataType = list_of::<I::Item>();
}

impl<I: IntoIterator<Item: WriteColumn>> WriteColumn for Elements<I> {
    type Builder = ListBuilder<<I::Item as WriteColumn>::Builder>;
    #[inline]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.0);
    }
}

/// What a `Vec`, slice or array that is written as a list may hold: everything but `u8`, whose `Vec` and slice are bytes.
#[diagnostic::on_unimplemented(
    message = "a `Vec` or slice of `{Self}` is no list column",
    note = "lists hold columns that are no lists; Vec<u8> and &[u8] are bytes, a list of u8 is written as Elements(vec)"
)]
pub trait Element: WriteColumn {}

macro_rules! elements {
    ($([$($generics:tt)*] $element:ty;)*) => { $(impl<$($generics)*> Element for $element {})* };
}
elements! {
    [] i8; [] i16; [] i32; [] i64; [] u16; [] u32; [] u64; [] f32; [] f64; [] bool;
    [] &str; [] String; [] Cow<'_, str>; [] Lowercase<'_>; [] Uppercase<'_>;
    [] &[u8]; [] Vec<u8>; [] Json<'_>; [] JsonString; [] Uuid; [] Date;
    [U: Unit] Time<U>; [U: Unit, Z: Zone] Timestamp<U, Z>;
    [const P: u8, const S: i8] Decimal<P, S>; [const P: u8, const S: i8] Decimal256<P, S>;
    [T: Element] Option<T>;
}

macro_rules! written_lists {
    ($([$($generics:tt)*] $list:ty, $self:ident => $elements:expr;)*) => {$(
        impl<$($generics)*> ColumnType for $list {
            const TYPE: DataType = list_of::<T>();
        }
        impl<$($generics)*> WriteColumn for $list {
            type Builder = ListBuilder<T::Builder>;
            #[inline]
            fn write($self, builder: &mut Self::Builder) {
                builder.push($elements);
            }
        }
    )*};
}
written_lists! {
    [T: Element] Vec<T>, self => self;
    [T: Element + Clone] &[T], self => self.iter().cloned();
    [T: Element, const N: usize] [T; N], self => self;
}

macro_rules! written_maps {
    ($($map:ty),*) => {$(
        impl<K: Element, V: WriteColumn> ColumnType for $map {
            const TYPE: DataType = map_of::<K, V>();
        }
        impl<K: Element, V: WriteColumn> WriteColumn for $map {
            type Builder = MapBuilder<K::Builder, V::Builder>;
            #[inline]
            fn write(self, builder: &mut Self::Builder) {
                builder.push(self);
            }
        }
    )*};
}
written_maps!(Vec<(K, V)>, BTreeMap<K, V>);
