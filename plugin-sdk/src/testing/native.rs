//! Rows through a plugin without the harness's checks and texts: measurements of a plugin's own time, natively.

use std::fmt;

use crate::plugin::Instance;
use crate::{Builders, Host, RawBatch, RejectedRow, Row};

/// A batch of rows as its buffers.
pub struct NativeBatch<R: Row> {
    rows: usize,
    builders: R::Builders,
}

impl<R: Row> fmt::Debug for NativeBatch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeBatch").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<R: Row> NativeBatch<R> {
    /// Writes the rows.
    pub fn new(rows: impl IntoIterator<Item = R>) -> Self {
        let mut builders = R::Builders::with_capacity(0);
        let rows = rows.into_iter().map(|row| row.write(&mut builders)).count();
        Self { rows, builders }
    }

    /// Runs a started plugin, whose input these rows must be, over the batch.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn process(&self, plugin: &Instance, host: &mut dyn Host) -> Result<Vec<RejectedRow>, String> {
        let mut buffers = Vec::new();
        self.builders.buffers(&mut buffers);
        plugin.process(&RawBatch::new(self.rows, &buffers), host)
    }
}
