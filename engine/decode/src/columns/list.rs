//! Lists.
//!
//! | written as | read |
//! |---|---|
//! | array | element by element, as a column of the element's type reads it |
//! | object, for a list of floating point numbers | `sparsevec`: a value at every place (see `sparse`) |
//! | string, for a list of text | MySQL's `SET`: the words between its commas; an empty string is an empty list |

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_schema::{DataType, FieldRef};

use super::Column;
use super::cells::Cells;
use super::sparse::Sparse;
use crate::budget;
use crate::reject::{MALFORMED, Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_LIST: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected an array" };
const NULL_ELEMENT: &Refusal =
    &Refusal { code: RejectCode::MissingValue, reason: "an element is null, which the column's elements can't be" };

/// A column of lists.
#[derive(Debug)]
pub(super) struct Lists {
    element: FieldRef,
    elements: Box<dyn Column>,
    cells: Cells,
    scratch: Vec<u8>,
}

impl Lists {
    pub(super) fn new(element: FieldRef, elements: Box<dyn Column>) -> Self {
        Self { element, elements, cells: Cells::new(), scratch: Vec::new() }
    }

    fn array(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()> {
        value.expect(b'[')?;
        if value.take(b']') {
            return Ok(());
        }
        let (start, held) = (value.position(), self.elements.held());
        loop {
            if value.take_null() {
                if !self.element.is_nullable() {
                    return Err(NULL_ELEMENT);
                }
                self.elements.push_null();
            } else {
                self.elements.read(value, wire)?;
            }
            self.cells.element();
            budget::check(self.elements.held() - held, value.position() - start, value.length())?;
            if value.take(b']') {
                return Ok(());
            }
            value.expect(b',')?;
        }
    }

    fn sparse(&mut self, value: &mut Cursor<'_>) -> Read<()> {
        let start = value.position();
        let Sparse { dimensions, values } = Sparse::read(value)?;
        // Before it is made: an object of a few bytes may name any number.
        let width = self.element.data_type().primitive_width().unwrap_or_default();
        budget::check(dimensions.saturating_mul(width), value.position() - start, value.length())?;
        let mut values = values.into_iter().peekable();
        for place in 0..dimensions {
            match values.next_if(|(at, _)| *at == place) {
                Some((_, mut value)) => self.elements.read(&mut value, &Wire::Unknown)?,
                None => self.elements.push_zero(),
            }
            self.cells.element();
        }
        Ok(())
    }

    /// The words of a set. They hold no commas: MySQL refuses them in a set's definition.
    fn set(&mut self, value: &mut Cursor<'_>) -> Read<()> {
        let text = value.raw_string()?.text(&mut self.scratch)?;
        if text.is_empty() {
            return Ok(());
        }
        for word in text.split(|byte| *byte == b',') {
            let word = serde_json::to_vec(std::str::from_utf8(word).map_err(|_| MALFORMED)?).map_err(|_| MALFORMED)?;
            self.elements.read(&mut Cursor::new(&word, 0), &Wire::Text)?;
            self.cells.element();
        }
        Ok(())
    }
}

impl Column for Lists {
    fn reserve(&mut self, rows: usize) {
        self.cells.reserve(rows);
    }

    fn held(&self) -> usize {
        self.cells.held() + self.elements.held()
    }

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()> {
        match value.peek() {
            Some(b'[') => self.array(value, wire.element())?,
            Some(b'{') if self.element.data_type().is_floating() => self.sparse(value)?,
            Some(b'"') if *self.element.data_type() == DataType::Utf8 && wire.may_be_set() => self.set(value)?,
            _ => return Err(NOT_A_LIST),
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
        let elements = self.cells.truncate(rows);
        self.elements.truncate(elements);
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.cells.finish();
        Arc::new(ListArray::new(self.element.clone(), offsets, self.elements.finish(), nulls))
    }
}
