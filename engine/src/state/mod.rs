//! Keyed state: what a plugin remembers of a lane from epoch to epoch.
//!
//! **Promise.** Answers depend on the changes of earlier epochs, those of this epoch's kept calls, and the epoch's
//! watermark, and on nothing else: not on memory, on when entries were cleaned up or on how often the lane was restarted.
//! An entry whose expiry the watermark has reached is not there. What is kept stays below the quota.
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
mod hash;
mod huge;
mod numbers;
mod record;
mod table;
mod texts;
mod timers;
mod undo;

use twox_hash::XxHash3_128;

use cells::{Checked, check_expiries};
use hash::Hasher;
use record::{Changes, Kind, Operation};
use table::Table;
use texts::Entry;
use undo::Undo;

pub use cells::{Cells, CellsError};
pub use table::Key;

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
    /// A record of the journal is damaged.
    #[error("a record of state can't be read: {0}")]
    Damaged(&'static str),
}

/// Answers to a batch of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// A bit for each key, LSB first.
    pub present: Vec<u8>,
    /// Where each value begins, and where the last ends.
    pub offsets: Vec<u32>,
    /// The values, one after the other.
    pub bytes: Vec<u8>,
}

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
    /// Bytes, as the quota counts them.
    pub bytes: usize,
    /// Bytes of memory that they take, with what is kept for the next ones.
    pub memory_bytes: usize,
}

/// Entries are handed out at most so many at a time, where it is not said otherwise.
pub const DUE_ROWS: usize = 8_192;
/// Changes since the last snapshot that are not worth a new one yet.
const SNAPSHOT_BYTES: usize = 64 << 20;

/// The state of one lane, as the next call sees it. The default has no tables.
#[derive(Debug, Default)]
pub struct State {
    described: Vec<StateTable>,
    tables: Vec<Table>,
    hasher: Hasher,
    quota_bytes: usize,
    watermark_ms: Option<i64>,
    /// The epoch's so far.
    changes: Changes,
    /// Of the call under way.
    undo: Undo,
    /// Where the changes of the call under way begin.
    call_began: usize,
    /// What the journal holds since the last snapshot, and with it.
    written_bytes: usize,
}

impl State {
    /// No entries. `quota_bytes` bounds keys, values and what the engine keeps beside them: 16 bytes for a key of 8 bytes
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
        Ok(TableSize { entries: table.len(), bytes: table.bytes(), memory_bytes: table.memory() })
    }

    /// Each entry of a table that is there: key, value, expiry (`i64::MAX`: never). In no order.
    ///
    /// # Errors
    /// There is no such table.
    pub fn entries(&self, table: usize) -> Result<impl Iterator<Item = (Key<'_>, &[u8], i64)>, StateError> {
        let watermark = self.watermark_ms;
        let all = self.table(table)?.iter();
        Ok(all.filter(move |(_, _, expiry)| live(*expiry, watermark)))
    }

    /// Folds a record of the journal over what there is.
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
        self.tables.iter_mut().for_each(Table::settle);
        Ok(())
    }

    /// Makes room for a snapshot: to grow into it would move each entry two or three times.
    fn clear(&mut self, snapshot: &[u8]) -> Result<(), StateError> {
        self.written_bytes = 0;
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
                table.take_due(watermark_ms, |_, _, _| {});
            }
        }
        Ok(())
    }

    /// Begins an epoch: entries whose expiry is at or below its watermark are not there any more. Gives back those of
    /// tables that call, at most `rows` in each.
    pub fn begin(&mut self, watermark_ms: Option<i64>, rows: usize) -> Vec<Due> {
        self.watermark_ms = self.watermark_ms.max(watermark_ms);
        let mut batches = Vec::new();
        let Some(watermark) = self.watermark_ms else { return batches };
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
            });
            if batches.len() > before {
                self.changes.expire(index, watermark);
            }
            table.settle();
        }
        batches
    }

    /// The earliest expiry of a table that calls: when an epoch without messages is worth while. Asked between epochs:
    /// within one, what calls have written may make it too early.
    #[must_use]
    pub fn next_expiry(&self) -> Option<i64> {
        self.tables.iter().filter_map(Table::next_expiry).min()
    }

    /// The entries of these keys, whose values take at most `limit_bytes`.
    ///
    /// # Errors
    /// The request is nonsense, or the values are more.
    pub fn get_many(&self, table: usize, keys: Cells<'_>, limit_bytes: usize) -> Result<Found, StateError> {
        let (table, keys) = (self.table(table)?, Checked::keys(keys)?);
        let mut found = Found {
            present: vec![0; keys.len().div_ceil(8)],
            offsets: Vec::with_capacity(keys.len() + 1),
            bytes: Vec::new(),
        };
        found.offsets.push(0);
        let hashes = self.hasher.all(keys);
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            if let Some((value, _)) = table.get(*hash, key).filter(|(_, expiry)| live(*expiry, self.watermark_ms)) {
                if value.len() > limit_bytes.saturating_sub(found.bytes.len()) {
                    return Err(StateError::Answer { limit_bytes });
                }
                set_bit(&mut found.present, index);
                found.bytes.extend_from_slice(value);
            }
            let end = u32::try_from(found.bytes.len()).map_err(|_| StateError::Answer { limit_bytes })?;
            found.offsets.push(end);
        }
        Ok(found)
    }

    /// Writes entries; of keys that come twice the last. No `expiries`: never.
    ///
    /// # Errors
    /// The request is nonsense, or too much would be kept: the call has to be undone then.
    pub fn put_many(
        &mut self,
        table: usize,
        keys: Cells<'_>,
        values: Cells<'_>,
        expiries: &[i64],
    ) -> Result<(), StateError> {
        let keys = Checked::keys(keys)?;
        let values = Checked::values(values, keys.len())?;
        check_expiries(expiries, keys.len())?;
        let watermark = self.watermark_ms;
        let (at, undo) = (table, &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let hashes = self.hasher.all(keys);
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            let before = table.get(*hash, key).filter(|(_, expiry)| table.keeps(*expiry, watermark));
            undo.note(at, key, before);
            let entry = Entry { key, value: values.get(index), expiry: expiry(expiries, index) };
            table.put(*hash, entry, watermark);
        }
        self.changes.put(at, keys, values, expiries);
        self.check_quota()
    }

    /// Deletes entries; a key without one is no error.
    ///
    /// # Errors
    /// The request is nonsense.
    pub fn delete_many(&mut self, table: usize, keys: Cells<'_>) -> Result<(), StateError> {
        let keys = Checked::keys(keys)?;
        let watermark = self.watermark_ms;
        let (at, undo) = (table, &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let hashes = self.hasher.all(keys);
        let mut deleted = Vec::new();
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            let before = table.get(*hash, key).filter(|(_, expiry)| table.keeps(*expiry, watermark));
            if before.is_some() {
                undo.note(at, key, before);
                deleted.push(index);
            }
            table.remove(*hash, key);
        }
        self.changes.delete(at, keys, &deleted);
        Ok(())
    }

    /// Writes empty entries for the keys that have none, and gives back a bit for each key, LSB first: whether it had
    /// none. Of keys that come twice, the first.
    ///
    /// # Errors
    /// As [`State::put_many`].
    pub fn insert_if_absent_many(
        &mut self,
        table: usize,
        keys: Cells<'_>,
        expiries: &[i64],
    ) -> Result<Vec<u8>, StateError> {
        let keys = Checked::keys(keys)?;
        check_expiries(expiries, keys.len())?;
        let watermark = self.watermark_ms;
        let (at, undo) = (table, &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let mut absent = vec![0; keys.len().div_ceil(8)];
        let mut inserted = Vec::with_capacity(keys.len());
        let hashes = self.hasher.all(keys);
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            let before = table.get(*hash, key);
            if before.is_some_and(|(_, expiry)| live(expiry, watermark)) {
                continue;
            }
            undo.note(at, key, before.filter(|(_, expiry)| table.keeps(*expiry, watermark)));
            table.put(*hash, Entry { key, value: &[], expiry: expiry(expiries, index) }, watermark);
            set_bit(&mut absent, index);
            inserted.push(index);
        }
        self.changes.insert(at, keys, expiries, &inserted);
        self.check_quota()?;
        Ok(absent)
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
            let table = tables.get_mut(table).expect("only writes to tables that are there were noted");
            match before {
                Some((value, expiry)) => table.put(hasher.key(key), Entry { key, value, expiry }, watermark),
                None => table.remove(hasher.key(key), key),
            }
        });
    }

    /// Ends the epoch: what it changed, and the digest of that. Where a snapshot is given, the digest is of the changes
    /// all the same, so that an epoch that is made again has the same one.
    pub fn seal(&mut self) -> (Sealed, u128) {
        self.undo.clear();
        self.tables.iter_mut().for_each(Table::settle);
        let changes = std::mem::replace(&mut self.changes, Changes::new(Kind::Changes, &self.described));
        self.call_began = self.changes.len();
        let digest = XxHash3_128::oneshot(changes.bytes());
        if changes.is_empty() {
            return (Sealed::Unchanged, digest);
        }
        self.written_bytes += changes.len();
        if self.written_bytes <= SNAPSHOT_BYTES.max(self.bytes().saturating_mul(2)) {
            return (Sealed::Changes(changes.into_bytes()), digest);
        }
        let snapshot = self.snapshot();
        self.written_bytes = snapshot.len();
        (Sealed::Snapshot(snapshot), digest)
    }

    /// A record of all that is there.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut snapshot = Changes::new(Kind::Snapshot, &self.described);
        for (index, table) in self.tables.iter().enumerate() {
            let all = table.iter().filter(|(_, _, expiry)| table.keeps(*expiry, self.watermark_ms));
            snapshot.put_all(index, all);
        }
        snapshot.into_bytes()
    }

    /// Bytes of all entries, as the quota counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(Table::bytes).sum()
    }

    /// Expired entries whose memory was not given back yet do not count.
    fn check_quota(&mut self) -> Result<(), StateError> {
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

fn table_mut(tables: &mut [Table], table: usize) -> Result<&mut Table, StateError> {
    let described = tables.len();
    tables.get_mut(table).ok_or(CellsError::Table { table, described }.into())
}

/// Whether an entry is there. Nothing has expired before the first watermark.
#[inline]
fn live(expiry: i64, watermark_ms: Option<i64>) -> bool {
    expiry == i64::MAX || watermark_ms.is_none_or(|watermark| expiry > watermark)
}

/// Of the entry of this index. The least number is not one that an entry has: the next one does as well.
#[inline]
fn expiry(expiries: &[i64], index: usize) -> i64 {
    expiries.get(index).map_or(i64::MAX, |expiry| (*expiry).max(i64::MIN + 1))
}

fn set_bit(bits: &mut [u8], index: usize) {
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}

impl Due {
    fn of(table: usize) -> Self {
        Self { table, key_offsets: vec![0], value_offsets: vec![0], ..Self::default() }
    }

    /// Offsets have 32 bits, and a guest's memory is no larger.
    fn has_room(&self, key: &[u8], value: &[u8]) -> bool {
        const MOST: usize = 64 << 20;
        self.keys.len() + key.len() <= MOST && self.values.len() + value.len() <= MOST
    }

    fn push(&mut self, key: &[u8], value: &[u8], expiry: i64) {
        self.keys.extend_from_slice(key);
        self.key_offsets.push(u32::try_from(self.keys.len()).expect("a key lay in a guest's memory of 32 bits"));
        self.values.extend_from_slice(value);
        self.value_offsets.push(u32::try_from(self.values.len()).expect("as did its value"));
        self.expiries.push(expiry);
    }
}

#[cfg(test)]
mod tests;
