//! The host's side of state as a plugin sees it, and the counters.

use std::cell::RefCell;

use super::Cells;
use super::cells::offset;
use crate::{Host, RowsFrom};

/// Entries that expire, in the order of expiry and key.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// The table's index.
    pub table: u32,
    /// Their keys.
    pub keys: Cells<'a>,
    /// Their values.
    pub values: Cells<'a>,
    /// When each expired, ms.
    pub expiries: &'a [i64],
}

thread_local! {
    /// What a call counted so far, by name. A thread runs one call at a time.
    static COUNTERS: RefCell<Vec<(&'static str, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds to a counter of the plugin: the metric `engine_plugin_count_total` with this `name`. Names are constant, of lower-case
/// letters, digits and `_`; a plugin has at most 64. What is counted in a call that fails is forgotten.
///
/// ```
/// # fn is_bot(_: &str) -> bool { true }
/// # let agent = "";
/// if is_bot(agent) {
///     plugin_sdk::count("bots", 1);
/// }
/// ```
pub fn count(name: &'static str, by: u64) {
    COUNTERS.with_borrow_mut(|counters| match counters.iter_mut().find(|counter| counter.0 == name) {
        Some(counter) => counter.1 += by,
        None => counters.push((name, by)),
    });
}

/// Forgets what a call before this one counted that failed.
pub(crate) fn clear_counters() {
    COUNTERS.with_borrow_mut(Vec::clear);
}

/// Tells the host what was counted.
pub(crate) fn flush_counters(host: &mut dyn Host) {
    COUNTERS.with_borrow_mut(|counters| counters.drain(..).for_each(|(name, by)| host.count(name, by)));
}

/// A host that takes rows made of entries of state, where else they are made of so many rows of a batch.
pub(super) struct NoRows<'h> {
    pub(super) host: &'h mut dyn Host,
    pub(super) rows: usize,
}

impl Host for NoRows<'_> {
    fn emit(&mut self, output: u32, from: RowsFrom<'_>, deletes: &[u8], buffers: &[&[u8]]) {
        let rows = match from {
            RowsFrom::All => offset(self.rows),
            RowsFrom::Selected(bits) => bits.iter().map(|byte| byte.count_ones()).sum(),
            RowsFrom::Taken(rows) => offset(rows.len()),
            RowsFrom::None(rows) => rows,
        };
        self.host.emit(output, RowsFrom::None(rows), deletes, buffers);
    }
}
