//! When entries expire: of each, at least one timer, at its expiry or before. One that comes too early, because the entry
//! was written again with a later expiry, is set anew when it comes; so writing an entry again costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash::Hash;

/// The timers of a table that calls.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Expiries and hashes of keys: entries move, hashes stay.
    heap: BinaryHeap<Reverse<(i64, Hash)>>,
}

impl Timers {
    /// An entry was written, over one of this expiry if there was one.
    pub(super) fn set(&mut self, hash: Hash, expiry: i64, before: Option<i64>) {
        if expiry != i64::MAX && before.is_none_or(|before| expiry < before) {
            self.heap.push(Reverse((expiry, hash)));
        }
    }

    /// The earliest, and the hash of its key. An entry expires then, if they were settled since the last write.
    pub(super) fn earliest(&self) -> Option<(i64, Hash)> {
        self.heap.peek().map(|Reverse(earliest)| *earliest)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Takes the next timer that is due. All that are equal to it are one.
    pub(super) fn due(&mut self, watermark_ms: i64) -> Option<Hash> {
        let Reverse(next) = *self.heap.peek()?;
        if next.0 > watermark_ms {
            return None;
        }
        while self.heap.peek() == Some(&Reverse(next)) {
            self.heap.pop();
        }
        Some(next.1)
    }

    /// Whether there are many more than entries: put and put again with earlier expiries leaves some behind.
    pub(super) fn are_too_many(&self, entries: usize) -> bool {
        self.heap.len() > 4 * entries + 1_024
    }

    pub(super) fn reset(&mut self, all: impl Iterator<Item = (Hash, i64)>) {
        self.heap =
            all.filter(|(_, expiry)| *expiry != i64::MAX).map(|(hash, expiry)| Reverse((expiry, hash))).collect();
    }

    pub(super) fn memory(&self) -> usize {
        self.heap.capacity() * size_of::<(i64, Hash)>()
    }
}
