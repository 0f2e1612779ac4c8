//! Booleans.
//!
//! | written as | read |
//! |---|---|
//! | `true`, `false` | yes |
//! | `1`, `0` | yes: MySQL's `BOOLEAN` is a `TINYINT(1)` in snapshots |

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder};

use super::{Column, Plain};
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_BOOLEAN: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected true or false, or 1 or 0" };

/// A column of booleans.
#[derive(Debug)]
pub(super) struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Default for Booleans {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl Column for Booleans {
    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn read(&mut self, value: &mut Cursor<'_>, _: &Wire) -> Read<()> {
        let value = match value.take_bool() {
            Some(value) => value,
            None => match value.plain_integer() {
                Some(0) => false,
                Some(1) => true,
                Some(_) | None => return Err(NOT_A_BOOLEAN),
            },
        };
        self.values.append(value);
        self.nulls.append_non_null();
        Ok(())
    }

    fn read_plain(&mut self, value: Plain<'_>, _: &Wire) -> Read<bool> {
        let Plain::Boolean(value) = value else { return Ok(false) };
        self.values.append(value);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn push_null(&mut self) {
        self.values.append(false);
        self.nulls.append_null();
    }

    fn push_zero(&mut self) {
        self.values.append(false);
        self.nulls.append_non_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish()))
    }
}
