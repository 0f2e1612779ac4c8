//! Native tests of a plugin: a [`Harness`] plays host.
//!
//! ```
//! # use plugin_sdk::{Ctx, Reject, Row, Table};
//! # #[derive(Row)] struct In<'a> { name: &'a str }
//! # #[derive(Table)] #[table(name = "names", kind = "append")] struct Out<'a> { name: &'a str }
//! # fn clean<'a>(row: In<'a>, _: &Ctx) -> Result<Out<'a>, Reject> {
//! #     if row.name.is_empty() { Err(Reject::new("empty", "no name")) } else { Ok(Out { name: row.name.trim() }) }
//! # }
//! # plugin_sdk::export! { plugin: Names, input: In, output: Out, row: clean }
//! use plugin_sdk::testing::Harness;
//!
//! let answer = Harness::<Names>::new().run([In { name: " Ada " }, In { name: "" }]);
//! assert_eq!(answer.table("names"), ["name=Ada"]);
//! assert_eq!(answer.rejects(), [(1, "empty")]);
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::builder::Builder;
use crate::column::{Json, WriteColumn};
use crate::decimal::scaled_text;
use crate::description::{Column, DataType, Output, TimeUnit};
use crate::plugin::Process;
use crate::view::{Buffers, Mismatch, Nullable, Values, View, bit};
use crate::{
    Builders, Date, Decimal, Decimal256, Description, Host, Micros, Millis, Nanos, Plugin, RawBatch, ReadColumn,
    RejectedRow, Row, RowsFrom, Seconds, Time, Timestamp, Utc, Uuid, Wall,
};

/// Runs a plugin as a host would, in the test's own process. What the plugin gives back is checked against the
/// contract; what breaks it panics, as a failed assertion does.
#[derive(Debug)]
pub struct Harness<P> {
    description: Description,
    parameters: BTreeMap<String, String>,
    now_ms: i64,
    passed: BTreeMap<&'static str, Cells>,
    plugin: std::marker::PhantomData<P>,
}

/// A column's values as text; `None` is null.
type Cells = Vec<Option<String>>;

impl<P: Plugin> Default for Harness<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Harness<P> {
    /// A host for the plugin, with the defaults of its parameters, at 2025-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        let description = P::description().unwrap_or_else(|contradiction| panic!("{contradiction}"));
        let defaults = description.parameters.iter();
        let parameters = defaults.filter_map(|it| Some((it.name.to_owned(), it.default?.to_owned()))).collect();
        Self {
            description,
            parameters,
            now_ms: 1_735_689_600_000,
            passed: BTreeMap::new(),
            plugin: std::marker::PhantomData,
        }
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Sets a parameter, as `plugin.toml` does.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        assert!(self.description.parameters.iter().any(|it| it.name == name), "the plugin has no parameter `{name}`");
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Sets the epoch's clock, in ms since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ms(mut self, now_ms: i64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Gives an input column that the plugin only passes on: the values of all rows of the next batches. A column that
    /// is not given is null in every row.
    #[must_use]
    pub fn passed<T: WriteColumn>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let input = self.description.input.iter().find(|input| input.column.name == name && !input.crosses);
        let column =
            input.unwrap_or_else(|| panic!("the plugin passes no input column `{name}` on unread")).column.clone();
        assert_eq!((T::TYPE, T::NULLABLE), (column.data_type, column.nullable), "type of input column `{name}`");
        let mut builder = T::Builder::with_capacity(0);
        values.into_iter().for_each(|value| value.write(&mut builder));
        let mut buffers = Vec::new();
        builder.buffers(&mut buffers);
        let cells = cells(&column, &mut Buffers::new(builder.len(), &buffers)).expect("the builder is of this type");
        self.passed.insert(column.name, cells);
        self
    }

    /// Runs the plugin over one batch, in a fresh instance.
    ///
    /// # Panics
    /// Where [`Self::try_run`] fails, or the plugin breaks the contract.
    pub fn run<R: Row>(&self, rows: impl IntoIterator<Item = R>) -> Answer {
        self.try_run(rows).unwrap_or_else(|failure| panic!("the plugin failed: {failure}"))
    }

    /// Runs the plugin over one batch, in a fresh instance.
    ///
    /// # Errors
    /// The plugin's own, of its start or of the batch.
    ///
    /// # Panics
    /// The rows are not the plugin's input, or the plugin breaks the contract.
    pub fn try_run<R: Row>(&self, rows: impl IntoIterator<Item = R>) -> Result<Answer, String> {
        let mut builders = R::Builders::with_capacity(0);
        let rows = rows.into_iter().map(|row| row.write(&mut builders)).count();
        let mut buffers = Vec::new();
        builders.buffers(&mut buffers);

        let input = self.input::<R>(rows, &buffers);
        let mut host = TestHost { description: &self.description, rows, input, tables: BTreeMap::new() };
        let process = P::start(&self.parameter_values()?, self.now_ms)?;
        let rejected = process(&RawBatch::new(rows, &buffers), &mut host)?;
        assert!(rejected.iter().all(|rejected| rejected.row < rows), "a row was rejected that the batch does not have");
        Ok(Answer { tables: host.tables, rejected })
    }

    fn parameter_values(&self) -> Result<Vec<String>, String> {
        let value = |name: &str| self.parameters.get(name).cloned().ok_or(format!("parameter `{name}` is not set"));
        self.description.parameters.iter().map(|parameter| value(parameter.name)).collect()
    }

    /// All input columns as text, those that stay in the host too.
    fn input<R: Row>(&self, rows: usize, buffers: &[&[u8]]) -> BTreeMap<&'static str, Cells> {
        let mut columns = Vec::new();
        R::describe(&mut columns);
        let crossing = self.description.input.iter().filter(|input| input.crosses).map(|input| &input.column);
        assert!(columns.iter().eq(crossing), "the plugin reads other columns than these rows have");
        let mut buffers = Buffers::new(rows, buffers);
        let read =
            |column: &Column| (column.name, cells(column, &mut buffers).expect("built by the row's own builders"));
        let mut input: BTreeMap<_, _> = columns.iter().map(read).collect();
        for unread in self.description.input.iter().filter(|input| !input.crosses) {
            let cells = self.passed.get(unread.column.name).cloned().unwrap_or_else(|| vec![None; rows]);
            assert_eq!(cells.len(), rows, "values of passed column `{}`", unread.column.name);
            input.insert(unread.column.name, cells);
        }
        input
    }
}

/// A batch of rows as its buffers, for runs without the harness's checks and texts: measurements of a plugin's own
/// time, natively.
pub struct NativeBatch<R: Row> {
    rows: usize,
    builders: R::Builders,
}

impl<R: Row> NativeBatch<R> {
    /// Writes the rows.
    pub fn new(rows: impl IntoIterator<Item = R>) -> Self {
        let mut builders = R::Builders::with_capacity(0);
        let rows = rows.into_iter().map(|row| row.write(&mut builders)).count();
        Self { rows, builders }
    }

    /// Runs a started plugin, whose input these rows must be, over the batch.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn process(&self, process: &Process, host: &mut dyn Host) -> Result<Vec<RejectedRow>, String> {
        let mut buffers = Vec::new();
        self.builders.buffers(&mut buffers);
        process(&RawBatch::new(self.rows, &buffers), host)
    }
}

/// What a plugin made of a batch.
#[derive(Debug)]
pub struct Answer {
    tables: BTreeMap<&'static str, Vec<TableRow>>,
    rejected: Vec<RejectedRow>,
}

impl Answer {
    /// The rows of a table, each as `column=value column=value`; none where nothing was emitted.
    #[must_use]
    pub fn table(&self, name: &str) -> Vec<String> {
        self.rows(name).iter().map(ToString::to_string).collect()
    }

    /// The rows of a table.
    #[must_use]
    pub fn rows(&self, name: &str) -> &[TableRow] {
        self.tables.get(name).map_or(&[], Vec::as_slice)
    }

    /// Rejected rows and their codes.
    #[must_use]
    pub fn rejects(&self) -> Vec<(usize, &str)> {
        self.rejected.iter().map(|rejected| (rejected.row, &*rejected.reject.code)).collect()
    }

    /// Rejected rows with their reasons.
    #[must_use]
    pub fn rejected(&self) -> &[RejectedRow] {
        &self.rejected
    }
}

/// A row of a table: the values as text, dates and decimals as they are written, bytes in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// The input row that it was made from.
    pub from: usize,
    /// Names and values of the columns; `None` is null.
    pub columns: Vec<(&'static str, Option<String>)>,
}

impl TableRow {
    /// The value of a column; `None` is null.
    ///
    /// # Panics
    /// The table has no such column.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let column = self.columns.iter().find(|column| column.0 == name);
        column.unwrap_or_else(|| panic!("the table has no column `{name}`")).1.as_deref()
    }
}

impl fmt::Display for TableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.columns.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", value.as_deref().unwrap_or("null"))?;
        }
        Ok(())
    }
}

struct TestHost<'a> {
    description: &'a Description,
    rows: usize,
    input: BTreeMap<&'static str, Cells>,
    tables: BTreeMap<&'static str, Vec<TableRow>>,
}

impl Host for TestHost<'_> {
    fn emit(&mut self, output: u32, from: RowsFrom<'_>, buffers: &[&[u8]]) {
        let output = self.description.outputs.get(output as usize).expect("an output of the description");
        let from = self.indices(from);
        let mut buffers = Buffers::new(from.len(), buffers);
        let columns: Vec<_> =
            output.columns.iter().map(|column| self.column(output, column, &from, &mut buffers)).collect();
        buffers.finish().unwrap_or_else(|mismatch| panic!("table `{}`: {mismatch}", output.table));
        let row = |(index, from): (usize, &usize)| TableRow {
            from: *from,
            columns: columns.iter().map(|(name, cells)| (*name, cells[index].clone())).collect(),
        };
        self.tables.entry(output.table).or_default().extend(from.iter().enumerate().map(row));
    }
}

impl TestHost<'_> {
    fn column(
        &self,
        output: &Output,
        column: &crate::description::OutputColumn,
        from: &[usize],
        buffers: &mut Buffers<'_>,
    ) -> (&'static str, Cells) {
        let name = column.column.name;
        let values = match column.passed_from {
            Some(input) => from.iter().map(|row| self.input[input][*row].clone()).collect(),
            None => cells(&column.column, buffers)
                .unwrap_or_else(|mismatch| panic!("table `{}`, column `{name}`: {mismatch}", output.table)),
        };
        (name, values)
    }

    fn indices(&self, from: RowsFrom<'_>) -> Vec<usize> {
        match from {
            RowsFrom::All => (0..self.rows).collect(),
            RowsFrom::Selected(bits) => {
                assert_eq!(bits.len(), self.rows.div_ceil(8), "bytes of the bitmap of selected rows");
                (0..self.rows).filter(|row| bit(bits, *row)).collect()
            }
            RowsFrom::Taken(indices) => {
                assert!(indices.iter().all(|row| (*row as usize) < self.rows), "a row that the batch does not have");
                indices.iter().map(|row| *row as usize).collect()
            }
        }
    }
}

/// Reads a column of any type as text.
fn cells(column: &Column, buffers: &mut Buffers<'_>) -> Result<Cells, Mismatch> {
    let nullable = column.nullable;
    match column.data_type {
        DataType::Boolean => read::<bool>(nullable, buffers, |value| value.to_string()),
        DataType::Int8 => read::<i8>(nullable, buffers, |value| value.to_string()),
        DataType::Int16 => read::<i16>(nullable, buffers, |value| value.to_string()),
        DataType::Int32 => read::<i32>(nullable, buffers, |value| value.to_string()),
        DataType::Int64 => read::<i64>(nullable, buffers, |value| value.to_string()),
        DataType::UInt8 => read::<u8>(nullable, buffers, |value| value.to_string()),
        DataType::UInt16 => read::<u16>(nullable, buffers, |value| value.to_string()),
        DataType::UInt32 => read::<u32>(nullable, buffers, |value| value.to_string()),
        DataType::UInt64 => read::<u64>(nullable, buffers, |value| value.to_string()),
        DataType::Float32 => read::<f32>(nullable, buffers, |value| value.to_string()),
        DataType::Float64 => read::<f64>(nullable, buffers, |value| value.to_string()),
        DataType::Utf8 => read::<&str>(nullable, buffers, str::to_owned),
        DataType::Binary => {
            read::<&[u8]>(nullable, buffers, |bytes| bytes.iter().map(|b| format!("{b:02x}")).collect())
        }
        DataType::Json => read::<Json<'_>>(nullable, buffers, |json| json.0.to_owned()),
        DataType::Uuid => read::<Uuid>(nullable, buffers, |value| value.to_string()),
        DataType::Date => read::<Date>(nullable, buffers, |value| value.to_string()),
        DataType::Time(unit) => match unit {
            TimeUnit::Second => read::<Time<Seconds>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Millisecond => read::<Time<Millis>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Microsecond => read::<Time<Micros>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Nanosecond => read::<Time<Nanos>>(nullable, buffers, |value| value.to_string()),
        },
        DataType::Timestamp { unit, utc: true } => timestamps::<Utc>(unit, nullable, buffers),
        DataType::Timestamp { unit, utc: false } => timestamps::<Wall>(unit, nullable, buffers),
        DataType::Decimal { precision: ..=38, scale } => read::<Decimal<38, 0>>(nullable, buffers, |value| {
            scaled_text(value.is_negative(), &value.unscaled().unsigned_abs().to_string(), scale)
        }),
        DataType::Decimal { precision: _, scale } => read::<Decimal256<76, 0>>(nullable, buffers, |value| {
            scaled_text(value.is_negative(), &value.unscaled_text(), scale)
        }),
    }
}

fn timestamps<Z: crate::time::Zone>(
    unit: TimeUnit,
    nullable: bool,
    buffers: &mut Buffers<'_>,
) -> Result<Cells, Mismatch> {
    match unit {
        TimeUnit::Second => read::<Timestamp<Seconds, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Millisecond => read::<Timestamp<Millis, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Microsecond => read::<Timestamp<Micros, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Nanosecond => read::<Timestamp<Nanos, Z>>(nullable, buffers, |value| value.to_string()),
    }
}

fn read<'b, T>(nullable: bool, buffers: &mut Buffers<'b>, text: impl Fn(T::Of<'b>) -> String) -> Result<Cells, Mismatch>
where
    T: ReadColumn,
    T::View<'b>: Values<'b>,
{
    let rows = 0..buffers.rows();
    if nullable {
        let view = Nullable::<T::View<'b>>::bind(buffers)?;
        Ok(rows.map(|row| view.get(row).map(&text)).collect())
    } else {
        let view = T::View::bind(buffers)?;
        Ok(rows.map(|row| Some(text(view.get(row)))).collect())
    }
}
