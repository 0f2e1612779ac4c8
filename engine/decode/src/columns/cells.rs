//! The cells of lists and maps: where each ends among the column's elements, and which are null.

use arrow_buffer::{NullBuffer, NullBufferBuilder, OffsetBuffer};

use crate::reject::{Read, TOO_LARGE};

/// Cells so far, and the elements of the one under way.
#[derive(Debug)]
pub(super) struct Cells {
    /// Elements, those of a cell under way included.
    elements: usize,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Cells {
    pub(super) fn new() -> Self {
        Self { elements: 0, offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
    }

    /// The cell under way has one more element.
    pub(super) fn element(&mut self) {
        self.elements += 1;
    }

    /// Elements so far, those of the cell under way included.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Bytes of the cells beside their elements.
    pub(super) fn held(&self) -> usize {
        size_of_val(self.offsets.as_slice())
    }

    /// Ends the cell under way.
    pub(super) fn end(&mut self) -> Read<()> {
        self.offsets.push(i32::try_from(self.elements).map_err(|_| TOO_LARGE)?);
        self.nulls.append_non_null();
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.repeat_end();
        self.nulls.append_null();
    }

    pub(super) fn push_empty(&mut self) {
        self.repeat_end();
        self.nulls.append_non_null();
    }

    fn repeat_end(&mut self) {
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(end);
    }

    /// Forgets all cells behind so many, and the one under way. Gives back how many elements stay.
    pub(super) fn truncate(&mut self, rows: usize) -> usize {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.elements = usize::try_from(end).unwrap_or_default();
        self.nulls.truncate(rows);
        self.elements
    }

    pub(super) fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        self.elements = 0;
        (OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into()), self.nulls.finish())
    }
}
