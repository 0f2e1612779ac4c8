//! The rows under way: one slot for each column that is read from a row, filled from JSON objects.
//!
//! A row is filled, then either finished or rolled back, so that the columns always have one length. Null and absent
//! are one thing until the row is finished: what they mean depends on the kind of change, which a message may tell
//! behind its row.

use std::collections::HashMap;

use arrow_array::ArrayRef;

use super::columns::Column;
use super::members::Members;
use super::reject::{DUPLICATE, MISSING_VALUE, Place, Read, Refused};
use super::scan::Cursor;
use super::schema::Wire;

/// A column that is read from rows.
#[derive(Debug)]
struct Slot {
    /// Its index in the input.
    place: usize,
    nullable: bool,
    column: Box<dyn Column>,
    /// The reading in which its key was met last.
    met: u64,
    /// The row for which it has a value.
    filled: u64,
}

/// What the keys of a row mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning<M> {
    slot: Option<usize>,
    meta: Option<M>,
}

/// The columns of the rows under way. `M`: keys that mean something beside the columns.
#[derive(Debug)]
pub(super) struct Rows {
    slots: Vec<Slot>,
    names: HashMap<Box<[u8]>, usize>,
    /// Finished rows.
    finished: usize,
    /// Counts attempts at rows, from 1.
    row: u64,
    /// Slots that have a value in this attempt.
    filled: usize,
    /// Counts objects read, from 1.
    reading: u64,
}

/// What fills the columns that a row has no value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Null; a column that can't be null refuses the row.
    Null,
    /// The row is a delete whose key was read last: a column that is not in the key and can't be null is its type's
    /// zero. A column of the key must have a value: another one would delete another row.
    KeyAlone,
}

impl Rows {
    /// Columns with their index in the input, their name, and whether they may be null.
    pub(super) fn new(columns: Vec<(usize, String, bool, Box<dyn Column>)>) -> Self {
        let names = columns.iter().enumerate().map(|(slot, (_, name, ..))| (name.as_bytes().into(), slot)).collect();
        let slots = columns
            .into_iter()
            .map(|(place, _, nullable, column)| Slot { place, nullable, column, met: 0, filled: 0 })
            .collect();
        Self { slots, names, finished: 0, row: 1, filled: 0, reading: 0 }
    }

    /// Makes room for so many rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.slots.iter_mut().for_each(|slot| slot.column.reserve(rows));
    }

    /// What a key means; `meta` is asked for what it means beside a column.
    pub(super) fn meaning<M>(&self, key: &[u8], meta: impl FnOnce(&[u8]) -> Option<M>) -> Meaning<M> {
        Meaning { slot: self.names.get(key).copied(), meta: meta(key) }
    }

    /// Reads an object into the slots that have no value in this row yet. `look_up` says what the keys mean beside
    /// columns, and `note` takes these values.
    pub(super) fn read<'m, M: Copy>(
        &mut self,
        members: &mut Members<Meaning<M>>,
        cursor: &mut Cursor<'m>,
        wires: &[Wire],
        look_up: impl Fn(&[u8]) -> Option<M>,
        mut note: impl FnMut(M, &mut Cursor<'m>) -> Read<()>,
    ) -> Result<(), Refused> {
        self.reading += 1;
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return Ok(());
        }
        let mut next = 0;
        loop {
            let meaning = members.take(cursor, &mut next, |key| self.meaning(key, &look_up))?;
            if let Some(meta) = meaning.meta {
                let mut at_value = *cursor;
                note(meta, &mut at_value)?;
                if meaning.slot.is_none() {
                    *cursor = at_value;
                }
            }
            match meaning.slot {
                Some(slot) => self.cell(slot, cursor, wires)?,
                None if meaning.meta.is_none() => {
                    cursor.skip()?;
                }
                None => {}
            }
            if !cursor.another_member()? {
                return Ok(());
            }
        }
    }

    #[inline]
    fn cell(&mut self, index: usize, cursor: &mut Cursor<'_>, wires: &[Wire]) -> Result<(), Refused> {
        let slot = &mut self.slots[index];
        let place = Place::Column(slot.place);
        let refused = |refusal| Refused { place, refusal };
        if slot.met == self.reading {
            return Err(refused(DUPLICATE));
        }
        slot.met = self.reading;
        if cursor.take_null() {
            return Ok(());
        }
        if slot.filled == self.row {
            cursor.skip()?;
            return Ok(());
        }
        slot.column.read(cursor, wires[index]).map_err(refused)?;
        slot.filled = self.row;
        self.filled += 1;
        Ok(())
    }

    /// Whether each column has a value.
    pub(super) fn complete(&self) -> bool {
        self.filled == self.slots.len()
    }

    /// Whether the object read last had any of the columns.
    pub(super) fn met_any(&self) -> bool {
        self.slots.iter().any(|slot| slot.met == self.reading)
    }

    /// Ends the row: each column gets its cell.
    pub(super) fn finish(&mut self, absent: Absent) -> Result<(), Refused> {
        if !self.complete() {
            for slot in self.slots.iter_mut().filter(|slot| slot.filled != self.row) {
                if slot.nullable {
                    slot.column.push_null();
                } else if absent == Absent::KeyAlone && slot.met != self.reading {
                    slot.column.push_zero();
                } else {
                    return Err(Refused { place: Place::Column(slot.place), refusal: MISSING_VALUE });
                }
            }
        }
        self.finished += 1;
        self.begin();
        Ok(())
    }

    /// Forgets what was read of the row under way.
    pub(super) fn roll_back(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.column.truncate(self.finished));
        self.begin();
    }

    /// Takes the finished rows: arrays with their index in the input.
    pub(super) fn take(&mut self) -> Vec<(usize, ArrayRef)> {
        self.finished = 0;
        self.begin();
        self.slots.iter_mut().map(|slot| (slot.place, slot.column.finish())).collect()
    }

    fn begin(&mut self) {
        self.row += 1;
        self.filled = 0;
    }
}
