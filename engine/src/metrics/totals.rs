//! The sums of a run.

use std::collections::BTreeMap;

use crate::transform::Tally;

/// Everything together, for the last line of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Messages of committed epochs.
    pub messages: u64,
    /// Messages that became rows of plugins or of bronze.
    pub rows_in: u64,
    /// Rows for tables.
    pub rows_out: u64,
    /// Messages without a row, by kind.
    pub no_ops: BTreeMap<&'static str, u64>,
    /// Dead letters, by code.
    pub dead_letters: BTreeMap<String, u64>,
    /// What plugins counted, by name.
    pub counts: BTreeMap<String, u64>,
    /// Committed epochs.
    pub epochs: u64,
}

impl Totals {
    pub(super) fn add(&mut self, tally: &Tally) {
        self.messages += tally.messages as u64;
        self.rows_in += tally.rows_in as u64;
        self.rows_out += tally.rows_out as u64;
        self.epochs += 1;
        for (kind, &count) in &tally.no_ops {
            *self.no_ops.entry(kind.as_str()).or_default() += count as u64;
        }
        for ((_, code), &count) in &tally.dead {
            *self.dead_letters.entry(code.clone()).or_default() += count as u64;
        }
    }
}
