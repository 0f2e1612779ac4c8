//! The entries of one table.

use super::hash::{AHEAD, Hash, Hasher};
use super::numbers::Numbers;
use super::texts::{Entry, Texts};
use super::timers::Timers;
use super::{OnExpire, live};

/// What the quota counts for a key of 8 bytes without value, beside it: a slot, and those that are empty.
const NUMBER_BYTES: usize = 16;
/// What it counts for any other entry, beside key and value: a slot, lengths, expiry, and what rounding adds.
const ENTRY_BYTES: usize = 32;
/// What it counts for an entry that will be handed out, beside that: its timer.
const TIMER_BYTES: usize = 16;

/// Entries by key.
///
/// A key of 8 bytes without a value, in a table that drops, is among the numbers; all else among the texts.
#[derive(Debug)]
pub(super) struct Table {
    on_expire: OnExpire,
    hasher: Hasher,
    numbers: Numbers,
    texts: Texts,
    timers: Timers,
    /// Of the texts' entries, as the quota counts them.
    text_bytes: usize,
}

impl Table {
    pub(super) fn new(on_expire: OnExpire, hasher: Hasher) -> Self {
        let (numbers, texts, timers) = (Numbers::new(), Texts::new(), Timers::default());
        Self { on_expire, hasher, numbers, texts, timers, text_bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.texts.len()
    }

    /// As the quota counts them.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.len() * (NUMBER_BYTES + size_of::<u64>()) + self.text_bytes
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.numbers.memory() + self.texts.memory() + self.timers.memory()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.on_expire, self.hasher);
    }

    /// Makes room for entries of a snapshot: so many that numbers could be, and so many others.
    pub(super) fn reserve(&mut self, numbers: usize, texts: usize) {
        match self.on_expire {
            OnExpire::Drop => {
                self.numbers.reserve(numbers);
                self.texts.reserve(texts);
            }
            OnExpire::Call => self.texts.reserve(numbers + texts),
        }
    }

    /// Fetches what will be looked for soon: of the keys that come after this one.
    #[inline]
    pub(super) fn prefetch(&self, hashes: &[Hash], index: usize) {
        if self.texts.len() > 0 {
            if let Some(hash) = hashes.get(index + 2 * AHEAD) {
                self.texts.prefetch_slot(*hash);
            }
            if let Some(hash) = hashes.get(index + AHEAD) {
                self.texts.prefetch_entry(*hash);
            }
        }
        if self.numbers.len() > 0
            && let Some(hash) = hashes.get(index + AHEAD)
        {
            self.numbers.prefetch(*hash);
        }
    }

    /// The entry of a key, expired or not: its value and expiry.
    #[inline]
    pub(super) fn get(&self, hash: Hash, key: &[u8]) -> Option<(&[u8], i64)> {
        if self.numbers.len() > 0
            && let Some(key) = number(key)
            && let Some(expiry) = self.numbers.get(hash, key)
        {
            return Some((&[], expiry));
        }
        if self.texts.len() == 0 {
            return None;
        }
        self.texts.get(hash, key).map(|entry| (entry.value, entry.expiry))
    }

    /// Whether it makes a difference that an entry of this expiry is there: a table that calls hands it out.
    #[inline]
    pub(super) fn keeps(&self, expiry: i64, watermark_ms: Option<i64>) -> bool {
        self.on_expire == OnExpire::Call || live(expiry, watermark_ms)
    }

    pub(super) fn put(&mut self, hash: Hash, entry: Entry<'_>, watermark_ms: Option<i64>) {
        if self.on_expire == OnExpire::Call {
            let before = self.texts.get(hash, entry.key);
            self.timers.set(hash, entry.expiry, before.map(|entry| entry.expiry));
        } else if let Some(key) = number(entry.key) {
            if entry.value.is_empty() {
                if self.texts.len() > 0 {
                    self.remove_text(hash, entry.key);
                }
                self.numbers.put(self.hasher, hash, key, entry.expiry, watermark_ms);
                return;
            }
            self.numbers.remove(self.hasher, hash, key);
        }
        self.put_text(hash, entry, watermark_ms);
    }

    fn put_text(&mut self, hash: Hash, entry: Entry<'_>, watermark_ms: Option<i64>) {
        let (on_expire, bytes) = (self.on_expire, &mut self.text_bytes);
        if let Some(before) = self.texts.get(hash, entry.key) {
            *bytes -= counted(on_expire, before);
        }
        *bytes += counted(on_expire, entry);
        // In a table that calls, what is expired is still to be handed out.
        let watermark_ms = watermark_ms.filter(|_| on_expire == OnExpire::Drop);
        self.texts.put(hash, entry, watermark_ms, |gone| *bytes -= counted(on_expire, gone));
    }

    pub(super) fn remove(&mut self, hash: Hash, key: &[u8]) {
        if let Some(key) = number(key)
            && self.numbers.remove(self.hasher, hash, key)
        {
            return;
        }
        self.remove_text(hash, key);
    }

    fn remove_text(&mut self, hash: Hash, key: &[u8]) {
        if let Some(entry) = self.texts.get(hash, key) {
            self.text_bytes -= counted(self.on_expire, entry);
            self.texts.remove(hash, key);
        }
    }

    /// Takes the entries out whose expiry the watermark has reached, and gives key, value and expiry in the order of expiry
    /// and key. Those of a table that drops are nobody's business.
    pub(super) fn take_due(&mut self, watermark_ms: i64, mut each: impl FnMut(&[u8], &[u8], i64)) {
        let mut due: Vec<Taken> = Vec::new();
        while let Some(hash) = self.timers.due(watermark_ms) {
            let from = due.len();
            for entry in self.texts.of_hash(hash) {
                if live(entry.expiry, Some(watermark_ms)) {
                    self.timers.set(hash, entry.expiry, None);
                } else {
                    due.push(Taken { expiry: entry.expiry, key: entry.key.into(), value: entry.value.into() });
                }
            }
            due.iter().skip(from).for_each(|taken| self.remove_text(hash, &taken.key));
        }
        due.sort_unstable_by(|one, other| (one.expiry, &one.key).cmp(&(other.expiry, &other.key)));
        due.iter().for_each(|taken| each(&taken.key, &taken.value, taken.expiry));
    }

    /// Gives the memory of expired entries back, in a table that drops.
    pub(super) fn clean(&mut self, watermark_ms: i64) {
        if self.on_expire == OnExpire::Drop {
            self.numbers.clean(self.hasher, watermark_ms);
            let bytes = &mut self.text_bytes;
            self.texts.clean(watermark_ms, |gone| *bytes -= counted(OnExpire::Drop, gone));
        }
    }

    /// Makes [`Self::next_expiry`] exact.
    pub(super) fn settle(&mut self) {
        if self.timers.are_too_many(self.texts.len()) {
            self.timers.reset(self.texts.iter().map(|entry| (self.hasher.key(entry.key), entry.expiry)));
        }
        self.timers.settle(&self.texts);
    }

    /// As of the last [`Self::settle`].
    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.timers.earliest()
    }

    /// All entries: key, value, expiry.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key<'_>, &[u8], i64)> {
        let numbers = self.numbers.iter().map(|(key, expiry)| (Key::Number(key.to_le_bytes()), [].as_slice(), expiry));
        numbers.chain(self.texts.iter().map(|entry| (Key::Text(entry.key), entry.value, entry.expiry)))
    }
}

/// An entry that was taken out.
struct Taken {
    expiry: i64,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

/// A key, wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Of 8 bytes.
    Number([u8; 8]),
    /// Of any length.
    Text(&'a [u8]),
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Number(bytes) => bytes,
            Self::Text(bytes) => bytes,
        }
    }
}

fn counted(on_expire: OnExpire, entry: Entry<'_>) -> usize {
    let timer = if on_expire == OnExpire::Call { TIMER_BYTES } else { 0 };
    ENTRY_BYTES + timer + entry.key.len() + entry.value.len()
}

#[inline]
fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_le_bytes)
}
