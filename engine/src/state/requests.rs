//! What a plugin asks of its state: whole batches of keys, hashed first, so that what they need can be fetched from memory
//! ahead of its use.

use super::cells::{Cells, CellsError, Checked, check_expiries};
use super::table::Table;
use super::texts::Entry;
use super::{State, StateError, TOMBSTONE, expiry, live, table_index};

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

impl State {
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
            if let Some((value, _)) = table.get(*hash, key)?.filter(|(_, expiry)| live(*expiry, self.watermark_ms)) {
                if value.len() > limit_bytes.saturating_sub(found.bytes.len()) {
                    return Err(StateError::Answer { limit_bytes });
                }
                set_bit(&mut found.present, index);
                found.bytes.extend_from_slice(&value);
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
        let (at, undo) = (table_index(table), &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let hashes = self.hasher.all(keys);
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            undo.note(at, key, table.in_memory(*hash, key));
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
        let (at, undo) = (table_index(table), &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let hashes = self.hasher.all(keys);
        let mut deleted = Vec::new();
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            if table.get(*hash, key)?.is_some_and(|(_, expiry)| table.keeps(expiry, watermark)) {
                undo.note(at, key, table.in_memory(*hash, key));
                deleted.push(index);
                table.remove(*hash, key);
            }
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
        let (at, undo) = (table_index(table), &mut self.undo);
        let table = table_mut(&mut self.tables, table)?;
        let mut absent = vec![0; keys.len().div_ceil(8)];
        let mut inserted = Vec::with_capacity(keys.len());
        let hashes = self.hasher.all(keys);
        for (index, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            table.prefetch(&hashes, index);
            let before = table.in_memory(*hash, key);
            let expiry_there = match before {
                Some((_, expiry)) => Some(expiry).filter(|expiry| *expiry != TOMBSTONE),
                None => table.on_disk(*hash, key)?.map(|(_, expiry)| expiry),
            };
            if expiry_there.is_some_and(|expiry| live(expiry, watermark)) {
                continue;
            }
            undo.note(at, key, before);
            table.put(*hash, Entry { key, value: &[], expiry: expiry(expiries, index) }, watermark);
            set_bit(&mut absent, index);
            inserted.push(index);
        }
        self.changes.insert(at, keys, expiries, &inserted);
        self.check_quota()?;
        Ok(absent)
    }
}

fn table_mut(tables: &mut [Table], table: usize) -> Result<&mut Table, StateError> {
    let described = tables.len();
    tables.get_mut(table).ok_or(CellsError::Table { table, described }.into())
}

fn set_bit(bits: &mut [u8], index: usize) {
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}
