//! Maps with keys of text.
//!
//! | written as | read |
//! |---|---|
//! | object | member by member, the values as a column of their type reads them |
//! | string that holds such an object | the same: PostgreSQL's `hstore` as `json` |
//!
//! A key that occurs twice is refused: which value counts would be a guess.

use std::sync::Arc;

use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_schema::{DataType, FieldRef, Fields};

use super::Column;
use super::bytes::Variable;
use super::cells::Cells;
use super::text::Text;
use crate::budget;
use crate::reject::{DUPLICATE, Read, Refusal, RejectCode, TOO_LARGE};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_MAP: &Refusal =
    &Refusal { code: RejectCode::WrongType, reason: "expected an object, or a string that holds one" };
const NULL_VALUE: &Refusal =
    &Refusal { code: RejectCode::MissingValue, reason: "a value is null, which the column's values can't be" };

/// A column of maps.
#[derive(Debug)]
pub(super) struct Maps {
    entries: FieldRef,
    pair: Fields,
    keys: Variable<Text>,
    values: Box<dyn Column>,
    cells: Cells,
    scratch: Vec<u8>,
}

impl Maps {
    /// Of entries of this field, whose values this column reads. None: its keys are no text.
    pub(super) fn new(
        entries: &FieldRef,
        values: impl FnOnce(&FieldRef) -> Result<Box<dyn Column>, String>,
    ) -> Option<Result<Self, String>> {
        let DataType::Struct(pair) = entries.data_type() else { return None };
        let [key, value] = pair.as_ref() else { return None };
        if *key.data_type() != DataType::Utf8 {
            return None;
        }
        let maps = |values| Self {
            entries: entries.clone(),
            pair: pair.clone(),
            keys: Variable::new(Text),
            values,
            cells: Cells::new(),
            scratch: Vec::new(),
        };
        Some(values(value).map(maps))
    }

    fn object(&mut self, value: &mut Cursor<'_>) -> Read<()> {
        value.expect(b'{')?;
        if value.take(b'}') {
            return Ok(());
        }
        let (first, start, held) = (self.cells.elements(), value.position(), self.values.held());
        loop {
            self.keys.read(value, &Wire::Unknown)?;
            value.expect(b':')?;
            if value.take_null() {
                if !self.pair.get(1).is_some_and(|value| value.is_nullable()) {
                    return Err(NULL_VALUE);
                }
                self.values.push_null();
            } else {
                self.values.read(value, &Wire::Unknown)?;
            }
            self.cells.element();
            budget::check(self.values.held() - held, value.position() - start, value.length())?;
            if !value.another_member()? {
                return self.check_keys(first);
            }
        }
    }

    /// No key from this element on occurs twice. Sorted, as a set of them would be many times as long as short keys are.
    fn check_keys(&self, first: usize) -> Read<()> {
        let index = |at| u32::try_from(at).map_err(|_| TOO_LARGE);
        let mut keys: Vec<u32> = (first..self.cells.elements()).map(index).collect::<Read<_>>()?;
        let text = |at: &u32| self.keys.value(*at as usize);
        keys.sort_unstable_by_key(text);
        let twice = keys.windows(2).any(|pair| matches!(pair, [one, other] if text(one) == text(other)));
        if twice { Err(DUPLICATE) } else { Ok(()) }
    }
}

impl Column for Maps {
    fn reserve(&mut self, rows: usize) {
        self.cells.reserve(rows);
    }

    fn held(&self) -> usize {
        self.cells.held() + self.values.held()
    }

    fn read(&mut self, value: &mut Cursor<'_>, _: &Wire) -> Read<()> {
        match value.peek() {
            Some(b'{') => self.object(value)?,
            Some(b'"') => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let text = value.raw_string()?.text(&mut scratch)?;
                let mut inner = Cursor::new(text, 0);
                self.object(&mut inner)?;
                inner.end()?;
                self.scratch = scratch;
            }
            _ => return Err(NOT_A_MAP),
        }
        self.cells.end()
    }

    fn push_null(&mut self) {
        self.cells.push_null();
    }

    fn push_zero(&mut self) {
        self.cells.push_empty();
    }

    fn truncate(&mut self, rows: usize) {
        let entries = self.cells.truncate(rows);
        self.keys.truncate(entries);
        self.values.truncate(entries);
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.cells.finish();
        let entries = StructArray::new(self.pair.clone(), vec![self.keys.finish(), self.values.finish()], None);
        Arc::new(MapArray::new(self.entries.clone(), offsets, entries, nulls, false))
    }
}
