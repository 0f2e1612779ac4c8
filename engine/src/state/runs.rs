//! The runs of a table: for each shard those that were written, the older first. Of entries with one key the one in the
//! newest run counts, and memory's before all.
//!
//! Runs of a shard are merged when the newer ones together have grown larger than the one before them: so there are few to
//! look into, each entry is written again a number of times that grows with the logarithm of the state alone, and what was
//! overwritten takes no more room than what was not. A shard is a sixteenth of a table: no merge takes long.

use std::path::PathBuf;

use super::disk::Disk;
use super::hash::{Hash, Hasher, SHARDS};
pub(super) use super::run::Owned;
use super::run::{Cursor, RESIDENT_BYTES, Run, RunName, Writer, failed};
use super::texts::Entry;
use super::{OnExpire, StateError, TOMBSTONE, live};

/// The runs of a table.
#[derive(Debug)]
pub(super) struct Runs {
    shards: Vec<Vec<Run>>,
    /// As the journal names them, until they are opened.
    named: Vec<Vec<RunName>>,
    /// There are any.
    any: bool,
}

impl Default for Runs {
    fn default() -> Self {
        let (shards, named) = ((0..SHARDS).map(|_| Vec::new()).collect(), vec![Vec::new(); SHARDS]);
        Self { shards, named, any: false }
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
            *runs = names.into_iter().map(|name| Run::open(disk.folder(), name, hasher)).collect::<Result<_, _>>()?;
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
        self.entries() * RESIDENT_BYTES
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
        self.shards[shard].iter().rev().map(|run| Cursor::new(run).map(Stream::Run)).collect()
    }
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
    /// Writes entries of a shard, in the order of (hash, key), as its newest run.
    pub(super) fn spill(
        &mut self,
        shard: usize,
        entries: Vec<MemoryEntry<'_>>,
        numbers: bool,
        writing: &mut Writing<'_>,
    ) -> Result<(), StateError> {
        let most = entries.len();
        let run = writing.write(vec![Stream::Memory(entries.into_iter())], numbers, most, self.is_empty(shard))?;
        self.shards[shard].extend(run);
        self.any |= !self.shards[shard].is_empty();
        self.merge(shard, writing)
    }

    /// Merges the shard's newest runs where that is worth while.
    fn merge(&mut self, shard: usize, writing: &mut Writing<'_>) -> Result<(), StateError> {
        let runs = &self.shards[shard];
        let bytes = |from: usize| runs.iter().skip(from).map(|run| run.name.bytes).sum::<u64>();
        let from = (0..runs.len()).find(|at| runs[*at].name.bytes < bytes(at + 1));
        from.map_or(Ok(()), |from| self.merge_from(shard, from, writing))
    }

    /// Merges a shard's runs from this one on into one.
    pub(super) fn merge_from(
        &mut self,
        shard: usize,
        from: usize,
        writing: &mut Writing<'_>,
    ) -> Result<(), StateError> {
        let runs = &self.shards[shard][from..];
        let (most, numbers) = (runs.iter().map(|run| run.entries).sum(), runs.iter().all(|run| run.numbers));
        let streams = runs.iter().rev().map(|run| Cursor::new(run).map(Stream::Run)).collect::<Result<_, _>>()?;
        let merged = writing.write(streams, numbers, most, from == 0)?;
        writing.replaced.extend(self.shards[shard].drain(from..).map(|run| run.path().to_owned()));
        self.shards[shard].extend(merged);
        Ok(())
    }

    /// Drops the shard's oldest runs in which all has expired.
    pub(super) fn drop_expired(&mut self, shard: usize, writing: &mut Writing<'_>) {
        let runs = &mut self.shards[shard];
        let gone = runs.iter().take_while(|run| !live(run.latest, writing.watermark_ms)).count();
        writing.replaced.extend(runs.drain(..gone).map(|run| run.path().to_owned()));
    }
}

impl Writing<'_> {
    /// Writes what streams have, the newest first, as one run. `oldest`: there is none before it, so that what is gone leaves
    /// nothing. None: nothing is left.
    fn write(
        &mut self,
        streams: Vec<Stream<'_>>,
        numbers: bool,
        most: usize,
        oldest: bool,
    ) -> Result<Option<Run>, StateError> {
        let (file, name) = self.disk.create()?;
        let path = name.path(self.disk.folder());
        let mut writer = Writer::new(file, self.hasher, numbers, self.on_expire, most);
        let mut write = |entry: Entry<'_>| {
            let gone = entry.expiry == TOMBSTONE || !live(entry.expiry, self.watermark_ms);
            if gone && oldest {
                return Ok(());
            }
            // What is gone hides what is older, and that is all.
            let entry = if gone { Entry { value: &[], expiry: TOMBSTONE, ..entry } } else { entry };
            writer.push(entry).map_err(|error| failed(&path, &error))
        };
        merge(streams, self.hasher, &mut write)?;
        let Some(name) = writer.end(name.owner, name.number).map_err(|error| failed(&path, &error))? else {
            self.replaced.push(path);
            return Ok(None);
        };
        Run::open(self.disk.folder(), name, self.hasher).map(Some)
    }
}

/// An entry in memory, with the half of its hash that it is ordered by.
pub(super) type MemoryEntry<'a> = (u32, super::Key<'a>, &'a [u8], i64);

/// Entries in the order of (hash, key).
pub(super) enum Stream<'a> {
    Memory(std::vec::IntoIter<MemoryEntry<'a>>),
    Run(Cursor<'a>),
}

impl Stream<'_> {
    fn head(&self) -> Result<Option<Entry<'_>>, StateError> {
        match self {
            Self::Memory(entries) => Ok(entries.as_slice().first().map(|(_, key, value, expiry)| Entry {
                key: key.as_ref(),
                value,
                expiry: *expiry,
            })),
            Self::Run(cursor) => cursor.head(),
        }
    }

    fn advance(&mut self) -> Result<(), StateError> {
        match self {
            Self::Memory(entries) => {
                entries.next();
                Ok(())
            }
            Self::Run(cursor) => cursor.advance(),
        }
    }
}

/// Gives each key once, in order, as the first stream that has it says.
pub(super) fn merge(
    mut streams: Vec<Stream<'_>>,
    hasher: Hasher,
    each: &mut dyn FnMut(Entry<'_>) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut order: Vec<Option<u32>> = Vec::with_capacity(streams.len());
    for stream in &streams {
        order.push(stream.head()?.map(|entry| hasher.key(entry.key).low()));
    }
    let mut same = Vec::new();
    while let Some(low) = order.iter().flatten().min().copied() {
        same.clear();
        let mut least: Option<(usize, Entry<'_>)> = None;
        for (index, _) in order.iter().enumerate().filter(|(_, of)| **of == Some(low)) {
            let Some(entry) = streams[index].head()? else { continue };
            match least.map(|(_, least)| entry.key.cmp(least.key)) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => same.push(index),
                Some(std::cmp::Ordering::Less) | None => {
                    same.clear();
                    same.push(index);
                    least = Some((index, entry));
                }
            }
        }
        if let Some((_, entry)) = least {
            each(entry)?;
        }
        for &index in &same {
            streams[index].advance()?;
            order[index] = streams[index].head()?.map(|entry| hasher.key(entry.key).low());
        }
    }
    Ok(())
}
