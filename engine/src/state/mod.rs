//! Keyed state: what a plugin remembers of a lane from epoch to epoch.
//!
//! **Promise.** Answers depend on the changes of earlier epochs, those of this epoch's kept calls, and the epoch's
//! watermark, and on nothing else: not on memory, on what lies on the disk, on when entries were cleaned up or on how often
//! the lane was restarted. An entry whose expiry the watermark has reached is not there. What is kept stays below the
//! quotas: of memory, where what it has no room for goes to the disk when an epoch is sealed, and of the disk.
//! **Assumed.** One epoch at a time: [`State::begin`], calls (each kept or undone), [`State::seal`]. What `seal` gives is
//! written with the epoch's commit, in order; a lane that fails drops the state and reads it again from the journal.
//! **After a crash** [`State::restore`] folds what the journal has: the same entries as after the last commit. Epochs that
//! were decided are made again on top of it.
//!
//! | | tables that drop | tables that call |
//! |---|---|---|
//! | an expired entry is | no longer there; its memory is given back later, which never shows | handed out by the next [`State::begin`], which takes it out |
//! | written with an expiry that the watermark has reached | as if it was deleted | not there for this epoch's reads; handed out by the next epoch |

mod cells;
mod disk;
mod due;
mod filter;
mod hash;
mod huge;
mod numbers;
mod record;
mod requests;
mod run;
mod runs;
mod table;
mod texts;
mod timers;
mod touched;
mod undo;

use std::path::PathBuf;

use twox_hash::XxHash3_128;

use hash::{Hasher, SHARDS};
use record::{Changes, Kind, Operation};
use run::RunName;
use runs::Writing;
use table::Table;
use texts::Entry;
use undo::Undo;

pub use cells::{Cells, CellsError};
pub use disk::Disk;
pub use due::Due;
pub use requests::Found;
use table::Key;
pub use touched::Touched;

/// A table of entries, as the plugin describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTable {
    /// Its name, unique in the plugin. Entries belong to the name: a new version of the plugin may order its tables
    /// otherwise, and what it does not describe any more is forgotten.
    pub name: String,
    /// What becomes of entries that expire.
    pub on_expire: OnExpire,
}

/// What becomes of an entry when the watermark has reached its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpire {
    /// It is gone.
    Drop,
    /// It is given to the plugin.
    Call,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Nonsense from the guest.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// The answer is larger than it may be.
    #[error("the values asked for at once take more than {limit_bytes} bytes")]
    Answer {
        /// The limit.
        limit_bytes: usize,
    },
    /// The plugin keeps more than it may.
    #[error(
        "the plugin's state would take {bytes} bytes, at most {limit_bytes} are allowed: raise `state_mib` in `[limits]` of \
         its plugin.toml, or let it keep less or for a shorter time"
    )]
    Quota {
        /// What it would take.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The plugin keeps more than it may, on the disk.
    #[error(
        "the plugin's state would take {bytes} bytes on the disk, at most {limit_bytes} are allowed: raise `state_disk_mib` \
         in `[limits]` of its plugin.toml, or let it keep less or for a shorter time"
    )]
    DiskQuota {
        /// What it would take.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// What memory had no room for can't be written or read.
    #[error(
        "{path}, where the plugin's state lies that memory has no room for, can't be used: {what}. Where it is damaged, restore \
         the whole data folder from a backup, or give the state up: engine recover"
    )]
    Disk {
        /// The file or folder.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A record of the journal is damaged.
    #[error("a record of state can't be read: {0}")]
    Damaged(&'static str),
}

/// An epoch's end.
#[derive(Debug, Default)]
pub struct Seal {
    /// What it changed.
    pub changes: Sealed,
    /// Digest of the changes. That of an epoch that is made again is the same, whatever lies where.
    pub digest: u128,
    /// Files that nothing names any more once the changes are committed, and not before.
    pub replaced: Vec<PathBuf>,
}

/// What an epoch changed, for the journal. The records are little-endian and begin with their format's version; see
/// `record.rs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealed {
    /// Nothing.
    #[default]
    Unchanged,
    /// These changes, to be folded over all that was written before.
    Changes(Vec<u8>),
    /// Everything, in place of all that was written before.
    Snapshot(Vec<u8>),
}

/// How much there is of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Entries. Expired ones of a table that drops may still be among them.
    pub entries: usize,
    /// Bytes of those in memory, as the quota counts them.
    pub bytes: usize,
    /// Bytes of memory that they take, with what is kept for the next ones.
    pub memory_bytes: usize,
    /// Bytes of files.
    pub disk_bytes: u64,
}

/// Entries are handed out at most so many at a time, where it is not said otherwise.
pub const DUE_ROWS: usize = 8_192;
/// Most keys of a request.
pub const MOST_KEYS: usize = 1 << 20;
/// The expiry of an entry in memory that says that there is none, whatever lies on the disk. No entry has it.
const TOMBSTONE: i64 = i64::MIN + 1;

/// The state of one lane, as the next call sees it. The default has no tables.
#[derive(Debug, Default)]
pub struct State {
    described: Vec<StateTable>,
    tables: Vec<Table>,
    hasher: Hasher,
    quota_bytes: usize,
    pace: Pace,
    watermark_ms: Option<i64>,
    /// The epoch's so far.
    changes: Changes,
    /// Of the call under way.
    undo: Undo,
    /// Where the changes of the call under way begin.
    call_began: usize,
    /// What the journal holds since the last snapshot, and with it.
    written_bytes: usize,
    /// Where entries go that memory has no room for.
    disk: Option<Disk>,
    /// All that was in memory is on its way to the disk, some of it at each epoch's end.
    leaving: Option<Leaving>,
    /// Runs of tables that are not described now: the plugin before may come back.
    others: Vec<RunName>,
}

/// When something is done about what was written.
#[derive(Debug)]
struct Pace {
    /// Memory beyond which entries go to the disk, if there is one: some is left for the epoch after.
    memory_bytes: usize,
    /// Changes since the last snapshot that are not worth a new one yet.
    log_bytes: usize,
    /// Bytes of runs that are merged at an epoch's end at most …
    merge_bytes: usize,
    /// … or so many times what the epoch changed: an entry is merged fewer times on its way.
    merge_times: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { memory_bytes: 0, log_bytes: 64 << 20, merge_bytes: 16 << 20, merge_times: 8 }
    }
}

/// Shards that are still to go to the disk before a snapshot is taken, by their tables: what it has of memory then is what was
/// written meanwhile.
#[derive(Debug)]
struct Leaving {
    shards: Vec<(usize, usize)>,
    /// What goes at an epoch's end.
    bytes: usize,
}

impl State {
    /// No entries. `quota_bytes` bounds the memory of them: keys, values and what the engine keeps beside them: 16 bytes for a key of 8 bytes
    /// without value in a table that drops; 32 for any other; 48 in a table that calls.
    #[must_use]
    pub fn new(tables: Vec<StateTable>, quota_bytes: usize) -> Self {
        let hasher = Hasher::default();
        Self {
            tables: tables.iter().map(|table| Table::new(table.on_expire, hasher)).collect(),
            hasher,
            changes: Changes::new(Kind::Changes, &tables),
            described: tables,
            quota_bytes,
            pace: Pace { memory_bytes: quota_bytes - quota_bytes / 8, ..Pace::default() },
            ..Self::default()
        }
    }

    /// No entries, and the tables that there were when a record was written: to look at what a journal has, without the
    /// plugin that wrote it.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn of(record: &[u8]) -> Result<Self, StateError> {
        Ok(Self::new(record::tables(record)?, usize::MAX))
    }

    /// Has entries go to the disk, as soon as they take more memory than the quota. Said before anything is restored or
    /// written: the disk says by which hash entries are ordered.
    pub fn keep_on(&mut self, disk: Disk) {
        let hasher = Hasher::of_seed(disk.seed());
        self.tables = self.described.iter().map(|table| Table::new(table.on_expire, hasher)).collect();
        self.hasher = hasher;
        self.disk = Some(disk);
    }

    /// The tables, as they are described.
    #[must_use]
    pub fn tables(&self) -> &[StateTable] {
        &self.described
    }

    /// How much there is of a table.
    ///
    /// # Errors
    /// There is no such table.
    pub fn size(&self, table: usize) -> Result<TableSize, StateError> {
        let table = self.table(table)?;
        Ok(TableSize {
            entries: table.len(),
            bytes: table.bytes(),
            memory_bytes: table.memory(),
            disk_bytes: table.disk_bytes(),
        })
    }

    /// Gives each entry of a table that is there: key, value, expiry (`i64::MAX`: never). In no order.
    ///
    /// # Errors
    /// There is no such table, or the disk fails.
    pub fn each_entry(&self, table: usize, mut each: impl FnMut(&[u8], &[u8], i64)) -> Result<(), StateError> {
        self.table(table)?.each(|key, value, expiry| {
            if live(expiry, self.watermark_ms) {
                each(key, value, expiry);
            }
        })
    }

    /// Folds a record of the journal over what there is. Behind the last one, [`Self::open_disk`].
    ///
    /// # Errors
    /// It is damaged. The state is of no use then.
    pub fn restore(&mut self, record: &[u8]) -> Result<(), StateError> {
        let (kind, operations) = record::read(record, &self.described)?;
        if kind == Kind::Snapshot {
            self.clear(record)?;
        }
        self.written_bytes += record.len();
        for operation in operations {
            self.fold(operation?)?;
        }
        self.tables.iter_mut().try_for_each(Table::settle)
    }

    /// Opens what the records name on the disk.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn open_disk(&mut self) -> Result<(), StateError> {
        match &self.disk {
            Some(disk) => self.tables.iter_mut().try_for_each(|table| table.open_runs(disk)),
            None if self.tables.iter().all(|table| table.run_names().next().is_none()) => Ok(()),
            None => Err(StateError::Damaged("a part of the state lies on the disk, and it is not said where")),
        }
    }

    /// Removes what the records do not name from the disk: what a crash left there. For the lane's owner alone.
    ///
    /// # Errors
    /// The disk fails.
    pub fn clean_disk(&self) -> Result<(), StateError> {
        let own = self.tables.iter().flat_map(Table::run_names);
        let named: Vec<RunName> = own.chain(self.others.iter().copied()).collect();
        self.disk.as_ref().map_or(Ok(()), |disk| disk.keep_only(&named))
    }

    /// Makes room for a snapshot: to grow into it would move each entry two or three times.
    fn clear(&mut self, snapshot: &[u8]) -> Result<(), StateError> {
        self.written_bytes = 0;
        self.others.clear();
        self.leaving = None;
        self.tables.iter_mut().for_each(Table::clear);
        let mut room = vec![(0, 0); self.tables.len()];
        for operation in record::read(snapshot, &self.described)?.1 {
            if let Operation::Put { table: Some(table), count, keys, values, .. } = operation?
                && let Some((numbers, texts)) = room.get_mut(table)
            {
                let of = if keys.width() == Some(8) && values.width() == Some(0) { numbers } else { texts };
                *of += count;
            }
        }
        self.tables.iter_mut().zip(room).for_each(|(table, (numbers, texts))| table.reserve(numbers, texts));
        Ok(())
    }

    fn fold(&mut self, operation: Operation<'_>) -> Result<(), StateError> {
        match operation {
            Operation::Put { table, count, keys, expiries, values } => {
                let (keys, values) = (keys.checked(count)?, values.checked(count)?);
                let Some(table) = table.and_then(|index| self.tables.get_mut(index)) else { return Ok(()) };
                let hashes = self.hasher.all(keys);
                for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
                    table.prefetch(&hashes, index);
                    let entry = Entry { key, value: values.get(index), expiry: expiry(&expiries, index) };
                    table.put(*hash, entry, None);
                }
            }
            Operation::Delete { table, count, keys } => {
                let keys = keys.checked(count)?;
                let Some(table) = table.and_then(|index| self.tables.get_mut(index)) else { return Ok(()) };
                keys.iter().for_each(|key| table.remove(self.hasher.key(key), key));
            }
            Operation::Expire { table, watermark_ms } => {
                let Some(table) = table.and_then(|index| self.tables.get_mut(index)) else { return Ok(()) };
                table.take_due(watermark_ms, |_, _, _| {})?;
            }
            Operation::Runs { table, shard, runs, all } => match table.and_then(|index| self.tables.get_mut(index)) {
                Some(table) => table.name_runs(shard, runs, all),
                None => self.others.extend(runs),
            },
        }
        Ok(())
    }

    /// Begins an epoch: entries whose expiry is at or below its watermark are not there any more. Gives back those of
    /// tables that call, at most `rows` in each.
    ///
    /// # Errors
    /// The disk fails.
    pub fn begin(&mut self, watermark_ms: Option<i64>, rows: usize) -> Result<Vec<Due>, StateError> {
        self.watermark_ms = self.watermark_ms.max(watermark_ms);
        let mut batches = Vec::new();
        let Some(watermark) = self.watermark_ms else { return Ok(batches) };
        for (index, table) in self.tables.iter_mut().enumerate() {
            let before = batches.len();
            table.take_due(watermark, |key, value, expiry| {
                match batches.get_mut(before..).and_then(<[Due]>::last_mut) {
                    Some(batch) if batch.expiries.len() < rows.max(1) && batch.has_room(key, value) => {
                        batch.push(key, value, expiry);
                    }
                    _ => {
                        let mut batch = Due::of(index);
                        batch.push(key, value, expiry);
                        batches.push(batch);
                    }
                }
            })?;
            if batches.len() > before {
                self.changes.expire(table_index(index), watermark);
            }
            table.settle()?;
        }
        Ok(batches)
    }

    /// The earliest expiry of a table that calls: when an epoch without messages is worth while. Asked between epochs:
    /// within one, what calls have written may make it too early.
    #[must_use]
    pub fn next_expiry(&self) -> Option<i64> {
        self.tables.iter().filter_map(Table::next_expiry).min()
    }

    /// Begins a call; the one before it is kept.
    pub fn begin_call(&mut self) {
        self.undo.clear();
        self.call_began = self.changes.len();
    }

    /// The call failed: nothing of it remains.
    pub fn undo_call(&mut self) {
        self.changes.truncate(self.call_began);
        let (tables, hasher, watermark) = (&mut self.tables, self.hasher, self.watermark_ms);
        self.undo.take_back(|table, key, before| {
            let table = tables.get_mut(usize::from(table)).expect("only writes to tables that are there were noted");
            match before {
                Some((_, TOMBSTONE)) => table.bury(hasher.key(key), key),
                Some((value, expiry)) => table.put(hasher.key(key), Entry { key, value, expiry }, watermark),
                None => table.forget(hasher.key(key), key),
            }
        });
    }

    /// Ends the epoch: what it changed, and the digest of that. Where a snapshot is given, or entries go to the disk, the digest
    /// is of the changes all the same, so that an epoch that is made again has the same one.
    ///
    /// # Errors
    /// The disk fails, or is full.
    pub fn seal(&mut self) -> Result<Seal, StateError> {
        self.undo.clear();
        self.tables.iter_mut().try_for_each(Table::settle)?;
        let mut changes = std::mem::replace(&mut self.changes, Changes::new(Kind::Changes, &self.described));
        self.call_began = self.changes.len();
        let mut seal = Seal { digest: XxHash3_128::oneshot(changes.bytes()), ..Seal::default() };
        if changes.is_empty() {
            return Ok(seal);
        }
        let long = |log: usize, least: usize, of: usize| log + changes.len() > least.max(of);
        let (log, least, bytes) = (self.written_bytes, self.pace.log_bytes, self.bytes());
        // Where a part is on the disk already, all goes there: what the journal has to read again is bounded by memory then.
        let snapshot = if self.disk_bytes() == 0 {
            long(log, least, bytes.saturating_mul(2))
        } else {
            if self.leaving.is_none() && long(log, least, bytes) {
                self.leaving = Some(self.all());
            }
            false
        };
        let snapshot = self.move_on(&mut changes, &mut seal.replaced)? || snapshot;
        self.written_bytes += changes.len();
        if !snapshot {
            seal.changes = Sealed::Changes(changes.into_bytes());
            return Ok(seal);
        }
        let snapshot = self.snapshot();
        self.written_bytes = snapshot.len();
        seal.changes = Sealed::Snapshot(snapshot);
        Ok(seal)
    }

    fn all(&self) -> Leaving {
        let shards = (0..self.tables.len()).flat_map(|table| (0..SHARDS).map(move |shard| (table, shard))).collect();
        let bytes = self.tables.iter().map(|table| table.in_memory_bytes()).sum::<usize>() / SHARDS;
        Leaving { shards, bytes }
    }

    /// Moves entries from memory to the disk, and goes on merging there: a part of what there is, so that no epoch waits for
    /// all. Gives back whether all that was in memory when it was to leave is on the disk now.
    fn move_on(&mut self, changes: &mut Changes, replaced: &mut Vec<PathBuf>) -> Result<bool, StateError> {
        if !self.may_spill() {
            return Ok(false);
        }
        let mut leaving = self.leaving.take();
        let mut written = self.spill(leaving.as_mut(), changes, replaced)?;
        let left = leaving.as_ref().is_some_and(|leaving| leaving.shards.is_empty());
        self.leaving = leaving.filter(|_| !left);
        written |= self.merge(changes, replaced)?;
        if written {
            self.check_disk(changes, replaced)?;
        }
        Ok(left)
    }

    /// Moves entries to the disk until memory has no more than it may, a shard at a time, the largest first; then some of those
    /// that are to leave. Whether any were moved.
    fn spill(
        &mut self,
        leaving: Option<&mut Leaving>,
        changes: &mut Changes,
        replaced: &mut Vec<PathBuf>,
    ) -> Result<bool, StateError> {
        let (mut spilled, mut bytes) = (Vec::new(), 0);
        if self.memory() > self.pace.memory_bytes
            && let Some(watermark) = self.watermark_ms
        {
            self.tables.iter_mut().for_each(|table| table.clean(watermark));
        }
        while self.memory() > self.pace.memory_bytes {
            let Some((shard_bytes @ 1.., table, shard)) = self.largest_shard() else { break };
            if spilled.contains(&(table, shard)) {
                break; // what stays is to be handed out by the next epoch
            }
            self.spill_shard(table, shard, changes, replaced)?;
            bytes += shard_bytes;
            spilled.push((table, shard));
        }
        let Some(leaving) = leaving else { return Ok(!spilled.is_empty()) };
        leaving.shards.retain(|shard| !spilled.contains(shard));
        while bytes <= leaving.bytes
            && let Some((table, shard)) = leaving.shards.pop()
        {
            bytes += self.tables.get(table).map_or(0, |table| table.shard_bytes(shard));
            self.spill_shard(table, shard, changes, replaced)?;
        }
        Ok(true)
    }

    fn spill_shard(
        &mut self,
        index: usize,
        shard: usize,
        changes: &mut Changes,
        replaced: &mut Vec<PathBuf>,
    ) -> Result<(), StateError> {
        let at = table_index(index);
        let (table, mut writing) = self.writing(index, replaced)?;
        let stay = table.spill(shard, &mut writing)?;
        changes.runs(at, shard, &table.runs_of_shard(shard), true);
        changes.put_all(at, stay.iter().map(|(key, (value, expiry))| (Key::Text(key), value.as_slice(), *expiry)));
        Ok(())
    }

    /// Memory that entries take, with what stays there of those on the disk.
    fn memory(&self) -> usize {
        self.tables.iter().map(Table::memory).sum()
    }

    /// How much memory the shard takes that takes most, and which it is of which table.
    fn largest_shard(&self) -> Option<(usize, usize, usize)> {
        let of = |(index, table): (usize, &Table)| {
            (0..SHARDS).map(|shard| (table.shard_bytes(shard), index, shard)).max_by_key(|(bytes, ..)| *bytes)
        };
        self.tables.iter().enumerate().filter_map(of).max_by_key(|(bytes, ..)| *bytes)
    }

    /// Goes on merging runs, within bounds; whether any were put in the place of others.
    fn merge(&mut self, changes: &mut Changes, replaced: &mut Vec<PathBuf>) -> Result<bool, StateError> {
        let (mut bytes, mut any) = (self.pace.merge_bytes.max(self.pace.merge_times * changes.len()), false);
        for index in 0..self.tables.len() {
            let (table, mut writing) = self.writing(index, replaced)?;
            while let Some(shard) = table.merge(&mut bytes, &mut writing)? {
                changes.runs(table_index(index), shard, &table.runs_of_shard(shard), false);
                any = true;
            }
        }
        Ok(any)
    }

    /// Where the disk is full, what has expired there is taken out before that is said.
    fn check_disk(&mut self, changes: &mut Changes, replaced: &mut Vec<PathBuf>) -> Result<(), StateError> {
        let limit_bytes = self.disk.as_ref().map_or(0, |disk| disk.limit_bytes);
        if self.disk_bytes() > limit_bytes {
            for (index, shard) in (0..self.tables.len()).flat_map(|index| (0..SHARDS).map(move |shard| (index, shard)))
            {
                let (table, mut writing) = self.writing(index, replaced)?;
                table.compact(shard, &mut writing)?;
                changes.runs(table_index(index), shard, &table.runs_of_shard(shard), false);
            }
        }
        self.disk.as_ref().map_or(Ok(()), Disk::sync)?;
        let (bytes, stays) = (self.disk_bytes(), self.tables.iter().map(Table::resident_bytes).sum());
        if bytes > limit_bytes {
            return Err(StateError::DiskQuota { bytes, limit_bytes });
        }
        // Filters and timers stay in memory.
        let limit_bytes = self.quota_bytes;
        if stays > limit_bytes { Err(StateError::Quota { bytes: stays, limit_bytes }) } else { Ok(()) }
    }

    /// A table, and what it takes to write runs of it.
    fn writing<'a>(
        &'a mut self,
        index: usize,
        replaced: &'a mut Vec<PathBuf>,
    ) -> Result<(&'a mut Table, Writing<'a>), StateError> {
        let table = self.tables.get_mut(index).zip(self.described.get(index)).zip(self.disk.as_mut());
        let ((table, described), disk) = table.ok_or(StateError::Damaged("there is no disk"))?;
        let (hasher, on_expire, watermark_ms) = (self.hasher, described.on_expire, self.watermark_ms);
        Ok((table, Writing { disk, hasher, on_expire, watermark_ms, replaced }))
    }

    fn may_spill(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.limit_bytes > 0)
    }

    /// A record of all that is there: what lies on the disk by its name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut snapshot = Changes::new(Kind::Snapshot, &self.described);
        for (index, table) in self.tables.iter().enumerate() {
            let at = table_index(index);
            for shard in 0..SHARDS {
                let runs = table.runs_of_shard(shard);
                if !runs.is_empty() {
                    snapshot.runs(at, shard, &runs, true);
                }
            }
            if let Some(taken) = table.taken_ms().filter(|_| table.run_names().next().is_some()) {
                snapshot.expire(at, taken);
            }
            let there = |expiry: i64| expiry != TOMBSTONE && table.keeps(expiry, self.watermark_ms);
            snapshot.put_all(at, table.iter().filter(|(_, _, expiry)| there(*expiry)));
            let hidden = table.iter().filter(|(_, _, expiry)| !there(*expiry)).map(|(key, ..)| key);
            if table.run_names().next().is_some() {
                snapshot.delete_all(at, hidden);
            }
        }
        snapshot.into_bytes()
    }

    /// Bytes of all entries in memory, as the quota counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(Table::bytes).sum()
    }

    /// Bytes of files.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.tables.iter().map(Table::disk_bytes).sum()
    }

    /// Expired entries whose memory was not given back yet do not count. Where there is a disk, an epoch may go beyond the
    /// quota, by what its calls may write, until it is sealed.
    fn check_quota(&mut self) -> Result<(), StateError> {
        if self.may_spill() {
            return Ok(());
        }
        if self.bytes() > self.quota_bytes
            && let Some(watermark) = self.watermark_ms
        {
            self.tables.iter_mut().for_each(|table| table.clean(watermark));
        }
        let (bytes, limit_bytes) = (self.bytes(), self.quota_bytes);
        if bytes > limit_bytes { Err(StateError::Quota { bytes, limit_bytes }) } else { Ok(()) }
    }

    fn table(&self, table: usize) -> Result<&Table, StateError> {
        let described = self.tables.len();
        self.tables.get(table).ok_or(CellsError::Table { table, described }.into())
    }
}

/// Tables are counted in a byte: the description's check allows far less.
fn table_index(table: usize) -> u8 {
    u8::try_from(table).unwrap_or(u8::MAX)
}

/// Whether an entry is there. Nothing has expired before the first watermark.
#[inline]
fn live(expiry: i64, watermark_ms: Option<i64>) -> bool {
    expiry == i64::MAX || watermark_ms.is_none_or(|watermark| expiry > watermark)
}

/// Of the entry of this index. The least numbers are not ones that an entry has: the next one does as well.
#[inline]
fn expiry(expiries: &[i64], index: usize) -> i64 {
    expiries.get(index).map_or(i64::MAX, |expiry| (*expiry).max(TOMBSTONE + 1))
}

#[cfg(test)]
mod tests;
