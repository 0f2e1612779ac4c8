//! Columns of values of any length.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::types::ByteArrayType;
use arrow_array::{ArrayRef, GenericByteArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};

use super::{Column, Plain};
use crate::reject::{Read, TOO_LARGE};
use crate::scan::Cursor;
use crate::schema::Wire;

/// How a value of one type is read.
pub(super) trait Bytes: Debug + Send {
    /// The type of its array: text or bytes.
    type Arrow: ByteArrayType<Offset = i32>;
    /// Its zero.
    const ZERO: &[u8] = b"";

    /// Appends the value that the cursor is at, which is not null.
    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire, out: &mut Vec<u8>) -> Read<()>;

    /// Appends a value that needs no reading; false: it is to be read from JSON.
    fn plain(&mut self, _value: Plain<'_>, _wire: &Wire, _out: &mut Vec<u8>) -> Read<bool> {
        Ok(false)
    }
}

/// A column of such values.
#[derive(Debug)]
pub(super) struct Variable<B: Bytes> {
    cell: B,
    /// Where each cell begins, and where the last one ends.
    offsets: Vec<i32>,
    data: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl<B: Bytes> Variable<B> {
    pub(super) fn new(cell: B) -> Self {
        Self { cell, offsets: vec![0], data: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    /// The bytes of a cell.
    pub(super) fn value(&self, row: usize) -> &[u8] {
        let end = |at: usize| self.offsets.get(at).and_then(|end| usize::try_from(*end).ok());
        end(row).zip(end(row + 1)).and_then(|(start, end)| self.data.get(start..end)).unwrap_or_default()
    }

    fn end_cell(&mut self) -> Read<()> {
        let end = i32::try_from(self.data.len()).map_err(|_| TOO_LARGE)?;
        self.offsets.push(end);
        Ok(())
    }

    fn repeat_end(&mut self) {
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(end);
    }
}

impl<B: Bytes> Column for Variable<B> {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
    }

    fn held(&self) -> usize {
        self.data.len() + size_of_val(self.offsets.as_slice())
    }

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()> {
        self.cell.read(value, wire, &mut self.data)?;
        self.end_cell()?;
        self.nulls.append_non_null();
        Ok(())
    }

    fn read_plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<bool> {
        if !self.cell.plain(value, wire, &mut self.data)? {
            return Ok(false);
        }
        self.end_cell()?;
        self.nulls.append_non_null();
        Ok(true)
    }

    fn push_null(&mut self) {
        self.repeat_end();
        self.nulls.append_null();
    }

    fn push_zero(&mut self) {
        let end = self.data.len();
        self.data.extend_from_slice(B::ZERO);
        if self.end_cell().is_err() {
            // Empty beside 2 GiB: the batch can't take its next value anyway.
            self.data.truncate(end);
            self.repeat_end();
        }
        self.nulls.append_non_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.data.truncate(usize::try_from(end).unwrap_or_default());
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let data = std::mem::take(&mut self.data);
        Arc::new(GenericByteArray::<B::Arrow>::new(offsets, data.into(), self.nulls.finish()))
    }
}
