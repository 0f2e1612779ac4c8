//! The entries of one table.

use std::collections::{BTreeSet, HashMap};

use super::{OnExpire, live};

/// What the quota counts for an entry beside its key and value: more than it takes.
const ENTRY_BYTES: usize = 32;

/// Entries by key.
#[derive(Debug)]
pub(super) struct Table {
    on_expire: OnExpire,
    entries: HashMap<Vec<u8>, Entry>,
    /// Of a table that calls: its entries by expiry.
    timers: BTreeSet<(i64, Vec<u8>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    expiry: i64,
    value: Vec<u8>,
}

impl Table {
    pub(super) fn new(on_expire: OnExpire) -> Self {
        Self { on_expire, entries: HashMap::new(), timers: BTreeSet::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.on_expire);
    }

    /// The entry of a key, expired or not.
    pub(super) fn get(&self, key: &[u8]) -> Option<(&[u8], i64)> {
        self.entries.get(key).map(|entry| (entry.value.as_slice(), entry.expiry))
    }

    /// The entry of a key that a write takes away and an undo has to bring back.
    pub(super) fn kept(&self, key: &[u8], watermark_ms: Option<i64>) -> Option<(&[u8], i64)> {
        self.get(key).filter(|(_, expiry)| self.keeps(*expiry, watermark_ms))
    }

    /// Whether it makes a difference that an entry of this expiry is there: a table that calls hands it out.
    pub(super) fn keeps(&self, expiry: i64, watermark_ms: Option<i64>) -> bool {
        self.on_expire == OnExpire::Call || live(expiry, watermark_ms)
    }

    pub(super) fn put(&mut self, key: &[u8], expiry: i64, value: &[u8]) {
        self.remove(key);
        if self.on_expire == OnExpire::Call && expiry != i64::MAX {
            self.timers.insert((expiry, key.to_vec()));
        }
        self.bytes += ENTRY_BYTES + key.len() + value.len();
        self.entries.insert(key.to_vec(), Entry { expiry, value: value.to_vec() });
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.bytes -= ENTRY_BYTES + key.len() + entry.value.len();
            self.timers.remove(&(entry.expiry, key));
        }
    }

    /// Takes the entries out whose expiry the watermark has reached, in the order of expiry and key. Those of a table that
    /// drops are nobody's business.
    pub(super) fn take_due(&mut self, watermark_ms: i64, mut each: impl FnMut(&[u8], &[u8], i64)) {
        while self.timers.first().is_some_and(|(expiry, _)| *expiry <= watermark_ms) {
            let Some((expiry, key)) = self.timers.pop_first() else { return };
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= ENTRY_BYTES + key.len() + entry.value.len();
                each(&key, &entry.value, expiry);
            }
        }
    }

    /// Gives the memory of expired entries back, in a table that drops.
    pub(super) fn clean(&mut self, watermark_ms: i64) {
        if self.on_expire == OnExpire::Drop {
            let bytes = &mut self.bytes;
            self.entries.retain(|key, entry| {
                let stays = live(entry.expiry, Some(watermark_ms));
                if !stays {
                    *bytes -= ENTRY_BYTES + key.len() + entry.value.len();
                }
                stays
            });
        }
    }

    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.timers.first().map(|(expiry, _)| *expiry)
    }

    /// All entries: key, value, expiry.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], i64)> {
        self.entries.iter().map(|(key, entry)| (key.as_slice(), entry.value.as_slice(), entry.expiry))
    }
}
