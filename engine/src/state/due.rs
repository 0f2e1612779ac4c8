//! Entries that are handed out, in the form in which they cross the border.

use std::borrow::Cow;
use std::ops::Range;

/// Entries that expire at one watermark, of one table, in the order of (expiry, key).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The table's index.
    pub table: usize,
    /// Where each key begins, and where the last ends.
    pub key_offsets: Vec<u32>,
    /// The keys' bytes.
    pub keys: Vec<u8>,
    /// Where each value begins, and where the last ends.
    pub value_offsets: Vec<u32>,
    /// The values' bytes.
    pub values: Vec<u8>,
    /// When each expired, ms of event time.
    pub expiries: Vec<i64>,
}

impl Due {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.expiries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expiries.is_empty()
    }

    /// One of them: key, value, expiry.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<(&[u8], &[u8], i64)> {
        let of = |offsets: &[u32]| Some(*offsets.get(index)? as usize..*offsets.get(index + 1)? as usize);
        let (key, value) = (self.keys.get(of(&self.key_offsets)?)?, self.values.get(of(&self.value_offsets)?)?);
        Some((key, value, *self.expiries.get(index)?))
    }

    /// Some of them.
    #[must_use]
    pub fn slice(&self, entries: Range<usize>) -> Cow<'_, Self> {
        if entries == (0..self.len()) {
            return Cow::Borrowed(self);
        }
        let mut some = Self::of(self.table);
        for (key, value, expiry) in entries.filter_map(|index| self.entry(index)) {
            some.push(key, value, expiry);
        }
        Cow::Owned(some)
    }

    /// None yet.
    pub(crate) fn of(table: usize) -> Self {
        Self { table, key_offsets: vec![0], value_offsets: vec![0], ..Self::default() }
    }

    /// Offsets have 32 bits, and a guest's memory is no larger.
    pub(super) fn has_room(&self, key: &[u8], value: &[u8]) -> bool {
        const MOST: usize = 64 << 20;
        self.keys.len() + key.len() <= MOST && self.values.len() + value.len() <= MOST
    }

    /// One more.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8], expiry: i64) {
        self.keys.extend_from_slice(key);
        self.key_offsets.push(u32::try_from(self.keys.len()).expect("a key lay in a guest's memory of 32 bits"));
        self.values.extend_from_slice(value);
        self.value_offsets.push(u32::try_from(self.values.len()).expect("as did its value"));
        self.expiries.push(expiry);
    }
}
