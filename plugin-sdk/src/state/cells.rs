//! Keys and values of a batch as they cross the border: one list of bytes, and where each begins.

use super::StateKey;
use crate::view::bit;

/// Keys or values, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells<'a> {
    /// All of one length.
    Fixed {
        /// Bytes of each.
        width: u32,
        /// All bytes.
        bytes: &'a [u8],
    },
    /// Of any length.
    Variable {
        /// Where each begins, and where the last ends.
        offsets: &'a [u32],
        /// All bytes.
        bytes: &'a [u8],
    },
}

impl<'a> Cells<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::Fixed { width, bytes } => bytes.len().checked_div(width as usize).unwrap_or(0),
            Self::Variable { offsets, .. } => offsets.len().saturating_sub(1),
        }
    }

    /// None?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// One of them. Panics if there are not so many.
    #[must_use]
    pub fn get(self, index: usize) -> &'a [u8] {
        match self {
            Self::Fixed { width, bytes } => &bytes[index * width as usize..][..width as usize],
            Self::Variable { offsets, bytes } => &bytes[offsets[index] as usize..offsets[index + 1] as usize],
        }
    }
}

/// Cells of any length, as they are written.
#[derive(Clone, Debug)]
pub struct Variable {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Default for Variable {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl Variable {
    /// Writes a cell.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.offsets.push(offset(self.bytes.len()));
    }

    /// What was written.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        Cells::Variable { offsets: &self.offsets, bytes: &self.bytes }
    }

    /// So many empty cells.
    #[must_use]
    pub fn empty(cells: usize) -> Self {
        Self { offsets: vec![0; cells + 1], bytes: Vec::new() }
    }
}

/// The keys of a batch, as they are written: of one width where their type has one.
#[derive(Clone, Debug)]
pub struct KeyBatch {
    width: Option<usize>,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl KeyBatch {
    /// Room for so many keys of a type.
    #[must_use]
    pub fn new<K: StateKey>(keys: usize) -> Self {
        let mut offsets = Vec::new();
        if K::WIDTH.is_none() {
            offsets.reserve(keys + 1);
            offsets.push(0);
        }
        Self { width: K::WIDTH, offsets, bytes: Vec::with_capacity(keys * K::WIDTH.unwrap_or(16)) }
    }

    /// Writes a key.
    #[inline(always)]
    pub fn push<K: StateKey>(&mut self, key: &K) {
        key.write(&mut self.bytes);
        if self.width.is_none() {
            self.offsets.push(offset(self.bytes.len()));
        }
    }

    pub(super) fn push_bytes(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        if self.width.is_none() {
            self.offsets.push(offset(self.bytes.len()));
        }
    }

    /// Takes the last key back.
    fn pop(&mut self) {
        match self.width {
            Some(width) => self.bytes.truncate(self.bytes.len() - width),
            None => {
                self.offsets.pop();
                self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells().len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.offsets.len() <= 1
    }

    /// What was written.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        match self.width {
            Some(width) => Cells::Fixed { width: offset(width), bytes: &self.bytes },
            None => Cells::Variable { offsets: &self.offsets, bytes: &self.bytes },
        }
    }

    /// A key's bytes. Panics if there are not so many.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        self.cells().get(index)
    }
}

/// The distinct keys of a batch, numbered in the order of their first row.
///
/// An open hash table of numbers: the keys' bytes lie where they go out from. Its order is never seen.
#[derive(Clone, Debug)]
pub struct Slots {
    keys: KeyBatch,
    count: usize,
    /// Slot + 1; 0: free. A power of two in length, at most half full.
    table: Vec<u32>,
}

impl Slots {
    /// Room for so many keys of a type.
    #[must_use]
    pub fn new<K: StateKey>(keys: usize) -> Self {
        Self { keys: KeyBatch::new::<K>(keys), count: 0, table: vec![0; (keys * 2).next_power_of_two().max(16)] }
    }

    /// The slot of a key; a new one where it is new.
    #[inline]
    pub fn of<K: StateKey>(&mut self, key: &K) -> usize {
        self.keys.push(key);
        self.settle()
    }

    /// The slot of a key that is bytes already.
    pub fn of_bytes(&mut self, key: &[u8]) -> usize {
        self.keys.push_bytes(key);
        self.settle()
    }

    /// The slot of the key that was just written, which is taken back where it was there already.
    #[inline]
    fn settle(&mut self) -> usize {
        if (self.count + 1) * 2 > self.table.len() {
            self.grow();
        }
        let key = self.keys.get(self.count);
        let mask = self.table.len() - 1;
        let mut place = first_place(hash(key), self.table.len());
        loop {
            match self.table[place] {
                0 => {
                    self.count += 1;
                    self.table[place] = offset(self.count);
                    return self.count - 1;
                }
                slot if same(self.keys.get(slot as usize - 1), key) => {
                    self.keys.pop();
                    return slot as usize - 1;
                }
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        self.table = vec![0; mask + 1];
        for slot in 0..self.count {
            let mut place = first_place(hash(self.keys.get(slot)), mask + 1);
            while self.table[place] != 0 {
                place = (place + 1) & mask;
            }
            self.table[place] = offset(slot + 1);
        }
    }

    /// No keys yet, of the same type.
    pub(super) fn no_keys(&self) -> KeyBatch {
        let offsets = if self.keys.width.is_none() { vec![0] } else { Vec::new() };
        KeyBatch { width: self.keys.width, offsets, bytes: Vec::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The keys, slot by slot.
    #[must_use]
    pub fn keys(&self) -> &KeyBatch {
        &self.keys
    }
}

/// Multiply and rotate, eight bytes at a time (as FxHash does): keys of one batch alone, so nobody gains by collisions.
#[inline]
fn hash(key: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        // As they are written: numbers that differ in their last digits differ in the low bits here, and so in all above.
        hash = (hash.rotate_left(5) ^ u64::from_be_bytes(*word)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash
}

/// Whether two keys are the same; the usual eight bytes without a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    match (<&[u8; 8]>::try_from(a), <&[u8; 8]>::try_from(b)) {
        (Ok(a), Ok(b)) => u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b),
        _ => a == b,
    }
}

/// The first place of a hash in a table of so many places, a power of two: by its upper bits, which are mixed best.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below the table's length")]
fn first_place(hash: u64, places: usize) -> usize {
    (hash >> (64 - places.trailing_zeros())) as usize
}

pub(super) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("keys and values of a batch stay below 4 GiB")
}

/// The host's answer to a batch of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// A bit for each key.
    pub present: Vec<u8>,
    /// Where each value begins, and where the last ends.
    pub offsets: Vec<u32>,
    /// All values.
    pub bytes: Vec<u8>,
}

impl Found {
    /// The value of a key; `None`: there is no entry. Panics if there were not so many keys.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        bit(&self.present, index).then(|| &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far keys lie from their first places, on average: numbers that follow each other, negative ones, text.
    #[test]
    fn keys_of_every_kind_are_spread() {
        fn steps<K: StateKey>(keys: impl Iterator<Item = K>) -> usize {
            let mut batch = KeyBatch::new::<K>(0);
            keys.for_each(|key| batch.push(&key));
            let places = (batch.len() * 2).next_power_of_two();
            let mut taken = vec![false; places];
            let mut steps = 0;
            for key in 0..batch.len() {
                let mut place = first_place(hash(batch.get(key)), places);
                while std::mem::replace(&mut taken[place], true) {
                    place = (place + 1) % places;
                    steps += 1;
                }
            }
            steps / batch.len()
        }
        assert!(steps((0..4_096_i64).map(|key| key - 2_000)) < 2);
        assert!(steps((0..4_096_u64).map(|key| key * 4_096)) < 2);
        assert!(steps((0..4_096).map(|key| format!("user-{key:017}"))) < 2);
        assert!(steps((0..4_096).map(|key: u32| (key % 64, i64::from(key)))) < 2);
    }

    #[test]
    fn slots_are_numbered_by_first_row_and_survive_growth() {
        let mut slots = Slots::new::<u64>(1);
        let numbers: Vec<usize> = (0..1000_u64).map(|key| slots.of(&(key % 300 * 7919))).collect();
        assert_eq!(slots.len(), 300);
        assert!(numbers.iter().enumerate().all(|(row, slot)| *slot == row % 300));
        assert_eq!(slots.keys().len(), 300);

        let mut slots = Slots::new::<&str>(4);
        let words = ["b", "a", "", "b", "a longer one", "", "a"];
        assert_eq!(words.map(|word| slots.of(&word)), [0, 1, 2, 0, 3, 2, 1]);
        assert_eq!(slots.of_bytes(b"a longer one"), 3);
        assert_eq!(slots.keys().get(3), b"a longer one");
    }
}
