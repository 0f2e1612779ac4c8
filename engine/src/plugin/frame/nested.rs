//! Lists and maps: offsets, then the buffers of all elements, or of all keys and all values.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};

use super::{FrameError, buffer_count, column, offsets_from_zero, push_buffers, push_offsets};

/// Adds offsets that begin at 0, and the buffers of what lies between the first and the last.
pub(super) fn push(
    offsets: &OffsetBuffer<i32>,
    children: &[&ArrayRef],
    buffers: &mut Vec<Buffer>,
) -> Result<(), FrameError> {
    let (first, last) = push_offsets(offsets, offsets.inner().inner(), buffers);
    children.iter().try_for_each(|child| push_buffers(&child.slice(first, last - first), buffers))
}

pub(super) fn list(
    item: &FieldRef,
    rows: usize,
    offsets: &[u8],
    items: &[&[u8]],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    let (offsets, count) = counted(rows, offsets)?;
    let items = column(item, count, items).map_err(|error| FrameError::within("elements", error))?;
    let list = ListArray::try_new(item.clone(), offsets, items, nulls);
    Ok(Arc::new(list.expect("offsets end where the elements do, and those have been made for the field")))
}

/// `entries`: a struct of key and value.
pub(super) fn map(
    entries: &FieldRef,
    rows: usize,
    offsets: &[u8],
    buffers: &[&[u8]],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    let Some((key, value)) = key_and_value(entries) else { return Err(FrameError::Type(entries.data_type().clone())) };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(FrameError::Type(entries.data_type().clone()));
    };
    let (offsets, count) = counted(rows, offsets)?;
    let (keys, values) = buffers.split_at_checked(buffer_count(key.data_type())).unwrap_or((buffers, &[]));
    let keys = column(key, count, keys).map_err(|error| FrameError::within("keys", error))?;
    let values = column(value, count, values).map_err(|error| FrameError::within("values", error))?;
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None);
    let pairs = pairs.expect("keys and values are as many, and have been made for their fields");
    let map = MapArray::try_new(entries.clone(), offsets, pairs, nulls, false);
    Ok(Arc::new(map.expect("offsets end where the entries do, and those have been made for the field")))
}

/// The fields below a map's entries.
pub(super) fn key_and_value(entries: &FieldRef) -> Option<(&FieldRef, &FieldRef)> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = fields.as_ref() else { return None };
    Some((key, value))
}

/// The offsets, checked, and how many elements they count. The elements' own lengths are checked against that number,
/// so nothing is allocated for elements that are not there.
fn counted(rows: usize, offsets: &[u8]) -> Result<(OffsetBuffer<i32>, usize), FrameError> {
    let offsets = offsets_from_zero(rows, offsets)?;
    let count = offsets.last().map_or(0, |last| last.as_usize());
    Ok((OffsetBuffer::new(offsets), count))
}
