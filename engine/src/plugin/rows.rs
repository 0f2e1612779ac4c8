//! Which input row each output row was made from, as a guest says it, checked.

use arrow_array::{BooleanArray, UInt32Array};
use arrow_buffer::{Buffer, ScalarBuffer};

use super::frame::{self, FrameError};

/// Which input row each output row was made from.
#[derive(Clone, Debug)]
pub enum Rows {
    /// All, in order.
    All,
    /// Those whose bit is set, in order; as long as the batch.
    Selected(BooleanArray),
    /// These, all within the batch.
    Taken(UInt32Array),
    /// No input row: so many rows, made of state alone.
    None(usize),
}

/// The same as it lies in the guest's memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    All,
    /// A bitmap.
    Selected(&'a [u8]),
    /// Indices.
    Taken(&'a [u32]),
    /// So many.
    None(usize),
}

impl Given<'_> {
    /// The rows, copied, each within a batch of so many.
    pub(super) fn check(self, batch_rows: usize) -> Result<Rows, FrameError> {
        match self {
            Self::All => Ok(Rows::All),
            Self::None(rows) => Ok(Rows::None(rows)),
            Self::Selected(bitmap) => {
                Ok(Rows::Selected(BooleanArray::new(frame::bits("selection", batch_rows, bitmap)?, None)))
            }
            Self::Taken(indices) => {
                if let Some(&row) = indices.iter().max().filter(|index| **index as usize >= batch_rows) {
                    return Err(FrameError::Row { row, rows: batch_rows });
                }
                let values = ScalarBuffer::new(Buffer::from_slice_ref(indices), 0, indices.len());
                Ok(Rows::Taken(UInt32Array::new(values, None)))
            }
        }
    }
}

impl Rows {
    /// How many they are, of a batch of so many.
    #[must_use]
    pub fn count(&self, batch_rows: usize) -> usize {
        match self {
            Self::All => batch_rows,
            Self::Selected(bits) => bits.true_count(),
            Self::Taken(indices) => indices.len(),
            Self::None(rows) => *rows,
        }
    }
}
