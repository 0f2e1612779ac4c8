//! The rows under way: one slot for each column that is read from a row, filled from JSON objects.
//!
//! A row is read, filled, and then either kept or rolled back, so that the columns always have one length. Null and absent
//! are one thing until the row is filled: what they mean depends on the kind of change, which a message may tell
//! behind its row.

use std::collections::HashMap;

use arrow_array::ArrayRef;

use super::columns::{Column, Plain};
use super::members::Members;
use super::reject::{DUPLICATE, MISSING_FIELD, MISSING_VALUE, Place, Read, Refused};
use super::scan::Cursor;
use super::schema::Wire;

/// A column that is to be read from rows.
#[derive(Debug)]
pub(super) struct RowColumn {
    /// Its index in the input.
    pub(super) place: usize,
    /// The field of the row.
    pub(super) field: String,
    pub(super) nullable: bool,
    /// Whether the row must name the field.
    pub(super) required: bool,
    pub(super) column: Box<dyn Column>,
}

/// A column that is read from rows.
#[derive(Debug)]
struct Slot {
    /// Its index in the input.
    place: usize,
    nullable: bool,
    required: bool,
    column: Box<dyn Column>,
    /// Another column that is read from the same field.
    twin: Option<usize>,
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
    /// Rows kept.
    kept: usize,
    /// Counts attempts at rows, from 1.
    row: u64,
    /// Slots that have a value in this attempt.
    filled: usize,
    /// Counts objects read, from 1.
    reading: u64,
    /// Whether an object was read in this attempt.
    read: bool,
}

/// What fills the columns that a row has no value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Null; a column that can't be null refuses the row, and so does one that the row must name and does not.
    Null,
    /// The row is a delete whose key was read last: a column that is not in the key and can't be null is its type's
    /// zero. A column of the key must have a value: another one would delete another row.
    KeyAlone,
}

impl Rows {
    /// No row of these columns yet.
    pub(super) fn new(columns: Vec<RowColumn>) -> Self {
        let mut names: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut slots = Vec::with_capacity(columns.len());
        for (index, RowColumn { place, field, nullable, required, column }) in columns.into_iter().enumerate() {
            let twin = names.insert(field.into_bytes().into(), index);
            slots.push(Slot { place, nullable, required, column, twin, met: 0, filled: 0 });
        }
        Self { slots, names, kept: 0, row: 1, filled: 0, reading: 0, read: false }
    }

    /// Whether no column is to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
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
        self.read = true;
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
                Some(slot) => self.cells(slot, cursor, wires)?,
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

    /// The cell of a column, and those of its twins.
    #[inline]
    fn cells(&mut self, index: usize, cursor: &mut Cursor<'_>, wires: &[Wire]) -> Result<(), Refused> {
        let start = *cursor;
        self.cell(index, cursor, wires)?;
        let mut twin = self.slots[index].twin;
        while let Some(index) = twin {
            *cursor = start;
            self.cell(index, cursor, wires)?;
            twin = self.slots[index].twin;
        }
        Ok(())
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

    /// The columns that are read from this field.
    pub(super) fn slots_of(&self, field: &str) -> Vec<usize> {
        let first = self.names.get(field.as_bytes()).copied();
        std::iter::successors(first, |slot| self.slots[*slot].twin).collect()
    }

    /// Begins an object whose fields are given one by one, by whoever knows their order: each is met, and given if it is
    /// wanted.
    pub(super) fn begin_object(&mut self) {
        self.reading += 1;
        self.read = true;
    }

    /// The object has the field of this column; whether its value is still wanted.
    pub(super) fn meet(&mut self, slot: usize) -> bool {
        let slot = &mut self.slots[slot];
        slot.met = self.reading;
        slot.filled != self.row
    }

    /// Gives a column its value; false: the column declines, and wants it as JSON.
    #[inline]
    pub(super) fn plain(&mut self, index: usize, value: Plain<'_>, wire: Wire) -> Result<bool, Refused> {
        let slot = &mut self.slots[index];
        let place = Place::Column(slot.place);
        let taken = slot.column.read_plain(value, wire).map_err(|refusal| Refused { place, refusal })?;
        if taken {
            slot.filled = self.row;
            self.filled += 1;
        }
        Ok(taken)
    }

    /// Gives a column its value as JSON.
    pub(super) fn json(&mut self, index: usize, cursor: &mut Cursor<'_>, wire: Wire) -> Result<(), Refused> {
        let slot = &mut self.slots[index];
        let place = Place::Column(slot.place);
        slot.column.read(cursor, wire).map_err(|refusal| Refused { place, refusal })?;
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

    /// Gives each column its cell, also those that the row has no value for.
    pub(super) fn fill(&mut self, absent: Absent) -> Result<(), Refused> {
        if self.complete() {
            return Ok(());
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.filled != self.row) {
            let named = slot.met == self.reading;
            let refused = |refusal| Err(Refused { place: Place::Column(slot.place), refusal });
            if slot.required && self.read && !named && absent == Absent::Null {
                return refused(MISSING_FIELD);
            }
            if slot.nullable {
                slot.column.push_null();
            } else if absent == Absent::KeyAlone && !named {
                slot.column.push_zero();
            } else {
                return refused(MISSING_VALUE);
            }
        }
        Ok(())
    }

    /// Keeps the row that was filled.
    pub(super) fn commit(&mut self) {
        self.kept += 1;
        self.begin();
    }

    /// Forgets what was read of the row under way.
    pub(super) fn roll_back(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.column.truncate(self.kept));
        self.begin();
    }

    /// Takes the rows kept: arrays with their index in the input.
    pub(super) fn take(&mut self) -> Vec<(usize, ArrayRef)> {
        self.kept = 0;
        self.begin();
        self.slots.iter_mut().map(|slot| (slot.place, slot.column.finish())).collect()
    }

    fn begin(&mut self) {
        self.row += 1;
        self.filled = 0;
        self.read = false;
    }
}
