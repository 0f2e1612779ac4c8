//! Batch style: a whole batch as typed columns.

use crate::row::Row;
use crate::table::Outputs;
use crate::view::{Buffers, Mismatch};
use crate::{Ctx, Host, Reject, RejectedRow};

/// A batch as it crossed the border: buffers in the order of the description.
#[derive(Clone, Copy, Debug)]
pub struct RawBatch<'a> {
    rows: usize,
    buffers: &'a [&'a [u8]],
}

impl<'a> RawBatch<'a> {
    /// Not public: the views trust the content of the buffers (see `view`).
    pub(crate) fn new(rows: usize, buffers: &'a [&'a [u8]]) -> Self {
        Self { rows, buffers }
    }

    /// Rows of the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn buffers(&self) -> &'a [&'a [u8]] {
        self.buffers
    }

    pub(crate) fn bind<I: Row>(&self) -> Result<I::Columns<'a>, Mismatch> {
        let mut buffers = Buffers::new(self.rows, self.buffers);
        let columns = I::bind(&mut buffers)?;
        buffers.finish()?;
        Ok(columns)
    }
}

/// A batch of input rows.
pub struct Batch<'a, I: Row> {
    rows: usize,
    /// Views of the columns, under the names of the row's fields. That of a [`Change`](crate::Change) has `op`, `row` and
    /// `before`.
    pub columns: I::Columns<'a>,
}

impl<'a, I: Row> Batch<'a, I> {
    pub(crate) fn bind(batch: &RawBatch<'a>) -> Result<Self, String> {
        let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
        Ok(Self { rows: batch.rows(), columns })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// No rows?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All rows, as row style sees them.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = I::Of<'a>> {
        (0..self.rows).map(|row| self.row(row))
    }

    /// A row, as row style sees it. Panics if the batch has no such row.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, row: usize) -> I::Of<'a> {
        I::get(&self.columns, row)
    }
}

/// Takes what a batch function makes.
pub struct Emit<O: Outputs> {
    /// A [`Writer`](crate::Writer) for each table: one writer for one table, a tuple of writers for several.
    pub tables: O::Writers,
    rejected: Vec<RejectedRow>,
}

impl<O: Outputs> Emit<O> {
    pub(crate) fn new(rows: usize) -> Self {
        Self { tables: O::writers(rows), rejected: Vec::new() }
    }

    /// Hands everything to the host.
    pub(crate) fn finish(mut self, host: &mut dyn Host) -> Result<Vec<RejectedRow>, String> {
        O::emit(&self.tables, &mut 0, host)?;
        // By row, each once: the first reason counts.
        self.rejected.sort_by_key(|rejected| rejected.row);
        self.rejected.dedup_by_key(|rejected| rejected.row);
        Ok(self.rejected)
    }

    /// Sets a row of the batch aside. Its output rows, where it has any, are not taken back.
    pub fn reject(&mut self, row: usize, reject: Reject) {
        self.rejected.push(RejectedRow { row, reject });
    }
}

/// Runs a batch function. Called by [`export!`](crate::export).
///
/// # Errors
/// The function's own, or what it wrote does not add up, or the host's buffers are not those of the description.
pub fn process_batch<I, O, P, F>(
    batch: &RawBatch<'_>,
    ctx: &Ctx<P>,
    host: &mut dyn Host,
    transform: &F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    F: for<'a, 'b> Fn(&'b Batch<'a, I>, &'b mut Emit<O>, &'b Ctx<P>) -> Result<(), String>,
{
    let batch = Batch::bind(batch)?;
    let mut emit = Emit::new(batch.len());
    transform(&batch, &mut emit, ctx)?;
    emit.finish(host)
}
