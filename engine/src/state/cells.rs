//! Keys and values of a batch, as they lie in a guest's memory: lengths are checked before anything is looked at.

use super::StateError;

/// Keys or values of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells<'a> {
    /// All of one length.
    Fixed {
        /// Bytes of each.
        width: usize,
        /// One after the other.
        bytes: &'a [u8],
    },
    /// Of any length.
    Variable {
        /// Where each begins, and where the last ends.
        offsets: &'a [u32],
        /// One after the other.
        bytes: &'a [u8],
    },
}

/// What a guest handed over is not what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellsError {
    /// Bytes that do not divide into cells.
    #[error("{bytes} bytes of {what} are no cells of {width} bytes")]
    Width {
        /// Of what: `keys` or `values`.
        what: &'static str,
        /// Bytes given.
        bytes: usize,
        /// Bytes of each.
        width: usize,
    },
    /// Offsets that do not begin at 0, do not grow, or do not end at the bytes' end.
    #[error("offset {index} of {cells} {what} is wrong")]
    Offset {
        /// Of what: `keys` or `values`.
        what: &'static str,
        /// Which.
        index: usize,
        /// Cells that the offsets are for.
        cells: usize,
    },
    /// So many were given.
    #[error("{given} {what} for {keys} keys")]
    Count {
        /// Of what: `values` or `expiries`.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many keys there are.
        keys: usize,
    },
    /// No such table.
    #[error("state table {table}, but {described} are described")]
    Table {
        /// The index given.
        table: usize,
        /// Tables there are.
        described: usize,
    },
}

/// Cells whose lengths are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'a> {
    cells: Cells<'a>,
    len: usize,
}

impl<'a> Checked<'a> {
    /// Keys: as many as there are. None of them is empty where all are of one length: how many would they be?
    pub(super) fn keys(cells: Cells<'a>) -> Result<Self, StateError> {
        let len = match cells {
            Cells::Fixed { width: 0, bytes: [] } => 0,
            Cells::Fixed { width, bytes } => bytes.len().checked_div(width).unwrap_or(usize::MAX),
            Cells::Variable { offsets, .. } => offsets.len().saturating_sub(1),
        };
        Self::counted("keys", cells, len)
    }

    /// One value for each key.
    pub(super) fn values(cells: Cells<'a>, keys: usize) -> Result<Self, StateError> {
        if let Cells::Variable { offsets, .. } = cells
            && offsets.len().saturating_sub(1) != keys
        {
            let given = offsets.len().saturating_sub(1);
            return Err(CellsError::Count { what: "values", given, keys }.into());
        }
        Self::counted("values", cells, keys)
    }

    /// So many cells.
    pub(super) fn counted(what: &'static str, cells: Cells<'a>, len: usize) -> Result<Self, StateError> {
        match cells {
            Cells::Fixed { width, bytes } => {
                if len.checked_mul(width) != Some(bytes.len()) {
                    return Err(CellsError::Width { what, bytes: bytes.len(), width }.into());
                }
            }
            // No cells have no first offset either.
            Cells::Variable { offsets: [], bytes: [] } => {}
            Cells::Variable { offsets, bytes } => {
                let wrong = |index| CellsError::Offset { what, index, cells: len };
                if offsets.first() != Some(&0) {
                    return Err(wrong(0).into());
                }
                if let Some(index) = offsets.array_windows().position(|[from, to]| from > to) {
                    return Err(wrong(index + 1).into());
                }
                if offsets.last().map(|last| *last as usize) != Some(bytes.len()) {
                    return Err(wrong(len).into());
                }
            }
        }
        Ok(Self { cells, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        (0..self.len).map(move |index| self.get(index))
    }

    /// One cell; empty beyond the end.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &'a [u8] {
        match self.cells {
            Cells::Fixed { width, bytes } => bytes.get(index * width..(index + 1) * width).unwrap_or_default(),
            Cells::Variable { offsets, bytes } => match offsets.get(index..index + 2) {
                Some([from, to]) => bytes.get(*from as usize..*to as usize).unwrap_or_default(),
                Some(_) | None => &[],
            },
        }
    }
}

/// Expiries: none at all (never), or one for each key.
pub(super) fn check_expiries(expiries: &[i64], keys: usize) -> Result<(), StateError> {
    if expiries.is_empty() || expiries.len() == keys {
        return Ok(());
    }
    Err(CellsError::Count { what: "expiries", given: expiries.len(), keys }.into())
}
