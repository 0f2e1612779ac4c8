//! The hash of a block's rows: equal rows give equal digests, however they lie in memory.
//!
//! **Promise.** The digest depends on the column types, the rows and their order, and on nothing else: not on how the
//! rows were cut into batches, on slices and offsets, on a validity buffer that is there without a null, or on the
//! bytes below a null. It does not depend on names: those are the table's.
//! **Assumed.** All batches have one schema, of types that a table can have. No adversary: xxh3 is not a cryptographic hash. 128 bits make an
//! accident impossible for practical purposes.
//! **After a crash** a plugin that is run again must give the digest that its intent holds; so the form hashed here is
//! part of the journal's format, and changing it is a change of that format.
//!
//! The form, column by column: the type's name; the validity of all rows as one bitmap, or nothing where no row is
//! null; then the content with nulls as zeros. Text, lists and maps are their lengths, then their content.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, make_array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Fields};
use twox_hash::XxHash3_128;

/// The digest of the rows of these batches, one after the other.
#[must_use]
pub fn digest(batches: &[RecordBatch]) -> u128 {
    let mut hash = XxHash3_128::new();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    hash.write(&(rows as u64).to_le_bytes());
    let Some(first) = batches.first() else { return hash.finish_128() };
    for (index, field) in first.schema_ref().fields().iter().enumerate() {
        let chunks: Vec<ArrayRef> = batches.iter().map(|batch| Arc::clone(batch.column(index))).collect();
        column(&mut hash, field.data_type(), &chunks);
    }
    hash.finish_128()
}

/// Hashes one column, given in pieces.
#[expect(clippy::wildcard_enum_match_arm, reason = "all types of one width are hashed alike")]
fn column(hash: &mut XxHash3_128, data_type: &DataType, chunks: &[ArrayRef]) {
    hash.write(data_type.to_string().as_bytes());
    validity(hash, chunks);
    match data_type {
        DataType::Boolean => booleans(hash, chunks),
        DataType::Utf8 | DataType::Binary => texts(hash, chunks),
        DataType::List(element) => lists(hash, element.data_type(), chunks),
        DataType::Map(entries, _) => maps(hash, entries.data_type(), chunks),
        DataType::Struct(fields) => structs(hash, fields, chunks),
        other => {
            let width = fixed_width(other).unwrap_or_else(|| unreachable!("no table has a column of type {other}"));
            chunks.iter().for_each(|chunk| values(hash, width, chunk));
        }
    }
}

/// Bytes of a value, where all values of the type have as many and lie in one buffer.
fn fixed_width(data_type: &DataType) -> Option<usize> {
    if let DataType::FixedSizeBinary(width) = data_type {
        return usize::try_from(*width).ok();
    }
    data_type.primitive_width()
}

fn validity(hash: &mut XxHash3_128, chunks: &[ArrayRef]) {
    let nulls: usize = chunks.iter().map(|chunk| chunk.null_count()).sum();
    hash.write(&(nulls as u64).to_le_bytes());
    if nulls == 0 {
        return;
    }
    let mut bits = BooleanBufferBuilder::new(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        match chunk.nulls() {
            Some(nulls) => bits.append_buffer(nulls.inner()),
            None => bits.append_n(chunk.len(), true),
        }
    }
    hash.write(bits.finish().values());
}

fn booleans(hash: &mut XxHash3_128, chunks: &[ArrayRef]) {
    let mut bits = BooleanBufferBuilder::new(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        let array = chunk.as_boolean();
        match array.nulls() {
            Some(nulls) => bits.append_buffer(&(array.values() & nulls.inner())),
            None => bits.append_buffer(array.values()),
        }
    }
    hash.write(bits.finish().values());
}

/// Numbers, dates, times, decimals and fixed binaries: the buffer itself, but for nulls.
fn values(hash: &mut XxHash3_128, width: usize, chunk: &ArrayRef) {
    let data = chunk.to_data();
    let (start, end) = (data.offset() * width, (data.offset() + data.len()) * width);
    let Some(bytes) = data.buffers().first().and_then(|buffer| buffer.as_slice().get(start..end)) else { return };
    let Some(nulls) = data.nulls().filter(|nulls| nulls.null_count() > 0) else { return hash.write(bytes) };
    let mut clean = bytes.to_vec();
    for (slot, valid) in clean.chunks_exact_mut(width).zip(nulls.iter()) {
        if !valid {
            slot.fill(0);
        }
    }
    hash.write(&clean);
}

fn texts(hash: &mut XxHash3_128, chunks: &[ArrayRef]) {
    for chunk in chunks {
        hash.write(&lengths(offsets(chunk), chunk.nulls()));
    }
    for chunk in chunks {
        let data = chunk.to_data();
        let Some(content) = data.buffers().get(1) else { continue };
        for (start, end) in valid_ranges(offsets(chunk), chunk.nulls()) {
            hash.write(content.get(start..end).unwrap_or_default());
        }
    }
}

fn lists(hash: &mut XxHash3_128, element: &DataType, chunks: &[ArrayRef]) {
    let mut children = Vec::new();
    for chunk in chunks {
        hash.write(&lengths(offsets(chunk), chunk.nulls()));
        let child = chunk.as_list::<i32>().values();
        let ranges = valid_ranges(offsets(chunk), chunk.nulls());
        children.extend(ranges.into_iter().map(|(start, end)| child.slice(start, end - start)));
    }
    column(hash, element, &children);
}

/// As a list of structs.
fn maps(hash: &mut XxHash3_128, entries: &DataType, chunks: &[ArrayRef]) {
    let mut children = Vec::new();
    for chunk in chunks {
        hash.write(&lengths(offsets(chunk), chunk.nulls()));
        let child: ArrayRef = Arc::new(chunk.as_map().entries().clone());
        let ranges = valid_ranges(offsets(chunk), chunk.nulls());
        children.extend(ranges.into_iter().map(|(start, end)| child.slice(start, end - start)));
    }
    column(hash, entries, &children);
}

/// The children, null where the struct is null.
fn structs(hash: &mut XxHash3_128, fields: &Fields, chunks: &[ArrayRef]) {
    for (index, field) in fields.iter().enumerate() {
        let masked: Vec<ArrayRef> = chunks.iter().map(|chunk| masked_child(chunk, index)).collect();
        column(hash, field.data_type(), &masked);
    }
}

fn masked_child(parent: &ArrayRef, index: usize) -> ArrayRef {
    let child = parent.as_struct().column(index);
    let nulls = NullBuffer::union(parent.nulls(), child.nulls());
    let data = child.to_data().into_builder().nulls(nulls).build();
    make_array(data.expect("a validity of the same length keeps an array valid"))
}

/// The offsets of text, binary, list or map, as far as this slice goes.
#[expect(clippy::wildcard_enum_match_arm, reason = "called for four types")]
fn offsets(array: &ArrayRef) -> &OffsetBuffer<i32> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().offsets(),
        DataType::List(_) => array.as_list::<i32>().offsets(),
        DataType::Map(..) => array.as_map().offsets(),
        _ => array.as_binary::<i32>().offsets(),
    }
}

/// Little-endian lengths, 0 for a null.
fn lengths(offsets: &OffsetBuffer<i32>, nulls: Option<&NullBuffer>) -> Buffer {
    let pairs = offsets.iter().zip(offsets.iter().skip(1));
    let mut lengths: Vec<i32> = pairs.map(|(start, end)| end - start).collect();
    if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
        lengths.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(length, _)| *length = 0);
    }
    Buffer::from_vec(lengths)
}

/// The ranges of the content that belong to rows which are not null: one for all where there is no null.
fn valid_ranges(offsets: &OffsetBuffer<i32>, nulls: Option<&NullBuffer>) -> Vec<(usize, usize)> {
    let range = |pair: &[i32]| match pair {
        [start, end] => (start.cast_unsigned() as usize, end.cast_unsigned() as usize),
        _ => (0, 0),
    };
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nulls.valid_indices().map(|row| range(&offsets[row..row + 2])).collect(),
        None => vec![range(&[offsets[0], offsets[offsets.len() - 1]])],
    }
}

#[cfg(test)]
mod tests;
