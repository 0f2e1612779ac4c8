//! Columnar frames: Arrow arrays as the buffers that cross the border, and back.
//!
//! **Promise.** What comes back from a guest becomes an array only after every buffer's length, every offset, all
//! UTF-8, every decimal and the nulls have been checked; whatever the bytes are, the answer is an array that Arrow's
//! full validation accepts, or an error, never a panic.
//! **Assumed.** Host and guest are little-endian, as Arrow's format is.
//!
//! Layout, from <https://arrow.apache.org/docs/format/Columnar.html>: validity bitmap (empty: no nulls), then one
//! buffer of values, or offsets and bytes, or offsets and the buffers of children. Buffers are exactly as long as their
//! rows need, without padding.
//!
//! Nothing here knows of wasmtime or of the engine: the fuzz target of the border compiles this file by itself.

mod nested;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, ByteArrayType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, GenericByteArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, FieldRef, SchemaRef, TimeUnit};

#[cfg(target_endian = "big")]
compile_error!("buffers cross the border as they lie in memory, and the guest's memory is little-endian");

/// Bytes of a UUID.
const UUID_BYTES: usize = 16;

/// What is wrong with a column that a guest gave.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// A buffer is missing, or one too many.
    #[error("{got} buffers where the described columns have {want}")]
    Count { want: usize, got: usize },
    /// A buffer is not as long as the rows need.
    #[error("{what} has {got} bytes where {rows} rows need {want}")]
    Length { what: &'static str, rows: usize, want: usize, got: usize },
    /// Offsets begin elsewhere than at 0, go back, or end elsewhere than the bytes.
    #[error("offsets {0}")]
    Offsets(&'static str),
    /// Text is not UTF-8, or a value begins or ends within a character.
    #[error("text is not UTF-8")]
    Utf8,
    /// A null in a column that was described without.
    #[error("{0} nulls in a column that is not nullable")]
    Nulls(usize),
    /// A decimal has more digits than its precision.
    #[error("a decimal has more than {0} digits")]
    Precision(u8),
    /// A row is taken that the batch does not have.
    #[error("row {row} taken of a batch of {rows}")]
    Row { row: u32, rows: usize },
    /// Wrong in a column, or in the elements, keys or values of one.
    #[error("{of}: {error}")]
    Within { of: String, error: Box<FrameError> },
    /// The contract has no such type: a bug of the host, because descriptions have been checked.
    #[error("type {0} can't cross the border")]
    Type(DataType),
}

impl FrameError {
    fn within(of: impl Into<String>, error: Self) -> Self {
        Self::Within { of: of.into(), error: Box::new(error) }
    }
}

/// How the values of a type lie in buffers.
enum Layout<'a> {
    Bits,
    /// Values of so many bytes.
    Fixed(usize),
    /// Offsets of 32 bits and bytes.
    Bytes,
    /// Offsets of 32 bits and elements.
    List(&'a FieldRef),
    /// Offsets of 32 bits and entries: keys and values.
    Map(&'a FieldRef),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the contract has a few of Arrow's types")]
fn layout(data_type: &DataType) -> Option<Layout<'_>> {
    match data_type {
        DataType::Boolean => Some(Layout::Bits),
        DataType::Utf8 | DataType::Binary => Some(Layout::Bytes),
        DataType::FixedSizeBinary(16) => Some(Layout::Fixed(UUID_BYTES)),
        DataType::List(item) => Some(Layout::List(item)),
        DataType::Map(entries, false) => Some(Layout::Map(entries)),
        other => other.primitive_width().map(Layout::Fixed),
    }
}

/// How many buffers a column of this type has.
pub(super) fn buffer_count(data_type: &DataType) -> usize {
    match layout(data_type) {
        Some(Layout::Bytes) => 3,
        Some(Layout::Bits | Layout::Fixed(_)) | None => 2,
        Some(Layout::List(item)) => 2 + buffer_count(item.data_type()),
        Some(Layout::Map(entries)) => {
            let children = nested::key_and_value(entries);
            2 + children.map_or(0, |(key, value)| buffer_count(key.data_type()) + buffer_count(value.data_type()))
        }
    }
}

/// Adds the buffers of a column, exactly as long as its rows need. They share the array's memory, but for bitmaps
/// that don't begin at a byte and offsets that don't begin at 0.
pub(super) fn push_buffers(array: &dyn Array, buffers: &mut Vec<Buffer>) -> Result<(), FrameError> {
    let rows = array.len();
    buffers.push(match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => bitmap(nulls.inner()),
        Some(_) | None => Buffer::default(),
    });
    match layout(array.data_type()) {
        Some(Layout::Bits) => buffers.push(bitmap(array.as_boolean().values())),
        Some(Layout::Fixed(width)) => {
            let data = array.to_data();
            buffers.push(data.buffers()[0].slice_with_length(data.offset() * width, rows * width));
        }
        Some(Layout::Bytes) => push_bytes(&array.to_data(), buffers),
        Some(Layout::List(_)) => {
            let list = array.as_list::<i32>();
            nested::push(list.offsets(), &[list.values()], buffers)?;
        }
        Some(Layout::Map(_)) => {
            let map = array.as_map();
            nested::push(map.offsets(), &[map.keys(), map.values()], buffers)?;
        }
        None => return Err(FrameError::Type(array.data_type().clone())),
    }
    Ok(())
}

/// Bits from the first on, in as few bytes as hold them.
fn bitmap(bits: &BooleanBuffer) -> Buffer {
    bits.sliced().slice_with_length(0, bits.len().div_ceil(8))
}

fn push_bytes(data: &ArrayData, buffers: &mut Vec<Buffer>) {
    let (offset, rows) = (data.offset(), data.len());
    // Arrow lets an array without rows be without offsets; the border does not.
    if rows == 0 {
        buffers.extend([Buffer::from_slice_ref([0_i32]), Buffer::default()]);
        return;
    }
    let lying = data.buffers()[0].slice_with_length(offset * 4, (rows + 1) * 4);
    let (first, last) = push_offsets(&data.buffer::<i32>(0)[..=rows], &lying, buffers);
    buffers.push(data.buffers()[1].slice_with_length(first, last - first));
}

/// Adds offsets (and `lying`, where they lie) so that they begin at 0. Answers where they began and ended.
fn push_offsets(offsets: &[i32], lying: &Buffer, buffers: &mut Vec<Buffer>) -> (usize, usize) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    buffers.push(match first {
        0 => lying.clone(),
        _ => offsets.iter().map(|at| at - first).collect::<Vec<i32>>().into(),
    });
    (first.as_usize(), last.as_usize())
}

/// Builds a guest's columns from their buffers, one column after the other, each of so many rows.
pub(super) fn batch(schema: &SchemaRef, rows: usize, mut buffers: &[&[u8]]) -> Result<RecordBatch, FrameError> {
    let (want, got) = (schema.fields().iter().map(|field| buffer_count(field.data_type())).sum(), buffers.len());
    if want != got {
        return Err(FrameError::Count { want, got });
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let (own, rest) = buffers.split_at(buffer_count(field.data_type()));
        buffers = rest;
        let column = column(field, rows, own);
        columns.push(column.map_err(|error| FrameError::within(format!("column {}", field.name()), error))?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    Ok(batch.expect("each column has been made for its field and for so many rows"))
}

/// Builds a column from a guest's buffers, [`buffer_count`] of them. The bytes are copied once, into aligned memory.
pub(super) fn column(field: &Field, rows: usize, buffers: &[&[u8]]) -> Result<ArrayRef, FrameError> {
    let count = || FrameError::Count { want: buffer_count(field.data_type()), got: buffers.len() };
    let [validity, values @ ..] = buffers else { return Err(count()) };
    let nulls = nulls(field, rows, validity)?;
    match (layout(field.data_type()), values) {
        (Some(Layout::Bits | Layout::Fixed(_)), [values]) => fixed(field.data_type(), rows, values, nulls),
        (Some(Layout::Bytes), [offsets, bytes]) if *field.data_type() == DataType::Utf8 => {
            byte_array::<arrow_array::types::Utf8Type>(rows, offsets, bytes, nulls)
        }
        (Some(Layout::Bytes), [offsets, bytes]) => {
            byte_array::<arrow_array::types::BinaryType>(rows, offsets, bytes, nulls)
        }
        (Some(Layout::List(item)), [offsets, items @ ..]) => nested::list(item, rows, offsets, items, nulls),
        (Some(Layout::Map(entries)), [offsets, children @ ..]) => nested::map(entries, rows, offsets, children, nulls),
        (None, _) => Err(FrameError::Type(field.data_type().clone())),
        (Some(_), _) => Err(count()),
    }
}

fn nulls(field: &Field, rows: usize, validity: &[u8]) -> Result<Option<NullBuffer>, FrameError> {
    if validity.is_empty() {
        return Ok(None);
    }
    let nulls = NullBuffer::new(bits("validity", rows, validity)?);
    match nulls.null_count() {
        0 => Ok(None),
        count if !field.is_nullable() => Err(FrameError::Nulls(count)),
        _ => Ok(Some(nulls)),
    }
}

/// A bitmap of a guest.
pub(super) fn bits(what: &'static str, rows: usize, bytes: &[u8]) -> Result<BooleanBuffer, FrameError> {
    exactly(what, rows, rows.div_ceil(8), bytes)?;
    Ok(BooleanBuffer::new(Buffer::from(bytes), 0, rows))
}

fn exactly(what: &'static str, rows: usize, want: usize, bytes: &[u8]) -> Result<(), FrameError> {
    let got = bytes.len();
    if got == want { Ok(()) } else { Err(FrameError::Length { what, rows, want, got }) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the contract has a few of Arrow's types")]
fn fixed(data_type: &DataType, rows: usize, values: &[u8], nulls: Option<NullBuffer>) -> Result<ArrayRef, FrameError> {
    match data_type {
        DataType::Boolean => Ok(Arc::new(BooleanArray::new(bits("values", rows, values)?, nulls))),
        DataType::Int8 => primitive::<Int8Type>(data_type, rows, values, nulls),
        DataType::Int16 => primitive::<Int16Type>(data_type, rows, values, nulls),
        DataType::Int32 => primitive::<Int32Type>(data_type, rows, values, nulls),
        DataType::Int64 => primitive::<Int64Type>(data_type, rows, values, nulls),
        DataType::UInt8 => primitive::<UInt8Type>(data_type, rows, values, nulls),
        DataType::UInt16 => primitive::<UInt16Type>(data_type, rows, values, nulls),
        DataType::UInt32 => primitive::<UInt32Type>(data_type, rows, values, nulls),
        DataType::UInt64 => primitive::<UInt64Type>(data_type, rows, values, nulls),
        DataType::Float32 => primitive::<Float32Type>(data_type, rows, values, nulls),
        DataType::Float64 => primitive::<Float64Type>(data_type, rows, values, nulls),
        DataType::Date32 => primitive::<Date32Type>(data_type, rows, values, nulls),
        DataType::Time32(TimeUnit::Second) => primitive::<Time32SecondType>(data_type, rows, values, nulls),
        DataType::Time32(TimeUnit::Millisecond) => primitive::<Time32MillisecondType>(data_type, rows, values, nulls),
        DataType::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(data_type, rows, values, nulls),
        DataType::Time64(TimeUnit::Nanosecond) => primitive::<Time64NanosecondType>(data_type, rows, values, nulls),
        DataType::Timestamp(unit, _) => timestamp(*unit, data_type, rows, values, nulls),
        DataType::Decimal128(precision, _) => decimal::<Decimal128Type>(*precision, data_type, rows, values, nulls),
        DataType::Decimal256(precision, _) => decimal::<Decimal256Type>(*precision, data_type, rows, values, nulls),
        DataType::FixedSizeBinary(16) => uuid(rows, values, nulls),
        other => Err(FrameError::Type(other.clone())),
    }
}

fn timestamp(
    unit: TimeUnit,
    data_type: &DataType,
    rows: usize,
    values: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    match unit {
        TimeUnit::Second => primitive::<TimestampSecondType>(data_type, rows, values, nulls),
        TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(data_type, rows, values, nulls),
        TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(data_type, rows, values, nulls),
        TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(data_type, rows, values, nulls),
    }
}

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rows: usize,
    values: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    Ok(Arc::new(primitive_array::<T>(data_type, rows, values, nulls)?))
}

fn primitive_array<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rows: usize,
    values: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<T>, FrameError> {
    exactly("values", rows, rows * size_of::<T::Native>(), values)?;
    // `Buffer::from` copies into memory aligned for every type, 128- and 256-bit decimals included.
    let values = ScalarBuffer::new(Buffer::from(values), 0, rows);
    Ok(PrimitiveArray::new(values, nulls).with_data_type(data_type.clone()))
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(
    precision: u8,
    data_type: &DataType,
    rows: usize,
    values: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    let array = primitive_array::<T>(data_type, rows, values, nulls)?;
    // Without a look at the nulls first, because hardly ever a null hides a value too large.
    if array.values().iter().all(|value| T::is_valid_decimal_precision(*value, precision)) {
        return Ok(Arc::new(array));
    }
    // Arrow's own message would quote the value.
    array.validate_decimal_precision(precision).map_err(|_| FrameError::Precision(precision))?;
    Ok(Arc::new(array))
}

fn uuid(rows: usize, values: &[u8], nulls: Option<NullBuffer>) -> Result<ArrayRef, FrameError> {
    exactly("values", rows, rows * UUID_BYTES, values)?;
    Ok(Arc::new(FixedSizeBinaryArray::new(16, Buffer::from(values), nulls)))
}

fn byte_array<T: ByteArrayType<Offset = i32>>(
    rows: usize,
    offsets: &[u8],
    bytes: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    let offsets = offsets_from_zero(rows, offsets)?;
    if offsets.last().map(|last| last.as_usize()) != Some(bytes.len()) {
        return Err(FrameError::Offsets("do not end where the bytes do"));
    }
    if T::DATA_TYPE == DataType::Utf8 {
        check_text(&offsets, bytes)?;
    }
    // SAFETY: they begin at 0 and never go back. The safe constructor would check that again, one by one.
    let (offsets, bytes) = (unsafe { OffsetBuffer::new_unchecked(offsets) }, Buffer::from(bytes));
    // SAFETY: the offsets begin at 0, never go back and end where the bytes do; `nulls` has been made for as many
    // rows; and text has been checked to be UTF-8 between any two of them. The safe constructor would check text
    // again, which for other text than ASCII costs several times all the rest of the border.
    Ok(Arc::new(unsafe { GenericByteArray::<T>::new_unchecked(offsets, bytes, nulls) }))
}

/// Offsets that begin at 0 and never go back, so none is negative.
fn offsets_from_zero(rows: usize, offsets: &[u8]) -> Result<ScalarBuffer<i32>, FrameError> {
    exactly("offsets", rows, (rows + 1) * 4, offsets)?;
    let offsets = ScalarBuffer::<i32>::new(Buffer::from(offsets), 0, rows + 1);
    if offsets.first() != Some(&0) {
        return Err(FrameError::Offsets("do not begin at 0"));
    }
    // Folded, not searched for the first one: that lets the compiler take many at a time.
    if offsets.windows(2).fold(false, |back, pair| back | (pair[1] < pair[0])) {
        return Err(FrameError::Offsets("go back"));
    }
    Ok(offsets)
}

/// The bytes are UTF-8, and no offset (all of them within the bytes) is inside of a character.
fn check_text(offsets: &[i32], bytes: &[u8]) -> Result<(), FrameError> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| FrameError::Utf8)?;
    let inside = |at: &i32| !text.is_char_boundary(at.as_usize());
    if !text.is_ascii() && offsets.iter().any(inside) {
        return Err(FrameError::Utf8);
    }
    Ok(())
}

/// Bytes of a value, for types whose values all have as many; a bit counts as a byte.
pub(super) fn width(data_type: &DataType) -> usize {
    match layout(data_type) {
        Some(Layout::Fixed(width)) => width,
        Some(Layout::Bits | Layout::Bytes | Layout::List(_) | Layout::Map(_)) | None => 1,
    }
}
