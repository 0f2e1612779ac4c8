//! Runs: entries of one shard of a table that memory had no room for, in a file that is written once.
//!
//! ```text
//! file    = block* tail
//! block   = entries in the order of (hash, key), of about 4 KiB: key and expiry, where the run has numbers alone, or each
//!           as `texts.rs` has it in memory, without the padding
//! tail    = index filter timers footer
//! index   = for each block: offset, checksum: u64, hash of the first entry: u32
//! timers  = of a table that calls, for each entry that expires: expiry: i64, hash: u64
//! footer  = entries, blocks, bytes of the filter, timers, kind (1: numbers alone; 2: with timers), seed: u64, the latest
//!           expiry: i64
//! ```
//!
//! **Promise.** What is read is what was written, or an error: who names a run says the checksum of its tail, which has
//! those of the blocks. Index and filter lie in memory, 2 bytes for each entry; an entry is one read of one block.
//! **After a crash** a file that nobody names is removed by [`super::Disk`].

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::filter::{self, Filter};
use super::hash::{Hash, Hasher};
use super::texts::{self, Entry};
use super::{OnExpire, StateError, TOMBSTONE};

/// Bytes of a block: what a disk reads at once.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes that are written before the disk has to have them: what it has to write at an end is bounded.
const SYNC_BYTES: u64 = 8 << 20;
const INDEX_BYTES: usize = 20;
const TIMER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 56;
const NUMBERS: u64 = 1;
const WITH_TIMERS: u64 = 2;
/// What is kept in memory of an entry in a run, as the quota counts it: its part of filter and index.
pub(super) const RESIDENT_BYTES: usize = 2;

/// How a record of the journal names a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunName {
    /// Who wrote it: a process that takes the lane over never writes a file that the one before it may still be writing.
    pub(super) owner: u64,
    /// Which of them.
    pub(super) number: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Where its tail begins.
    pub(super) tail: u64,
    /// Of the tail.
    pub(super) checksum: u64,
}

impl RunName {
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}.run", self.owner, self.number))
    }
}

/// A run, open.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) name: RunName,
    path: PathBuf,
    file: File,
    index: Vec<Block>,
    filter: Filter,
    /// Where the timers lie, and how many; none: the table did not call when the run was written.
    timers: Option<(u64, usize)>,
    pub(super) entries: usize,
    /// No entry expires later.
    pub(super) latest: i64,
    pub(super) numbers: bool,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    checksum: u64,
    first: u32,
}

/// An entry out of a run: what it holds, or that it is gone.
pub(super) type Owned = (Vec<u8>, i64);

impl Run {
    pub(super) fn open(folder: &Path, name: RunName, hasher: Hasher) -> Result<Self, StateError> {
        let path = name.path(folder);
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        let length = name.bytes.checked_sub(name.tail).and_then(|bytes| usize::try_from(bytes).ok());
        let mut tail = vec![0; length.ok_or_else(|| damaged(&path))?];
        file.read_exact_at(&mut tail, name.tail).map_err(|error| failed(&path, &error))?;
        if XxHash3_64::oneshot(&tail) != name.checksum {
            return Err(damaged(&path));
        }
        Self::read(name, file, &path, &tail, hasher).ok_or_else(|| damaged(&path))
    }

    /// None: the tail is not one.
    fn read(name: RunName, file: File, path: &Path, tail: &[u8], hasher: Hasher) -> Option<Self> {
        let (rest, footer) = tail.split_last_chunk::<FOOTER_BYTES>()?;
        let (footer, _) = footer.as_chunks::<8>();
        let &[entries, blocks, filter, timers, kind, seed, latest] = footer else { return None };
        let [entries, blocks, filter, timers, kind] = [entries, blocks, filter, timers, kind].map(u64::from_le_bytes);
        if u64::from_le_bytes(seed) != hasher.seed() {
            return None;
        }
        let count = |number: u64| usize::try_from(number).ok();
        let (index, rest) = rest.split_at_checked(count(blocks)?.checked_mul(INDEX_BYTES)?)?;
        let (filter, rest) = rest.split_at_checked(count(filter)?)?;
        if rest.len() != count(timers)?.checked_mul(TIMER_BYTES)? {
            return None;
        }
        let block = |bytes: &[u8; INDEX_BYTES]| {
            let (offset, bytes) = bytes.split_first_chunk()?;
            let (checksum, first) = bytes.split_first_chunk()?;
            let (offset, checksum) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*checksum));
            Some(Block { offset, checksum, first: u32::from_le_bytes(first.try_into().ok()?) })
        };
        let timers_at = name.bytes - (FOOTER_BYTES + rest.len()) as u64;
        Some(Self {
            index: index.as_chunks::<INDEX_BYTES>().0.iter().map(block).collect::<Option<_>>()?,
            filter: Filter::of(filter)?,
            timers: (kind & WITH_TIMERS != 0).then_some((timers_at, count(timers)?)),
            entries: count(entries)?,
            latest: i64::from_le_bytes(latest),
            numbers: kind & NUMBERS != 0,
            path: path.to_owned(),
            name,
            file,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    pub(super) fn may_have(&self, hash: Hash) -> bool {
        self.filter.may_have(hash)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        self.filter.prefetch(hash);
    }

    /// The entry of a key. One that is gone has [`TOMBSTONE`] as its expiry.
    pub(super) fn get(&self, hash: Hash, key: &[u8]) -> Result<Option<Owned>, StateError> {
        if !self.may_have(hash) {
            return Ok(None);
        }
        let mut found = None;
        self.near(hash, |entry| {
            if entry.key == key {
                found = Some((entry.value.to_vec(), entry.expiry));
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Calls for the entries of the blocks in which those of a hash lie, until it has enough.
    pub(super) fn near(&self, hash: Hash, mut each: impl FnMut(Entry<'_>) -> bool) -> Result<(), StateError> {
        let low = hash.low();
        // Entries of one hash may lie on both sides of a block's beginning.
        let from = self.index.partition_point(|block| block.first < low).saturating_sub(1);
        for (block, _) in (from..).zip(self.index.iter().skip(from).take_while(|block| block.first <= low)) {
            let bytes = self.block(block)?;
            let mut at = 0;
            while let Some((entry, next)) = self.entry(&bytes, at)? {
                if !each(entry) {
                    return Ok(());
                }
                at = next;
            }
        }
        Ok(())
    }

    /// The entry that begins there, and where the next one does.
    fn entry<'a>(&self, block: &'a [u8], at: usize) -> Result<Option<(Entry<'a>, usize)>, StateError> {
        let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
        let entry = if self.numbers {
            rest.split_at_checked(8).and_then(|(key, rest)| {
                let expiry = i64::from_le_bytes(*rest.first_chunk()?);
                Some((Entry { key, value: &[], expiry }, at + 16))
            })
        } else {
            texts::read(rest).map(|entry| (entry, at + entry.bytes()))
        };
        entry.map(Some).ok_or_else(|| damaged(&self.path))
    }

    fn block(&self, number: usize) -> Result<Vec<u8>, StateError> {
        let Some(block) = self.index.get(number) else { return Ok(Vec::new()) };
        let end = self.index.get(number + 1).map_or(self.name.tail, |next| next.offset);
        let length = end.checked_sub(block.offset).and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or_else(|| damaged(&self.path))?];
        self.file.read_exact_at(&mut bytes, block.offset).map_err(|error| failed(&self.path, &error))?;
        if XxHash3_64::oneshot(&bytes) == block.checksum { Ok(bytes) } else { Err(damaged(&self.path)) }
    }

    /// Expiry and hash of each entry that expires, of a table that calls.
    pub(super) fn timers(&self, hasher: Hasher) -> Result<Vec<(i64, Hash)>, StateError> {
        let Some((at, count)) = self.timers else { return self.timers_of_entries(hasher) };
        let mut bytes = vec![[[0; 8]; 2]; count];
        let whole = bytes.as_flattened_mut().as_flattened_mut();
        self.file.read_exact_at(whole, at).map_err(|error| failed(&self.path, &error))?;
        Ok(bytes.iter().map(|[expiry, hash]| (i64::from_le_bytes(*expiry), Hash(u64::from_le_bytes(*hash)))).collect())
    }

    fn timers_of_entries(&self, hasher: Hasher) -> Result<Vec<(i64, Hash)>, StateError> {
        let mut timers = Vec::new();
        for number in 0..self.index.len() {
            let (bytes, mut at) = (self.block(number)?, 0);
            while let Some((entry, next)) = self.entry(&bytes, at)? {
                if expires(entry.expiry) {
                    timers.push((entry.expiry, hasher.key(entry.key)));
                }
                at = next;
            }
        }
        Ok(timers)
    }
}

/// The entries of a run, one after the other.
#[derive(Debug)]
pub(super) struct Cursor {
    run: Arc<Run>,
    next_block: usize,
    block: Vec<u8>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(run: Arc<Run>) -> Result<Self, StateError> {
        Ok(Self { next_block: 1, block: run.block(0)?, at: 0, run })
    }

    /// Entries of the run.
    pub(super) fn most(&self) -> usize {
        self.run.entries
    }

    pub(super) fn head(&self) -> Result<Option<Entry<'_>>, StateError> {
        Ok(self.run.entry(&self.block, self.at)?.map(|(entry, _)| entry))
    }

    pub(super) fn advance(&mut self) -> Result<(), StateError> {
        self.at = self.run.entry(&self.block, self.at)?.map_or(self.at, |(_, next)| next);
        if self.at == self.block.len() {
            (self.block, self.at) = (self.run.block(self.next_block)?, 0);
            self.next_block += 1;
        }
        Ok(())
    }
}

/// A run that is being written, in the order of (hash, key).
#[derive(Debug)]
pub(super) struct Writer {
    /// Of the file; the rest is known at the end.
    name: RunName,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
    numbers: bool,
    on_expire: OnExpire,
    filter: Filter,
    index: Vec<Block>,
    timers: Vec<u8>,
    block: Vec<u8>,
    first: u32,
    offset: u64,
    synced: u64,
    entries: usize,
    latest: i64,
}

impl Writer {
    /// A run of at most so many entries.
    pub(super) fn new(
        (file, path, name): (File, PathBuf, RunName),
        hasher: Hasher,
        numbers: bool,
        on_expire: OnExpire,
        most: usize,
    ) -> Self {
        Self {
            name,
            path,
            file: BufWriter::with_capacity(256 << 10, file),
            hasher,
            numbers,
            on_expire,
            filter: Filter::for_keys(most),
            index: Vec::new(),
            timers: Vec::new(),
            block: Vec::with_capacity(2 * BLOCK_BYTES),
            first: 0,
            offset: 0,
            synced: 0,
            entries: 0,
            latest: i64::MIN,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn push(&mut self, entry: Entry<'_>) -> Result<(), StateError> {
        let hash = self.hasher.key(entry.key);
        if self.block.is_empty() {
            self.first = hash.low();
        }
        if self.numbers {
            self.block.extend_from_slice(entry.key);
            self.block.extend_from_slice(&entry.expiry.to_le_bytes());
        } else {
            entry.write(&mut self.block);
        }
        self.filter.insert(hash);
        self.entries += 1;
        self.latest = self.latest.max(entry.expiry);
        if self.on_expire == OnExpire::Call && expires(entry.expiry) {
            self.timers.extend_from_slice(&entry.expiry.to_le_bytes());
            self.timers.extend_from_slice(&hash.0.to_le_bytes());
        }
        if self.block.len() < BLOCK_BYTES {
            return Ok(());
        }
        self.end_block().map_err(|error| failed(&self.path, &error))
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let checksum = XxHash3_64::oneshot(&self.block);
        self.index.push(Block { offset: self.offset, checksum, first: self.first });
        self.file.write_all(&self.block)?;
        self.offset += self.block.len() as u64;
        self.block.clear();
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Ends the run, durably but for its name in the folder. None: it has no entries.
    pub(super) fn end(mut self) -> Result<Option<Run>, StateError> {
        let timers_at = self.end_block().and_then(|()| self.write_tail());
        let timers_at = timers_at.map_err(|error| failed(&self.path, &error))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.and_then(|file| file.sync_data().map(|()| file)).map_err(|error| failed(&self.path, &error))?;
        let timers = (self.on_expire == OnExpire::Call).then_some((timers_at, self.timers.len() / TIMER_BYTES));
        let run = Run {
            name: self.name,
            path: self.path,
            file,
            index: self.index,
            filter: self.filter,
            timers,
            entries: self.entries,
            latest: self.latest,
            numbers: self.numbers,
        };
        Ok((run.entries > 0).then_some(run))
    }

    /// Piece by piece: a whole tail in memory would be another filter. Gives the place of the timers.
    fn write_tail(&mut self) -> io::Result<u64> {
        let (mut checksum, mut bytes) = (XxHash3_64::new(), 0);
        let mut write = |part: &[u8]| {
            checksum.write(part);
            bytes += part.len() as u64;
            self.file.write_all(part)
        };
        for block in &self.index {
            write(&block.offset.to_le_bytes())?;
            write(&block.checksum.to_le_bytes())?;
            write(&block.first.to_le_bytes())?;
        }
        let (filter, blocks) = (self.filter.blocks(), self.index.len());
        let filter_bytes = filter.len() * filter::BLOCK_BYTES;
        for block in filter {
            write(&block)?;
        }
        write(&self.timers)?;
        let timed = if self.on_expire == OnExpire::Call { WITH_TIMERS } else { 0 };
        let kind = timed + if self.numbers { NUMBERS } else { 0 };
        let timers = (self.timers.len() / TIMER_BYTES) as u64;
        for part in [self.entries as u64, blocks as u64, filter_bytes as u64, timers, kind, self.hasher.seed()] {
            write(&part.to_le_bytes())?;
        }
        write(&self.latest.to_le_bytes())?;
        let end = self.offset + bytes;
        self.name = RunName { bytes: end, tail: self.offset, checksum: checksum.finish(), ..self.name };
        Ok(end - (FOOTER_BYTES + self.timers.len()) as u64)
    }
}

fn expires(expiry: i64) -> bool {
    expiry != i64::MAX && expiry != TOMBSTONE
}

pub(super) fn failed(path: &Path, error: &io::Error) -> StateError {
    StateError::Disk { path: path.display().to_string(), what: error.to_string() }
}

fn damaged(path: &Path) -> StateError {
    StateError::Disk { path: path.display().to_string(), what: "it is not what was written".to_owned() }
}
