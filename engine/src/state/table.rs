//! The entries of one table: in memory, and behind that in runs on the disk.
//!
//! Memory says what the runs do not: an entry in memory counts before one in a run, and where a key has an entry in a run and
//! none any more, memory has a tombstone for it, an entry of that expiry. What was handed out of a table that calls needs
//! none: that the watermark has been there says it.

use std::borrow::Cow;

use super::hash::{AHEAD, Hash, Hasher, SHARDS};
use super::numbers::Numbers;
use super::run::RunName;
use super::runs::{self, Merged, Runs, Stream, Writing};
use super::texts::{Entry, Texts};
use super::timers::Timers;
use super::{OnExpire, StateError, TOMBSTONE, huge, live};

/// What the quota counts for a key of 8 bytes without value, beside it: a slot, and those that are empty.
const NUMBER_BYTES: usize = 16;
/// What it counts for any other entry, beside key and value: a slot, lengths, expiry, and what rounding adds.
const ENTRY_BYTES: usize = 32;
/// What it counts for an entry that will be handed out, beside that: its timer.
const TIMER_BYTES: usize = 16;

/// What a table has of a key: its value and expiry.
type Found<'a> = (Cow<'a, [u8]>, i64);

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
    runs: Runs,
    /// Of a table that calls, the watermark up to which its entries were handed out.
    taken_ms: Option<i64>,
}

impl Table {
    pub(super) fn new(on_expire: OnExpire, hasher: Hasher) -> Self {
        let (numbers, texts, timers) = (Numbers::new(), Texts::new(), Timers::default());
        Self { on_expire, hasher, numbers, texts, timers, text_bytes: 0, runs: Runs::default(), taken_ms: None }
    }

    /// Entries, with those that were written over and tombstones.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.texts.len() + self.runs.entries()
    }

    /// Those in memory, as the quota counts them.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.len() * (NUMBER_BYTES + size_of::<u64>()) + self.text_bytes
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.numbers.memory() + self.texts.memory() + self.timers.memory() + self.runs.resident_bytes()
    }

    /// Bytes of memory that stay, whatever goes to the disk.
    pub(super) fn resident_bytes(&self) -> usize {
        self.runs.resident_bytes() + self.timers.len() * TIMER_BYTES
    }

    /// Bytes on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.runs.disk_bytes()
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
        if !self.runs.are_none()
            && let Some(hash) = hashes.get(index + AHEAD)
        {
            self.runs.prefetch(*hash);
        }
    }

    /// The entry of a key, expired or not: its value and expiry.
    #[inline]
    pub(super) fn get(&self, hash: Hash, key: &[u8]) -> Result<Option<Found<'_>>, StateError> {
        match self.in_memory(hash, key) {
            Some((_, TOMBSTONE)) => Ok(None),
            Some((value, expiry)) => Ok(Some((Cow::Borrowed(value), expiry))),
            None => Ok(self.on_disk(hash, key)?.map(|(value, expiry)| (Cow::Owned(value), expiry))),
        }
    }

    /// The entry of a key of which memory says nothing.
    #[inline]
    pub(super) fn on_disk(&self, hash: Hash, key: &[u8]) -> Result<Option<runs::Owned>, StateError> {
        if self.runs.are_none() {
            return Ok(None);
        }
        Ok(self.runs.get(hash, key)?.filter(|(_, expiry)| self.is_to_come(*expiry)))
    }

    /// Whether an entry in a run was not handed out yet, as far as it is one that is.
    fn is_to_come(&self, expiry: i64) -> bool {
        self.on_expire == OnExpire::Drop || live(expiry, self.taken_ms)
    }

    /// The entry of a key in memory, or its tombstone.
    #[inline]
    pub(super) fn in_memory(&self, hash: Hash, key: &[u8]) -> Option<(&[u8], i64)> {
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
        // What has expired may hide what lies in a run.
        let watermark_ms = watermark_ms.filter(|_| self.runs.are_none());
        if self.on_expire == OnExpire::Call {
            let before = self.texts.get(hash, entry.key).filter(|entry| entry.expiry != TOMBSTONE);
            self.timers.set(hash, entry.expiry, before.map(|entry| entry.expiry));
        } else if let Some(key) = number(entry.key) {
            if entry.value.is_empty() {
                if self.texts.len() > 0 {
                    self.forget_text(hash, entry.key);
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

    /// The key has no entry any more.
    pub(super) fn remove(&mut self, hash: Hash, key: &[u8]) {
        if self.runs.may_have(hash) {
            self.bury(hash, key);
        } else {
            self.forget(hash, key);
        }
    }

    /// Puts a tombstone in the place of an entry.
    pub(super) fn bury(&mut self, hash: Hash, key: &[u8]) {
        match number(key).filter(|_| self.on_expire == OnExpire::Drop) {
            Some(number) => {
                self.forget_text(hash, key);
                self.numbers.put(self.hasher, hash, number, TOMBSTONE, None);
            }
            None => self.put_text(hash, Entry { key, value: &[], expiry: TOMBSTONE }, None),
        }
    }

    /// Memory says nothing of the key any more.
    pub(super) fn forget(&mut self, hash: Hash, key: &[u8]) {
        if let Some(key) = number(key)
            && self.numbers.remove(self.hasher, hash, key)
        {
            return;
        }
        self.forget_text(hash, key);
    }

    fn forget_text(&mut self, hash: Hash, key: &[u8]) {
        if let Some(entry) = self.texts.get(hash, key) {
            self.text_bytes -= counted(self.on_expire, entry);
            self.texts.remove(hash, key);
        }
    }

    /// Takes the entries out whose expiry the watermark has reached, and gives key, value and expiry in the order of expiry
    /// and key. Those of a table that drops are nobody's business.
    pub(super) fn take_due(
        &mut self,
        watermark_ms: i64,
        mut each: impl FnMut(&[u8], &[u8], i64),
    ) -> Result<(), StateError> {
        if self.on_expire == OnExpire::Drop {
            return Ok(());
        }
        let mut due: Vec<Taken> = Vec::new();
        let mut hashes: Vec<Hash> = std::iter::from_fn(|| self.timers.due(watermark_ms)).collect();
        // A key may have several timers, and what lies in a run stays there.
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            let (from, runs) = (due.len(), self.in_runs(hash)?);
            for entry in self.texts.of_hash(hash).filter(|entry| entry.expiry != TOMBSTONE) {
                if live(entry.expiry, Some(watermark_ms)) {
                    self.timers.set(hash, entry.expiry, None);
                } else {
                    due.push(Taken { expiry: entry.expiry, key: entry.key.into(), value: entry.value.into() });
                }
            }
            due.iter().skip(from).for_each(|taken| self.remove(hash, &taken.key));
            for (key, (value, expiry)) in runs {
                if live(expiry, Some(watermark_ms)) {
                    self.timers.set(hash, expiry, None);
                } else {
                    due.push(Taken { expiry, key: key.into(), value: value.into() });
                }
            }
        }
        self.taken_ms = self.taken_ms.max(Some(watermark_ms));
        due.sort_unstable_by(|one, other| (one.expiry, &one.key).cmp(&(other.expiry, &other.key)));
        due.iter().for_each(|taken| each(&taken.key, &taken.value, taken.expiry));
        Ok(())
    }

    /// The entries of a hash that are there and lie in runs: key, value, expiry.
    fn in_runs(&self, hash: Hash) -> Result<Vec<(Vec<u8>, runs::Owned)>, StateError> {
        if self.runs.are_none() {
            return Ok(Vec::new());
        }
        let mut found = self.runs.of_hash(self.hasher, hash)?;
        let counts = |key: &[u8], expiry: i64| {
            expiry != TOMBSTONE && self.is_to_come(expiry) && self.in_memory(hash, key).is_none()
        };
        found.retain(|(key, (_, expiry))| counts(key, *expiry));
        Ok(found)
    }

    /// Gives the memory of expired entries back, in a table that drops.
    pub(super) fn clean(&mut self, watermark_ms: i64) {
        if self.on_expire == OnExpire::Drop && self.runs.are_none() {
            self.numbers.clean(self.hasher, watermark_ms);
            let bytes = &mut self.text_bytes;
            self.texts.clean(watermark_ms, |gone| *bytes -= counted(OnExpire::Drop, gone));
        }
    }

    /// Makes [`Self::next_expiry`] exact.
    pub(super) fn settle(&mut self) -> Result<(), StateError> {
        if self.on_expire == OnExpire::Drop {
            return Ok(());
        }
        if self.timers.are_too_many(self.len()) {
            let memory = self.texts.iter().filter(|entry| entry.expiry != TOMBSTONE);
            let memory = memory.map(|entry| (self.hasher.key(entry.key), entry.expiry));
            let runs = self.runs.timers(self.hasher)?.into_iter().map(|(expiry, hash)| (hash, expiry));
            self.timers.reset(memory.chain(runs));
        }
        while let Some((earliest, hash)) = self.timers.earliest() {
            let memory = self.texts.of_hash(hash).map(|entry| entry.expiry).filter(|expiry| *expiry != TOMBSTONE);
            let mut expiries: Vec<i64> = memory.collect();
            if !expiries.contains(&earliest) {
                expiries.extend(self.in_runs(hash)?.iter().map(|(_, (_, expiry))| *expiry));
            }
            if expiries.contains(&earliest) {
                break;
            }
            self.timers.due(earliest);
            expiries.into_iter().for_each(|expiry| self.timers.set(hash, expiry, None));
        }
        Ok(())
    }

    /// As of the last [`Self::settle`].
    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.timers.earliest().map(|(expiry, _)| expiry)
    }

    /// All entries in memory, with tombstones: key, value, expiry.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key<'_>, &[u8], i64)> {
        let numbers = self.numbers.iter().map(|(key, expiry)| (Key::Number(key.to_le_bytes()), [].as_slice(), expiry));
        numbers.chain(self.texts.iter().map(|entry| (Key::Text(entry.key), entry.value, entry.expiry)))
    }
}

/// What lies on the disk.
impl Table {
    /// Notes what a record says of a shard's runs; `all`: what was in memory is in them.
    pub(super) fn name_runs(&mut self, shard: usize, names: Vec<RunName>, all: bool) {
        if all {
            self.clear_shard(shard);
        }
        self.runs.name(shard, names);
    }

    /// Opens the runs that were named.
    pub(super) fn open_runs(&mut self, disk: &super::Disk) -> Result<(), StateError> {
        self.runs.open(disk, self.hasher)?;
        let tight = !self.runs.are_none();
        (self.numbers.tight, self.texts.tight) = (tight, tight);
        if self.on_expire == OnExpire::Call {
            for (expiry, hash) in self.runs.timers(self.hasher)? {
                if self.is_to_come(expiry) {
                    self.timers.set(hash, expiry, None);
                }
            }
        }
        self.settle()
    }

    /// The watermark up to which entries were handed out, of a table that calls.
    pub(super) fn taken_ms(&self) -> Option<i64> {
        self.taken_ms.filter(|_| self.on_expire == OnExpire::Call)
    }

    pub(super) fn run_names(&self) -> impl Iterator<Item = RunName> {
        self.runs.names()
    }

    pub(super) fn runs_of_shard(&self, shard: usize) -> Vec<RunName> {
        self.runs.of_shard(shard)
    }

    /// How much memory the shards take.
    pub(super) fn in_memory_bytes(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard_bytes(shard)).sum()
    }

    /// How much memory a shard takes.
    pub(super) fn shard_bytes(&self, shard: usize) -> usize {
        self.numbers.shard_bytes(shard) + self.texts.shard_bytes(shard)
    }

    /// Moves the entries of a shard from memory to a run; gives those that stay, because they are to be handed out.
    pub(super) fn spill(
        &mut self,
        shard: usize,
        writing: &mut Writing<'_>,
    ) -> Result<Vec<(Vec<u8>, runs::Owned)>, StateError> {
        let taken = self.taken_ms();
        let stays = |expiry: i64| taken.is_some() && expiry != TOMBSTONE && !live(expiry, taken);
        let owned = |entry: Entry<'_>| (entry.key.to_vec(), (entry.value.to_vec(), entry.expiry));
        let stay: Vec<_> = self.texts.of_shard(shard).filter(|entry| stays(entry.expiry)).map(owned).collect();
        self.runs.drop_expired(shard, writing);
        self.runs.spill(shard, in_memory(&self.numbers, &self.texts, self.hasher, shard), stays, writing)?;
        let before = self.shard_bytes(shard);
        self.clear_shard(shard);
        huge::give_back(before);
        // From now on memory is full, or soon will be again; before, pages that are kept need not be cleared anew.
        (self.numbers.tight, self.texts.tight) = (true, true);
        for (key, (value, expiry)) in &stay {
            self.put_text(self.hasher.key(key), Entry { key, value, expiry: *expiry }, None);
        }
        Ok(stay)
    }

    /// Goes on merging runs, for so many bytes; gives a shard whose runs are others now.
    pub(super) fn merge(&mut self, bytes: &mut usize, writing: &mut Writing<'_>) -> Result<Option<usize>, StateError> {
        self.runs.merge(bytes, writing)
    }

    /// Merges all runs of a shard into one.
    pub(super) fn compact(&mut self, shard: usize, writing: &mut Writing<'_>) -> Result<(), StateError> {
        if self.runs.is_empty(shard) { Ok(()) } else { self.runs.merge_all(shard, writing) }
    }

    fn clear_shard(&mut self, shard: usize) {
        let bytes = self.texts.of_shard(shard).map(|entry| counted(self.on_expire, entry)).sum::<usize>();
        self.text_bytes -= bytes;
        self.texts.clear_shard(shard);
        self.numbers.clear_shard(shard);
    }

    /// Gives all entries: key, value, expiry. What has expired and was not cleaned up is among them.
    pub(super) fn each(&self, mut each: impl FnMut(&[u8], &[u8], i64)) -> Result<(), StateError> {
        for shard in 0..SHARDS {
            let mut streams = in_memory(&self.numbers, &self.texts, self.hasher, shard);
            streams.extend(self.runs.streams(shard)?);
            let mut merged = Merged::new(streams, self.hasher)?;
            while merged.next(|entry| {
                let in_memory = || self.in_memory(self.hasher.key(entry.key), entry.key).is_some();
                if entry.expiry != TOMBSTONE && (self.is_to_come(entry.expiry) || in_memory()) {
                    each(entry.key, entry.value, entry.expiry);
                }
                Ok(())
            })? {}
        }
        Ok(())
    }
}

/// The entries of a shard in memory, with tombstones.
fn in_memory<'a>(numbers: &Numbers, texts: &'a Texts, hasher: Hasher, shard: usize) -> Vec<Stream<'a>> {
    let (numbers, texts) = (numbers.in_order(hasher, shard), texts.in_order(shard));
    let numbers = (!numbers.is_empty()).then(|| Stream::Numbers(numbers.into_iter()));
    let texts = (texts.len() > 0).then_some(Stream::Texts(texts));
    numbers.into_iter().chain(texts).collect()
}

/// An entry that was taken out.
struct Taken {
    expiry: i64,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

/// A key, wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
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
