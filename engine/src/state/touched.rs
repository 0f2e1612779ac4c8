//! The entries that a guest asks for, as they were before it changed any: all of the state that its answers depend on.

use std::collections::HashMap;

use super::cells::Checked;
use super::{Cells, State, live};

/// Keys and values that are kept of them.
const MOST_BYTES: usize = 16 << 20;

/// A value and its expiry; `None`: there was no such entry.
type Entry = Option<(Vec<u8>, i64)>;

/// Entries by table and key, each as it was when it was first asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    tables: Vec<HashMap<Vec<u8>, Entry>>,
    bytes: usize,
    incomplete: bool,
}

impl Touched {
    /// Keeps what is asked for the first time. Requests that are nonsense keep nothing: they end the call.
    pub(crate) fn note(&mut self, state: &State, table: usize, keys: Cells<'_>) {
        let (Ok(of), Ok(keys)) = (state.table(table), Checked::keys(keys)) else { return };
        if self.tables.len() <= table {
            self.tables.resize_with(table + 1, HashMap::new);
        }
        let Some(entries) = self.tables.get_mut(table) else { return };
        let hashes = state.hasher.all(keys);
        for (key, hash) in keys.iter().zip(&hashes) {
            if entries.contains_key(key) {
                continue;
            }
            // A disk that fails ends the call as well.
            let found = of.get(*hash, key).ok().flatten().filter(|(_, expiry)| live(*expiry, state.watermark_ms));
            let entry = found.map(|(value, expiry)| (value.into_owned(), expiry));
            self.bytes += key.len() + entry.as_ref().map_or(0, |(value, _)| value.len());
            if self.bytes > MOST_BYTES {
                self.incomplete = true;
                return;
            }
            entries.insert(key.to_vec(), entry);
        }
    }

    /// Whether there was more than is kept.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Table, key, and value with expiry, by table and key.
    pub(crate) fn entries(self) -> Vec<(usize, Vec<u8>, Entry)> {
        let of_table = |(table, entries): (usize, HashMap<Vec<u8>, Entry>)| {
            entries.into_iter().map(move |(key, entry)| (table, key, entry))
        };
        let mut all: Vec<_> = self.tables.into_iter().enumerate().flat_map(of_table).collect();
        all.sort_unstable();
        all
    }
}
