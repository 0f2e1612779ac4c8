//! The rows under way: one slot for each column that is read from a row, filled from JSON objects.
//!
//! A row is read, filled, and then either kept or rolled back, so that the columns always have one length. Null and absent
//! are one thing until the row is filled: what they mean depends on the kind of change, which a message may tell
//! behind its row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::columns::{Column, Plain, int64};
use super::extended;
use super::members::Members;
use super::policy::{Case, Policy, Reading};
use super::reject::{BELOW, DUPLICATE, MISSING_FIELD, MISSING_VALUE, Place, Read, Refusal, Refused, UNAVAILABLE};
use super::rest::Rest;
use super::scan::Cursor;
use super::schema::Wire;
use crate::input::REST;

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
    /// Whether it takes a value's text as it stands.
    pub(super) verbatim: bool,
    pub(super) reading: Reading,
    /// The JSON values that stand for one that was not in the source's log.
    pub(super) unavailable: Vec<Box<[u8]>>,
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
    verbatim: bool,
    /// Apart, because it is rarely looked at.
    reading: Box<Reading>,
    unavailable: Box<[Box<[u8]>]>,
    /// Another column that is read from the same field.
    twin: Option<usize>,
    /// The reading in which its key was met last.
    met: u64,
    /// The row for which it has a value.
    filled: u64,
}

impl Slot {
    #[inline]
    fn is_unavailable(&self, cursor: &Cursor<'_>) -> bool {
        let rest = cursor.rest();
        // Two bytes tell nearly always, and need no call.
        self.unavailable.iter().any(|form| form.first_chunk::<2>() == rest.first_chunk() && rest.starts_with(form))
    }
}

impl Slot {
    /// Whether a value could stand for one that was not in the source's log: as long as the JSON that does.
    #[inline]
    fn may_be_unavailable(&self, value: Plain<'_>) -> bool {
        let length = match value {
            Plain::Text(text) => text.len(),
            Plain::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
            Plain::Boolean(_) | Plain::Integer(_) | Plain::Float(_) | Plain::Double(_) => return false,
        };
        self.unavailable.iter().any(|form| form.len() == length + 2)
    }
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
    /// Where what no column reads is wanted as well.
    rest: Option<Rest>,
    /// Whether a field is read into more than one column.
    twins: bool,
    /// How the columns are written in extended JSON.
    plain: Arc<[Wire]>,
    /// Whether what is read now is extended JSON.
    extended: bool,
    scratch: Vec<u8>,
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
    /// Whether negative numbers for unsigned columns are taken for the unsigned ones of the same bits.
    wraps: bool,
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
        let mut rest = None;
        for (index, column) in columns.into_iter().enumerate() {
            let RowColumn { place, field, nullable, required, verbatim, reading, mut unavailable, column } = column;
            if reading.policy(Case::Unavailable) == Some(Policy::Keep) {
                unavailable.clear();
            }
            let twin = if field == REST {
                rest = Some(Rest::new(index));
                None
            } else {
                names.insert(field.into_bytes().into(), index)
            };
            slots.push(Slot {
                place,
                nullable,
                required,
                column,
                verbatim,
                reading: Box::new(reading),
                unavailable: unavailable.into(),
                twin,
                met: 0,
                filled: 0,
            });
        }
        let plain = vec![Wire::Plain; slots.len()].into();
        let twins = slots.iter().any(|slot: &Slot| slot.twin.is_some());
        Self {
            slots,
            names,
            rest,
            twins,
            extended: false,
            plain,
            scratch: Vec::new(),
            kept: 0,
            row: 1,
            filled: 0,
            reading: 0,
            read: false,
            wraps: false,
        }
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
        self.begin_object();
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return self.end_object();
        }
        let mut next = 0;
        loop {
            let key = *cursor;
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
                    let start = *cursor;
                    let value = cursor.skip()?;
                    if self.rest.is_some() {
                        self.other(key.until(&start), value, wires, cursor.length())?;
                    }
                }
                None => {}
            }
            if !cursor.another_member()? {
                return self.end_object();
            }
        }
    }

    /// Reads a document of extended JSON into the slots, as [`Rows::read`] does an object.
    pub(super) fn read_document(
        &mut self,
        members: &mut Members<Meaning<()>>,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Refused> {
        let plain = self.plain.clone();
        self.extended = true;
        let read = self.read(members, cursor, &plain, |_| None, |(), _| Ok(()));
        self.extended = false;
        read?;
        Ok(cursor.end()?)
    }

    /// Fills one column from one value of extended JSON; false: there is no such column.
    pub(super) fn read_extended(&mut self, field: &[u8], text: &[u8]) -> Result<bool, Refused> {
        let Some(slot) = self.names.get(field).copied() else { return Ok(false) };
        self.reading += 1;
        self.read = true;
        let plain = self.plain.clone();
        let mut cursor = Cursor::new(text, 0);
        self.extended = true;
        let read = self.cells(slot, &mut cursor, &plain);
        self.extended = false;
        read?;
        cursor.end()?;
        Ok(true)
    }

    /// Whether a column is read from this field.
    pub(super) fn has(&self, field: &[u8]) -> bool {
        self.names.contains_key(field)
    }

    /// The cell of a column, and those of its twins.
    #[inline]
    fn cells(&mut self, index: usize, cursor: &mut Cursor<'_>, wires: &[Wire]) -> Result<(), Refused> {
        let start = *cursor;
        self.cell(index, cursor, wires)?;
        if self.twins { self.other_cells(index, start, wires) } else { Ok(()) }
    }

    #[cold]
    fn other_cells(&mut self, index: usize, start: Cursor<'_>, wires: &[Wire]) -> Result<(), Refused> {
        let mut twin = self.slots[index].twin;
        while let Some(index) = twin {
            self.cell(index, &mut { start }, wires)?;
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
        let start = *cursor;
        let read = if slot.is_unavailable(cursor) {
            Err(UNAVAILABLE)
        } else if self.extended && !slot.verbatim && matches!(cursor.peek(), Some(b'{' | b'[')) {
            self.scratch.clear();
            match extended::plain(cursor, &mut self.scratch) {
                Ok(()) if self.scratch == b"null" => return Ok(()),
                Ok(()) => slot.column.read(&mut Cursor::new(&self.scratch, 0), &Wire::Plain),
                Err(refusal) => Err(refusal),
            }
        } else {
            slot.column.read(cursor, &wires[index])
        };
        if let Err(refusal) = read {
            *cursor = start;
            return self.settle(index, cursor, refusal);
        }
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
        if let Some(rest) = &mut self.rest {
            rest.begin();
        }
    }

    /// Whether what no column reads is wanted as well.
    pub(super) fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// A field that no column reads, of a message of so many bytes: its key as JSON with the colon, and its value.
    pub(super) fn other(&mut self, key: &[u8], value: &[u8], wires: &[Wire], length: usize) -> Result<(), Refused> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        let slot = &self.slots[rest.slot];
        let refused = |refusal| Refused { place: Place::Column(slot.place), refusal };
        if slot.filled == self.row {
            return Ok(());
        }
        if slot.unavailable.iter().any(|form| **form == *value) {
            let left_out = slot.reading.policy(Case::Unavailable) == Some(Policy::Null);
            return if left_out { Ok(()) } else { Err(refused(UNAVAILABLE)) };
        }
        rest.add(key.trim_ascii_start(), value, &wires[rest.slot], length).map_err(refused)
    }

    /// The object has no more fields: those that no column reads become a cell, unless the row has that already.
    #[inline]
    pub(super) fn end_object(&mut self) -> Result<(), Refused> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        let slot = &mut self.slots[rest.slot];
        if slot.filled != self.row {
            let refused = |refusal| Refused { place: Place::Column(slot.place), refusal };
            rest.end(&mut *slot.column).map_err(refused)?;
            slot.filled = self.row;
            self.filled += 1;
        }
        Ok(())
    }

    /// The object has the field of this column; whether its value is still wanted.
    pub(super) fn meet(&mut self, slot: usize) -> bool {
        let slot = &mut self.slots[slot];
        slot.met = self.reading;
        slot.filled != self.row
    }

    /// Gives a column its value; false: the column declines, and wants it as JSON. A value that is refused is declined as
    /// well: what then becomes of it is decided in one place.
    #[inline]
    pub(super) fn plain(&mut self, index: usize, value: Plain<'_>, wire: &Wire) -> bool {
        let slot = &mut self.slots[index];
        if slot.may_be_unavailable(value) {
            return false;
        }
        match slot.column.read_plain(value, wire) {
            Ok(true) => {
                slot.filled = self.row;
                self.filled += 1;
                true
            }
            Ok(false) => false,
            Err(_) => {
                slot.column.truncate(self.kept);
                false
            }
        }
    }

    /// Gives a column that was just met its value as JSON.
    pub(super) fn json(&mut self, index: usize, cursor: &mut Cursor<'_>, wires: &[Wire]) -> Result<(), Refused> {
        self.slots[index].met = 0;
        self.cell(index, cursor, wires)
    }

    /// Does with a value that was refused what the column's policy says.
    #[cold]
    fn settle(&mut self, index: usize, cursor: &mut Cursor<'_>, refusal: &'static Refusal) -> Result<(), Refused> {
        let slot = &mut self.slots[index];
        let place = Place::Column(slot.place);
        let refused = Err(Refused { place, refusal });
        let Some(case) = refusal.case() else { return refused };
        slot.column.truncate(self.kept);
        let number = *cursor;
        cursor.skip()?;
        let settled = match (case, slot.reading.policy(case)) {
            (_, Some(Policy::Null)) => return Ok(()),
            (_, Some(Policy::Clamp)) => refusal.end().is_some_and(|end| slot.column.push_limit(end)),
            (Case::Unsigned, Some(Policy::Reject)) => return Err(Refused { place, refusal: BELOW }),
            (Case::Unsigned, policy) if self.wraps || policy == Some(Policy::Wrap) => {
                let negative = int64(&mut { number }).map_err(|refusal| Refused { place, refusal })?;
                slot.column.push_wrapped(negative)
            }
            _ => false,
        };
        if !settled {
            return refused;
        }
        slot.filled = self.row;
        self.filled += 1;
        Ok(())
    }

    /// Whether negative numbers for unsigned columns are taken for the unsigned ones of the same bits, unless a policy
    /// says otherwise.
    pub(super) fn wrap(&mut self, wraps: bool) {
        self.wraps = wraps;
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
            let zero = absent == Absent::KeyAlone && !named || slot.reading.policy(Case::Missing) == Some(Policy::Zero);
            if slot.nullable {
                slot.column.push_null();
            } else if zero {
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
