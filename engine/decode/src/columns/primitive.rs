//! Columns of values of one size.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::DataType;

use super::{Column, Plain};
use crate::reject::{End, Read};
use crate::scan::Cursor;
use crate::schema::Wire;

/// How a value of one type is read.
pub(super) trait Cell: Debug + Send {
    /// The type of its array.
    type Arrow: ArrowPrimitiveType + Debug;

    /// Reads the value that the cursor is at, which is not null.
    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<<Self::Arrow as ArrowPrimitiveType>::Native>;

    /// The value at an end of what ClickHouse's type holds, for types that can be clamped.
    fn limit(&self, _end: End) -> Option<<Self::Arrow as ArrowPrimitiveType>::Native> {
        None
    }

    /// A negative number as the unsigned one of the same bits.
    fn wrapped(&self, _negative: i64) -> Option<<Self::Arrow as ArrowPrimitiveType>::Native> {
        None
    }

    /// Takes a value that needs no reading; none: it is to be read from JSON.
    fn plain(&mut self, _value: Plain<'_>, _wire: &Wire) -> Read<Option<Native<Self>>>
    where
        Self: Sized,
    {
        Ok(None)
    }
}

/// The native value of a cell.
pub(super) type Native<C> = <<C as Cell>::Arrow as ArrowPrimitiveType>::Native;

/// A column of such values.
#[derive(Debug)]
pub(super) struct Primitive<C: Cell> {
    cell: C,
    data_type: DataType,
    values: Vec<<C::Arrow as ArrowPrimitiveType>::Native>,
    nulls: NullBufferBuilder,
}

impl<C: Cell> Primitive<C> {
    /// Of the declared type, which is one of the cell's.
    pub(super) fn new(cell: C, data_type: &DataType) -> Self {
        Self { cell, data_type: data_type.clone(), values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<C: Cell> Column for Primitive<C> {
    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn held(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()> {
        let value = self.cell.read(value, wire)?;
        self.values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    fn read_plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<bool> {
        let Some(value) = self.cell.plain(value, wire)? else { return Ok(false) };
        self.values.push(value);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn push_null(&mut self) {
        self.values.push(Default::default());
        self.nulls.append_null();
    }

    fn push_zero(&mut self) {
        self.values.push(Default::default());
        self.nulls.append_non_null();
    }

    fn push_limit(&mut self, end: End) -> bool {
        let limit = self.cell.limit(end);
        if let Some(limit) = limit {
            self.values.push(limit);
            self.nulls.append_non_null();
        }
        limit.is_some()
    }

    fn push_wrapped(&mut self, negative: i64) -> bool {
        let wrapped = self.cell.wrapped(negative);
        if let Some(wrapped) = wrapped {
            self.values.push(wrapped);
            self.nulls.append_non_null();
        }
        wrapped.is_some()
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        let array = PrimitiveArray::<C::Arrow>::new(values.into(), self.nulls.finish());
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}
