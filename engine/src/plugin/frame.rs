//! Columnar frames: Arrow arrays as the buffers that cross the border, and back.
//!
//! **Promise.** What comes back from a guest becomes an array only after every buffer's length, every offset, all
//! UTF-8, every decimal and the nulls have been checked; whatever the bytes are, the answer is an array that Arrow's
//! full validation accepts, or an error, never a panic.
//! **Assumed.** Host and guest are little-endian, as Arrow's format is.
//!
//! Layout, from <https://arrow.apache.org/docs/format/Columnar.html>: validity bitmap (empty: no nulls), then one
//! buffer of values, or offsets and bytes. Buffers are exactly as long as their rows need, without padding.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, ByteArrayType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, GenericByteArray, PrimitiveArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, TimeUnit};

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
    /// The contract has no such type: a bug of the host, because descriptions have been checked.
    #[error("type {0} can't cross the border")]
    Type(DataType),
}

/// How the values of a type lie in buffers.
enum Layout {
    Bits,
    /// Values of so many bytes.
    Fixed(usize),
    /// Offsets of 32 bits and bytes.
    Bytes,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the contract has a few of Arrow's types")]
fn layout(data_type: &DataType) -> Option<Layout> {
    match data_type {
        DataType::Boolean => Some(Layout::Bits),
        DataType::Utf8 | DataType::Binary => Some(Layout::Bytes),
        DataType::FixedSizeBinary(16) => Some(Layout::Fixed(UUID_BYTES)),
        other => other.primitive_width().map(Layout::Fixed),
    }
}

/// How many buffers a column of this type has.
pub(super) fn buffer_count(data_type: &DataType) -> usize {
    match layout(data_type) {
        Some(Layout::Bytes) => 3,
        Some(Layout::Bits | Layout::Fixed(_)) | None => 2,
    }
}

/// Adds the buffers of a column, exactly as long as its rows need. They share the array's memory, but for bitmaps
/// that don't begin at a byte and offsets that don't begin at 0.
pub(super) fn push_buffers(array: &dyn Array, buffers: &mut Vec<Buffer>) -> Result<(), FrameError> {
    let rows = array.len();
    let data = array.to_data();
    buffers.push(match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => bitmap(nulls.inner()),
        Some(_) | None => Buffer::default(),
    });
    match layout(array.data_type()) {
        Some(Layout::Bits) => {
            buffers.push(bitmap(&BooleanBuffer::new(data.buffers()[0].clone(), data.offset(), rows)));
        }
        Some(Layout::Fixed(width)) => {
            buffers.push(data.buffers()[0].slice_with_length(data.offset() * width, rows * width));
        }
        Some(Layout::Bytes) => push_bytes(&data, buffers),
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
    let offsets: &[i32] = if rows == 0 { &[0] } else { &data.buffer::<i32>(0)[..=rows] };
    let (first, last) = (offsets[0], offsets[rows]);
    buffers.push(match first {
        0 if rows > 0 => data.buffers()[0].slice_with_length(offset * 4, (rows + 1) * 4),
        _ => offsets.iter().map(|at| at - first).collect::<Vec<i32>>().into(),
    });
    buffers.push(data.buffers()[1].slice_with_length(first.as_usize(), (last - first).as_usize()));
}

/// Builds a column from a guest's buffers, [`buffer_count`] of them. The bytes are copied once, into aligned memory.
pub(super) fn column(field: &Field, rows: usize, buffers: &[&[u8]]) -> Result<ArrayRef, FrameError> {
    let want = buffer_count(field.data_type());
    let [validity, values @ ..] = buffers else { return Err(FrameError::Count { want, got: 0 }) };
    let nulls = nulls(field, rows, validity)?;
    match values {
        [values] if want == 2 => fixed(field.data_type(), rows, values, nulls),
        [offsets, bytes] if want == 3 && *field.data_type() == DataType::Utf8 => {
            byte_array::<arrow_array::types::Utf8Type>(rows, offsets, bytes, nulls)
        }
        [offsets, bytes] if want == 3 => byte_array::<arrow_array::types::BinaryType>(rows, offsets, bytes, nulls),
        _ => Err(FrameError::Count { want, got: buffers.len() }),
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
    exactly("offsets", rows, (rows + 1) * 4, offsets)?;
    let offsets = ScalarBuffer::<i32>::new(Buffer::from(offsets), 0, rows + 1);
    check_offsets(&offsets, bytes.len())?;
    if T::DATA_TYPE == DataType::Utf8 {
        check_text(&offsets, bytes)?;
    }
    let (offsets, bytes) = (OffsetBuffer::new(offsets), Buffer::from(bytes));
    // SAFETY: the offsets begin at 0, never go back and end where the bytes do; `nulls` has been made for as many
    // rows; and text has been checked to be UTF-8 between any two of them. The safe constructor would check text
    // again, which for other text than ASCII costs several times all the rest of the border.
    Ok(Arc::new(unsafe { GenericByteArray::<T>::new_unchecked(offsets, bytes, nulls) }))
}

fn check_offsets(offsets: &[i32], bytes: usize) -> Result<(), FrameError> {
    if offsets.first() != Some(&0) {
        return Err(FrameError::Offsets("do not begin at 0"));
    }
    // Folded, not searched for the first one: that lets the compiler take many at a time.
    if offsets.windows(2).fold(false, |back, pair| back | (pair[1] < pair[0])) {
        return Err(FrameError::Offsets("go back"));
    }
    // Not negative: they began at 0 and did not go back.
    if offsets.last().map(|last| last.as_usize()) != Some(bytes) {
        return Err(FrameError::Offsets("do not end where the bytes do"));
    }
    Ok(())
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
        Some(Layout::Bits | Layout::Bytes) | None => 1,
    }
}
