//! Output: rows of tables, and which input row each was made from.

use crate::builder::Bits;
use crate::description::Output;
use crate::row::Builders;
use crate::{Host, RowsFrom};

/// A row of an output table: a struct whose fields are columns. Derived.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row of a table",
    note = "put #[derive(Table)] on the struct; a function gives back a row, an Option, a Vec or an array of rows, or a tuple of these"
)]
pub trait Table {
    /// `Self` for the lifetime of a batch.
    type Of<'a>: Table<Builders = Self::Builders>;
    /// The builders of its columns: a struct of the same field names, called `<Name>Builders`.
    type Builders: Builders;
    /// The table.
    fn describe() -> Output;
    /// Writes the row.
    fn write(self, builders: &mut Self::Builders);
}

/// What a row function gives back, and which tables that is: a row of a table, an `Option`, `Vec` or array of them, or
/// a tuple with one of these for each table.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a transform can give back",
    note = "it is a struct with #[derive(Table)], an Option, a Vec or an array of one, or a tuple of up to six of these"
)]
pub trait Outputs {
    /// `Self` for the lifetime of a batch.
    type Of<'a>: Outputs<Writers = Self::Writers>;
    /// A [`Writer`] for each table.
    type Writers;
    /// Adds the tables, in order.
    fn describe(outputs: &mut Vec<Output>);
    /// Empty writers for a batch of so many rows.
    fn writers(rows: usize) -> Self::Writers;
    /// No row at all?
    fn is_none(&self) -> bool;
    /// Writes what was made from an input row.
    fn write(self, row: usize, writers: &mut Self::Writers);
    /// Hands everything to the host; `output` is the index of the first table and is advanced.
    ///
    /// # Errors
    /// The columns of a table have different numbers of rows (batch style alone can bring that about).
    fn emit(writers: &Self::Writers, output: &mut u32, host: &mut dyn Host) -> Result<(), String>;
}

impl<T: Table> Outputs for T {
    type Of<'a> = T::Of<'a>;
    type Writers = Writer<T::Builders>;

    fn describe(outputs: &mut Vec<Output>) {
        outputs.push(T::describe());
    }
    fn writers(rows: usize) -> Self::Writers {
        Writer::new(rows)
    }
    #[inline(always)]
    fn is_none(&self) -> bool {
        false
    }
    #[inline(always)]
    fn write(self, row: usize, writers: &mut Self::Writers) {
        writers.push(row, self);
    }
    fn emit(writers: &Self::Writers, output: &mut u32, host: &mut dyn Host) -> Result<(), String> {
        writers.emit(*output, host)?;
        *output += 1;
        Ok(())
    }
}

/// Several rows of one table, or none.
macro_rules! repeated {
    ($([$($generics:tt)*] $container:ty => $of:ty, $is_none:expr;)*) => {$(
        impl<T: Table, $($generics)*> Outputs for $container {
            type Of<'a> = $of;
            type Writers = Writer<T::Builders>;

            fn describe(outputs: &mut Vec<Output>) {
                outputs.push(T::describe());
            }
            fn writers(rows: usize) -> Self::Writers {
                Writer::new(rows)
            }
            #[inline(always)]
            fn is_none(&self) -> bool {
                let is_none: fn(&Self) -> bool = $is_none;
                is_none(self)
            }
            #[inline(always)]
            fn write(self, row: usize, writers: &mut Self::Writers) {
                self.into_iter().for_each(|output| writers.push(row, output));
            }
            fn emit(writers: &Self::Writers, output: &mut u32, host: &mut dyn Host) -> Result<(), String> {
                <T as Outputs>::emit(writers, output, host)
            }
        }
    )*};
}
repeated! {
    [] Option<T> => Option<T::Of<'a>>, Option::is_none;
    [] Vec<T> => Vec<T::Of<'a>>, Vec::is_empty;
    [const N: usize] [T; N] => [T::Of<'a>; N], |_| N == 0;
}

/// Several tables.
macro_rules! tuple {
    ($($part:ident $index:tt),*) => {
        impl<$($part: Outputs),*> Outputs for ($($part,)*) {
            type Of<'a> = ($($part::Of<'a>,)*);
            type Writers = ($($part::Writers,)*);

            fn describe(outputs: &mut Vec<Output>) {
                $($part::describe(outputs);)*
            }
            fn writers(rows: usize) -> Self::Writers {
                ($($part::writers(rows),)*)
            }
            #[inline(always)]
            fn is_none(&self) -> bool {
                $(self.$index.is_none())&&*
            }
            #[inline(always)]
            fn write(self, row: usize, writers: &mut Self::Writers) {
                $(self.$index.write(row, &mut writers.$index);)*
            }
            fn emit(writers: &Self::Writers, output: &mut u32, host: &mut dyn Host) -> Result<(), String> {
                $($part::emit(&writers.$index, output, host)?;)*
                Ok(())
            }
        }
    };
}
/// No table.
impl Outputs for () {
    type Of<'a> = ();
    type Writers = ();

    fn describe(_outputs: &mut Vec<Output>) {}
    fn writers(_rows: usize) -> Self::Writers {}
    fn is_none(&self) -> bool {
        true
    }
    fn write(self, _row: usize, (): &mut ()) {}
    fn emit((): &(), _output: &mut u32, _host: &mut dyn Host) -> Result<(), String> {
        Ok(())
    }
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// A row of a `current` table, or the end of one: whatever happened to the input row, [`Self::Put`] writes the row of its
/// sort key, and [`Self::Delete`] hides it, of which only the columns of the sort key matter.
///
/// ```
/// use plugin_sdk::{Ctx, Reject, Row, Table, Upsert};
///
/// #[derive(Clone, Copy, Row)]
/// pub struct Reading { sensor: i64, celsius: Option<f64> }
///
/// #[derive(Table)]
/// #[table(name = "newest_readings", kind = "current", sort_key = ["sensor"])]
/// pub struct Newest { sensor: i64, celsius: f64 }
///
/// fn newest(reading: Reading, _: &Ctx) -> Result<Upsert<Newest>, Reject> {
///     let row = Newest { sensor: reading.sensor, celsius: reading.celsius.unwrap_or_default() };
///     Ok(if reading.celsius.is_some() { Upsert::Put(row) } else { Upsert::Delete(row) })
/// }
///
/// plugin_sdk::export! { plugin: NewestReadings, input: Reading, output: Upsert<Newest>, row: newest }
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsert<T> {
    /// The row of its sort key is this one.
    Put(T),
    /// There is no row of this sort key.
    Delete(T),
}

impl<T: Table> Table for Upsert<T> {
    type Of<'a> = Upsert<T::Of<'a>>;
    type Builders = UpsertBuilders<T::Builders>;

    fn describe() -> Output {
        T::describe()
    }
    #[inline(always)]
    fn write(self, builders: &mut Self::Builders) {
        let (row, delete) = match self {
            Self::Put(row) => (row, false),
            Self::Delete(row) => (row, true),
        };
        builders.deletes.push(delete);
        row.write(&mut builders.columns);
    }
}

/// Builders of a table whose rows may delete.
#[derive(Debug)]
pub struct UpsertBuilders<B> {
    /// The columns.
    pub columns: B,
    /// Whether each row deletes.
    pub deletes: Bits,
}

impl<B: Builders> Builders for UpsertBuilders<B> {
    fn with_capacity(rows: usize) -> Self {
        Self { columns: B::with_capacity(rows), deletes: Bits::default() }
    }
    fn buffers<'b>(&'b self, buffers: &mut Vec<&'b [u8]>) {
        self.columns.buffers(buffers);
    }
    fn deletes(&self) -> &[u8] {
        self.deletes.as_bytes()
    }
    fn odd_column(&self, rows: usize) -> Option<(&'static str, usize)> {
        let deletes = (self.deletes.len() != rows).then_some(("deletes", self.deletes.len()));
        self.columns.odd_column(rows).or(deletes)
    }
    fn push_zero(&mut self) {
        self.deletes.push(false);
        self.columns.push_zero();
    }
}

/// Writes one table during one batch.
#[derive(Debug)]
pub struct Writer<B> {
    /// The columns that the plugin makes. Batch style fills them by itself and then says with [`Self::set_origin`]
    /// which input rows they were made from; [`Self::push`] does both for one row.
    pub columns: B,
    origin: Origin,
}

impl<B: Builders> Writer<B> {
    pub(crate) fn new(rows: usize) -> Self {
        Self { columns: B::with_capacity(rows), origin: Origin::new(rows) }
    }

    /// Writes a row of the table that was made from an input row. Panics if the batch has no such row.
    #[inline(always)]
    pub fn push<T: Table<Builders = B>>(&mut self, row: usize, output: T) {
        self.origin.push(row);
        output.write(&mut self.columns);
    }

    /// Says which input rows all rows of the table were made from.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    fn emit(&self, output: u32, host: &mut dyn Host) -> Result<(), String> {
        let rows = self.origin.len();
        if let Some((column, written)) = self.columns.odd_column(rows) {
            return Err(format!("output {output}: column `{column}` has {written} rows where {rows} were emitted"));
        }
        if rows == 0 {
            return Ok(());
        }
        let mut buffers = Vec::new();
        self.columns.buffers(&mut buffers);
        let deletes = self.columns.deletes();
        match &self.origin.state {
            State::First(rows) if *rows == self.origin.rows => host.emit(output, RowsFrom::All, deletes, &buffers),
            State::First(rows) => {
                let bits = first(*rows, self.origin.rows);
                host.emit(output, RowsFrom::Selected(bits.as_bytes()), deletes, &buffers);
            }
            State::Selected { bits, .. } => host.emit(output, RowsFrom::Selected(bits.as_bytes()), deletes, &buffers),
            State::Taken(indices) => host.emit(output, RowsFrom::Taken(indices), deletes, &buffers),
        }
        Ok(())
    }
}

/// Which input row each output row was made from. Begins as the cheapest form and goes over to the next one when a row
/// does not fit in: all → selected → taken.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Rows of the batch.
    rows: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// The first so many rows, in order.
    First(usize),
    /// The rows whose bit is set, in order; the last of them, and how many.
    Selected { bits: Bits, last: usize, count: usize },
    /// These rows.
    Taken(Vec<u32>),
}

impl Origin {
    fn new(rows: usize) -> Self {
        Self { rows, state: State::First(0) }
    }

    /// Every row of a batch of so many, in order.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        Self { rows, state: State::First(rows) }
    }

    /// The rows whose bit is set, in order. As many bits as the batch has rows.
    #[must_use]
    pub fn selected(bits: Bits) -> Self {
        let (rows, count) = (bits.len(), bits.count_ones());
        // Only `push` asks for the last row; behind this it could only add rows out of order.
        Self { rows, state: State::Selected { bits, last: rows, count } }
    }

    /// These rows of a batch of so many.
    #[must_use]
    pub fn taken(rows: usize, indices: Vec<u32>) -> Self {
        Self { rows, state: State::Taken(indices) }
    }

    /// Output rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.state {
            State::First(count) | State::Selected { count, .. } => *count,
            State::Taken(indices) => indices.len(),
        }
    }

    /// No output row?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn push(&mut self, row: usize) {
        match &mut self.state {
            State::First(count) if *count == row => *count += 1,
            State::Selected { bits, last, count } if row > *last => {
                bits.set(row);
                (*last, *count) = (row, *count + 1);
            }
            State::First(_) | State::Selected { .. } | State::Taken(_) => self.push_slow(row),
        }
    }

    /// A row that the present form cannot hold.
    #[cold]
    fn push_slow(&mut self, row: usize) {
        match &mut self.state {
            State::First(count) if row > *count => {
                let mut bits = first(*count, self.rows);
                bits.set(row);
                self.state = State::Selected { bits, last: row, count: *count + 1 };
            }
            State::First(count) => {
                let indices = (0..*count).chain([row]).map(index).collect();
                self.state = State::Taken(indices);
            }
            State::Selected { bits, .. } => {
                let indices = (0..bits.len()).filter(|row| bits.get(*row)).chain([row]).map(index).collect();
                self.state = State::Taken(indices);
            }
            State::Taken(indices) => indices.push(index(row)),
        }
    }
}

fn index(row: usize) -> u32 {
    u32::try_from(row).expect("the contract counts the rows of a batch in 32 bits")
}

fn first(count: usize, rows: usize) -> Bits {
    let mut bits = Bits::ones(count);
    for _ in count..rows {
        bits.push(false);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes rows and reads back which they were.
    fn pushed(rows: usize, from: &[usize]) -> (&'static str, Vec<usize>) {
        let mut origin = Origin::new(rows);
        for row in from {
            origin.push(*row);
        }
        assert_eq!(origin.len(), from.len());
        match origin.state {
            State::First(count) => ("first", (0..count).collect()),
            State::Selected { bits, .. } => {
                assert_eq!(bits.len(), rows);
                ("selected", (0..rows).filter(|row| bits.get(*row)).collect())
            }
            State::Taken(indices) => ("taken", indices.iter().map(|row| *row as usize).collect()),
        }
    }

    #[test]
    fn the_origin_takes_the_cheapest_form_that_holds_it() {
        for (form, from) in [
            ("first", vec![]),
            ("first", vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ("first", vec![0, 1, 2]),
            ("selected", vec![1]),
            ("selected", vec![0, 1, 9]),
            ("selected", vec![0, 2, 8]),
            ("taken", vec![0, 0]),
            ("taken", vec![0, 1, 1, 2]),
            ("taken", vec![3, 3, 4]),
            ("taken", vec![0, 2, 1]),
        ] {
            assert_eq!(pushed(10, &from), (form, from));
        }
    }

    #[test]
    fn a_batch_of_any_length_keeps_its_bitmap_within_bounds() {
        for rows in 1..40 {
            let from: Vec<_> = (0..rows).filter(|row| row % 3 != 1).collect();
            assert_eq!(pushed(rows, &from).1, from);
        }
    }
}
