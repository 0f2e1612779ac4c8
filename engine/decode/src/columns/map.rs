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
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields};

use super::Column;
use super::bytes::Variable;
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
    count: usize,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
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
            count: 0,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            scratch: Vec::new(),
        };
        Some(values(value).map(maps))
    }

    fn object(&mut self, value: &mut Cursor<'_>) -> Read<()> {
        value.expect(b'{')?;
        if value.take(b'}') {
            return Ok(());
        }
        let (first, start, held) = (self.count, value.position(), self.values.held());
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
            self.count += 1;
            budget::check(self.values.held() - held, value.position() - start, value.length())?;
            if !value.another_member()? {
                return self.check_keys(first);
            }
        }
    }

    /// No key from this one on occurs twice. Sorted, as a set of them would be many times as long as short keys are.
    fn check_keys(&self, first: usize) -> Read<()> {
        let mut keys: Vec<u32> =
            (first..self.count).map(|at| u32::try_from(at).map_err(|_| TOO_LARGE)).collect::<Read<_>>()?;
        let text = |at: &u32| self.keys.value(*at as usize);
        keys.sort_unstable_by_key(text);
        let twice = keys.windows(2).any(|pair| matches!(pair, [one, other] if text(one) == text(other)));
        if twice { Err(DUPLICATE) } else { Ok(()) }
    }

    fn repeat_end(&mut self) {
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(end);
    }
}

impl Column for Maps {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
    }

    fn held(&self) -> usize {
        size_of_val(self.offsets.as_slice()) + self.values.held()
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
        self.offsets.push(i32::try_from(self.count).map_err(|_| TOO_LARGE)?);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.repeat_end();
        self.nulls.append_null();
    }

    fn push_zero(&mut self) {
        self.repeat_end();
        self.nulls.append_non_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.count = usize::try_from(end).unwrap_or_default();
        self.keys.truncate(self.count);
        self.values.truncate(self.count);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        self.count = 0;
        let entries = StructArray::new(self.pair.clone(), vec![self.keys.finish(), self.values.finish()], None);
        Arc::new(MapArray::new(self.entries.clone(), offsets, entries, self.nulls.finish(), false))
    }
}
