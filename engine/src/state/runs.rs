//! The runs of a table: for each shard those that were written, the older first. Of entries with one key the one in the
//! newest run counts, and memory's before all.
//!
//! Runs of a shard are merged when the newer ones together have grown larger than the one before them: so there are few to
//! look into, each entry is written again a number of times that grows with the logarithm of the state alone, and what was
//! overwritten takes no more room than what was not.
//!
//! A merge goes on by a part at each epoch's end, whatever the size of the state: a lane never waits for all of it. Until it
//! is through, the runs that it reads are the table's; of one that a crash cuts short nothing remains but a file that nobody
//! names.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::hash::{Hash, Hasher, SHARDS};
pub(super) use super::run::Owned;
use super::run::{Cursor, RESIDENT_BYTES, Run, RunName, Writer};
use super::texts::{Entry, InOrder};
use super::{OnExpire, StateError, TOMBSTONE, live};

/// The runs of a table.
#[derive(Debug)]
pub(super) struct Runs {
    shards: Vec<Vec<Arc<Run>>>,
    /// As the journal names them, until they are opened.
    named: Vec<Vec<RunName>>,
    /// There are any.
    any: bool,
    merging: Option<Merging>,
}

/// Runs of a shard on their way to be one.
#[derive(Debug)]
struct Merging {
    shard: usize,
    /// They are the ones from here, so many.
    from: usize,
    count: usize,
    merged: Merged<'static>,
    draft: Draft,
}

impl Default for Runs {
    fn default() -> Self {
        let (shards, named) = ((0..SHARDS).map(|_| Vec::new()).collect(), vec![Vec::new(); SHARDS]);
        Self { shards, named, any: false, merging: None }
    }
}

impl Runs {
    /// Whether there are none.
    #[inline]
    pub(super) fn are_none(&self) -> bool {
        !self.any
    }

    /// Notes what a record says of a shard.
    pub(super) fn name(&mut self, shard: usize, names: Vec<RunName>) {
        if let Some(named) = self.named.get_mut(shard) {
            *named = names;
        }
        self.any = self.named.iter().any(|names| !names.is_empty());
    }

    /// All runs, those that are not open as well.
    pub(super) fn names(&self) -> impl Iterator<Item = RunName> {
        let open = self.shards.iter().flatten().map(|run| run.name);
        open.chain(self.named.iter().flatten().copied())
    }

    /// Opens what was named.
    pub(super) fn open(&mut self, disk: &Disk, hasher: Hasher) -> Result<(), StateError> {
        for (runs, names) in self.shards.iter_mut().zip(&mut self.named) {
            let names = std::mem::take(names);
            let open = |name| Run::open(disk.folder(), name, hasher).map(Arc::new);
            *runs = names.into_iter().map(open).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.shards.iter().flatten().map(|run| run.entries).sum()
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.shards.iter().flatten().map(|run| run.name.bytes).sum()
    }

    /// Bytes of memory, as the quota counts them.
    pub(super) fn resident_bytes(&self) -> usize {
        let merging = self.merging.as_ref().map_or(0, |merging| merging.draft.most);
        (self.entries() + merging) * RESIDENT_BYTES
    }

    /// Whether a run may have this key. One that is not open may have any.
    #[inline]
    pub(super) fn may_have(&self, hash: Hash) -> bool {
        let at = hash.shard();
        self.any && (!self.named[at].is_empty() || self.shards[at].iter().any(|run| run.may_have(hash)))
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        self.shards[hash.shard()].iter().for_each(|run| run.prefetch(hash));
    }

    /// The entry of a key, unless it is gone.
    #[inline]
    pub(super) fn get(&self, hash: Hash, key: &[u8]) -> Result<Option<Owned>, StateError> {
        for run in self.shards[hash.shard()].iter().rev() {
            if let Some(found) = run.get(hash, key)? {
                return Ok(Some(found).filter(|(_, expiry)| *expiry != TOMBSTONE));
            }
        }
        Ok(None)
    }

    /// The entries of a hash: key, value, expiry of each. What is gone is among them.
    pub(super) fn of_hash(&self, hasher: Hasher, hash: Hash) -> Result<Vec<(Vec<u8>, Owned)>, StateError> {
        let mut found: Vec<(Vec<u8>, Owned)> = Vec::new();
        for run in self.shards[hash.shard()].iter().rev().filter(|run| run.may_have(hash)) {
            run.near(hash, |entry| {
                if hasher.key(entry.key) == hash && found.iter().all(|(key, _)| key != entry.key) {
                    found.push((entry.key.to_vec(), (entry.value.to_vec(), entry.expiry)));
                }
                true
            })?;
        }
        Ok(found)
    }

    /// Expiry and hash of each entry of a table that calls.
    pub(super) fn timers(&self, hasher: Hasher) -> Result<Vec<(i64, Hash)>, StateError> {
        let mut timers = Vec::new();
        for run in self.shards.iter().flatten() {
            timers.extend(run.timers(hasher)?);
        }
        Ok(timers)
    }

    pub(super) fn is_empty(&self, shard: usize) -> bool {
        self.shards[shard].is_empty()
    }

    /// The shard's runs, as the journal names them.
    pub(super) fn of_shard(&self, shard: usize) -> Vec<RunName> {
        self.shards[shard].iter().map(|run| run.name).collect()
    }

    /// The shard's runs, the newest first.
    pub(super) fn streams(&self, shard: usize) -> Result<Vec<Stream<'_>>, StateError> {
        streams(&self.shards[shard])
    }
}

/// Of these runs, the newest first.
fn streams<'a>(runs: &[Arc<Run>]) -> Result<Vec<Stream<'a>>, StateError> {
    runs.iter().rev().map(|run| Cursor::new(run.clone()).map(Stream::Run)).collect()
}

/// How runs are written.
pub(super) struct Writing<'a> {
    pub(super) disk: &'a mut Disk,
    pub(super) hasher: Hasher,
    pub(super) on_expire: OnExpire,
    /// What has expired before this is not there any more.
    pub(super) watermark_ms: Option<i64>,
    /// Files that nobody names any more once the journal has what was written.
    pub(super) replaced: &'a mut Vec<PathBuf>,
}

impl Runs {
    /// Writes entries of a shard as its newest run, but for those that stay in memory.
    pub(super) fn spill(
        &mut self,
        shard: usize,
        entries: Vec<Stream<'_>>,
        stays: impl Fn(i64) -> bool,
        writing: &mut Writing<'_>,
    ) -> Result<(), StateError> {
        if entries.is_empty() {
            return Ok(());
        }
        let numbers = entries.iter().all(|stream| matches!(stream, Stream::Numbers(_)));
        let most = entries.iter().map(Stream::most).sum();
        let mut draft = writing.draft(numbers, most, self.is_empty(shard))?;
        let mut merged = Merged::new(entries, writing.hasher)?;
        let watermark_ms = writing.watermark_ms;
        while merged.next(|entry| if stays(entry.expiry) { Ok(()) } else { draft.push(entry, watermark_ms) })? {}
        self.shards[shard].extend(draft.end(writing)?);
        self.any |= !self.shards[shard].is_empty();
        Ok(())
    }

    /// Goes on with the merge under way, or begins one where that is worth while, for so many bytes; takes off what it did.
    /// Gives the shard whose runs are others now. None: nothing is to be merged, or no bytes are left.
    pub(super) fn merge(&mut self, bytes: &mut usize, writing: &mut Writing<'_>) -> Result<Option<usize>, StateError> {
        if self.merging.is_none() {
            self.merging = self.worth_merging().map(|(shard, from)| self.begin(shard, from, writing)).transpose()?;
        }
        let Some(merging) = &mut self.merging else { return Ok(None) };
        while *bytes > 0 {
            let more = merging.merged.next(|entry| {
                *bytes = bytes.saturating_sub(entry.bytes());
                merging.draft.push(entry, writing.watermark_ms)
            })?;
            if !more {
                return self.end(writing);
            }
        }
        Ok(None)
    }

    /// A shard whose newest runs are to be merged, and from which one on: that of the most runs.
    fn worth_merging(&self) -> Option<(usize, usize)> {
        let from = |runs: &[Arc<Run>]| {
            let bytes = |from: usize| runs.iter().skip(from).map(|run| run.name.bytes).sum::<u64>();
            (0..runs.len()).find(|at| runs[*at].name.bytes < bytes(at + 1))
        };
        let shards = self.shards.iter().enumerate().filter_map(|(shard, runs)| Some((shard, from(runs)?)));
        shards.max_by_key(|(shard, _)| self.shards[*shard].len())
    }

    fn begin(&self, shard: usize, from: usize, writing: &mut Writing<'_>) -> Result<Merging, StateError> {
        let runs = &self.shards[shard][from..];
        let (most, numbers) = (runs.iter().map(|run| run.entries).sum(), runs.iter().all(|run| run.numbers));
        let merged = Merged::new(streams(runs)?, writing.hasher)?;
        Ok(Merging { shard, from, count: runs.len(), merged, draft: writing.draft(numbers, most, from == 0)? })
    }

    /// Puts what was merged in the place of what it was merged of.
    fn end(&mut self, writing: &mut Writing<'_>) -> Result<Option<usize>, StateError> {
        let Some(Merging { shard, from, count, draft, .. }) = self.merging.take() else { return Ok(None) };
        let merged = draft.end(writing)?;
        let before = self.shards[shard].splice(from..from + count, merged);
        writing.replaced.extend(before.map(|run| run.path().to_owned()));
        Ok(Some(shard))
    }

    /// Merges all runs of a shard into one, at once.
    pub(super) fn merge_all(&mut self, shard: usize, writing: &mut Writing<'_>) -> Result<(), StateError> {
        writing.replaced.extend(self.merging.take().map(|merging| merging.draft.writer.path().to_owned()));
        self.merging = Some(self.begin(shard, 0, writing)?);
        let mut bytes = usize::MAX;
        self.merge(&mut bytes, writing).map(drop)
    }

    /// Drops the shard's oldest runs in which all has expired, unless they are being merged.
    pub(super) fn drop_expired(&mut self, shard: usize, writing: &mut Writing<'_>) {
        if self.merging.as_ref().is_some_and(|merging| merging.shard == shard) {
            return;
        }
        let runs = &mut self.shards[shard];
        let gone = runs.iter().take_while(|run| !live(run.latest, writing.watermark_ms)).count();
        writing.replaced.extend(runs.drain(..gone).map(|run| run.path().to_owned()));
    }
}

/// A run in the making.
#[derive(Debug)]
struct Draft {
    writer: Writer,
    /// More entries it can't have.
    most: usize,
    /// There is no run before it: what is gone leaves nothing.
    oldest: bool,
}

impl Writing<'_> {
    fn draft(&mut self, numbers: bool, most: usize, oldest: bool) -> Result<Draft, StateError> {
        let writer = Writer::new(self.disk.create()?, self.hasher, numbers, self.on_expire, most);
        Ok(Draft { writer, most, oldest })
    }
}

impl Draft {
    fn push(&mut self, entry: Entry<'_>, watermark_ms: Option<i64>) -> Result<(), StateError> {
        let gone = entry.expiry == TOMBSTONE || !live(entry.expiry, watermark_ms);
        if gone && self.oldest {
            return Ok(());
        }
        // What is gone hides what is older, and that is all.
        self.writer.push(if gone { Entry { value: &[], expiry: TOMBSTONE, ..entry } } else { entry })
    }

    /// None: nothing is left.
    fn end(self, writing: &mut Writing<'_>) -> Result<Option<Arc<Run>>, StateError> {
        let path = self.writer.path().to_owned();
        let run = self.writer.end()?;
        if run.is_none() {
            writing.replaced.push(path);
        }
        Ok(run.map(Arc::new))
    }
}

/// Entries in the order of (hash, key).
pub(super) enum Stream<'a> {
    Numbers(std::vec::IntoIter<([u8; 8], i64)>),
    Texts(InOrder<'a>),
    Run(Cursor),
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Stream<'_> {
    /// Entries that it has at most.
    fn most(&self) -> usize {
        match self {
            Self::Numbers(entries) => entries.len(),
            Self::Texts(entries) => entries.len(),
            Self::Run(cursor) => cursor.most(),
        }
    }

    fn head(&self) -> Result<Option<Entry<'_>>, StateError> {
        match self {
            Self::Numbers(entries) => {
                Ok(entries.as_slice().first().map(|(key, expiry)| Entry { key, value: &[], expiry: *expiry }))
            }
            Self::Texts(entries) => Ok(entries.head()),
            Self::Run(cursor) => cursor.head(),
        }
    }

    fn advance(&mut self) -> Result<(), StateError> {
        match self {
            Self::Numbers(entries) => {
                entries.next();
            }
            Self::Texts(entries) => entries.advance(),
            Self::Run(cursor) => cursor.advance()?,
        }
        Ok(())
    }
}

/// Streams as one: each key once, in order, as the first stream that has it says.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    streams: Vec<Stream<'a>>,
    hasher: Hasher,
    /// Of each stream's head, the half of its hash that it is ordered by.
    order: Vec<Option<u32>>,
    /// Streams whose heads have the key.
    same: Vec<usize>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(streams: Vec<Stream<'a>>, hasher: Hasher) -> Result<Self, StateError> {
        let mut order = Vec::with_capacity(streams.len());
        for stream in &streams {
            order.push(stream.head()?.map(|entry| hasher.key(entry.key).low()));
        }
        Ok(Self { streams, hasher, order, same: Vec::new() })
    }

    /// Gives the next entry; whether there is one.
    pub(super) fn next(&mut self, each: impl FnOnce(Entry<'_>) -> Result<(), StateError>) -> Result<bool, StateError> {
        let Some(low) = self.order.iter().flatten().min().copied() else { return Ok(false) };
        self.same.clear();
        let mut least: Option<Entry<'_>> = None;
        for (index, _) in self.order.iter().enumerate().filter(|(_, of)| **of == Some(low)) {
            let Some(entry) = self.streams[index].head()? else { continue };
            match least.map(|least| entry.key.cmp(least.key)) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => self.same.push(index),
                Some(std::cmp::Ordering::Less) | None => {
                    self.same.clear();
                    self.same.push(index);
                    least = Some(entry);
                }
            }
        }
        least.map_or(Ok(()), each)?;
        for &index in &self.same {
            self.streams[index].advance()?;
            self.order[index] = self.streams[index].head()?.map(|entry| self.hasher.key(entry.key).low());
        }
        Ok(true)
    }
}
