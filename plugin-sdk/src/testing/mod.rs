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
//! answer.assert_table("names", "
//!     name
//!     Ada
//! ");
//! assert_eq!(answer.rejects(), [(1, "empty")]);
//! ```
//!
//! With the feature `testing` messages are fed as well, bytes as Debezium wrote them, through the engine's own decoder:
//! `Message`, `recording`, `Harness::run_messages`; and `run_cases` runs the case folders of `engine plugin test`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::builder::Builder;
use crate::column::WriteColumn;
use crate::description::{InputColumn, Output, OutputColumn};
use crate::list::{List, Map};
use crate::view::{Buffers, View, bit};
use crate::{Builders, Description, Host, Plugin, RawBatch, ReadColumn, Row, RowsFrom};

mod answer;
#[cfg(feature = "testing")]
mod cases;
mod cells;
#[cfg(feature = "testing")]
mod decoding;
mod grid;
#[cfg(feature = "testing")]
mod messages;
mod native;

pub use answer::{Answer, Rejected, TableRow};
#[cfg(feature = "testing")]
pub use cases::run_cases;
#[cfg(feature = "testing")]
pub use messages::{Message, recording};
pub use native::NativeBatch;

use cells::{Cells, cells};

/// Runs a plugin as a host would, in the test's own process. What the plugin gives back is checked against the
/// contract; what breaks it panics, as a failed assertion does.
#[derive(Debug)]
pub struct Harness<P> {
    description: Description,
    parameters: BTreeMap<String, String>,
    now_ms: i64,
    passed: BTreeMap<Cow<'static, str>, Cells>,
    #[cfg(feature = "testing")]
    tombstone: Option<debezium_decode::input::Tombstone>,
    #[cfg(feature = "testing")]
    decimals: Option<debezium_decode::input::Decimals>,
    plugin: std::marker::PhantomData<P>,
}

impl<P: Plugin> Default for Harness<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Harness<P> {
    /// A host for the plugin, with the defaults of its parameters, at 2025-01-01T00:00:00Z.
    ///
    /// # Panics
    /// The plugin's types contradict each other.
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
            #[cfg(feature = "testing")]
            tombstone: None,
            #[cfg(feature = "testing")]
            decimals: None,
            plugin: std::marker::PhantomData,
        }
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Sets a parameter, as `plugin.toml` does.
    ///
    /// # Panics
    /// The plugin has no such parameter.
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
    /// is not given is null in every row. Columns that are no fields of the row have their kind in front of the name:
    /// `before.plan`, `header.trace-id`, `change.offset`.
    ///
    /// # Panics
    /// The plugin passes on no such column, or one of another type.
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
    #[track_caller]
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

        let mut columns = Vec::new();
        R::describe(&mut columns);
        let crossing = || self.description.input.iter().filter(|input| input.crosses);
        let same = columns.len() == crossing().count()
            && columns.iter().zip(crossing()).all(|(column, input)| column.column == input.column);
        assert!(same, "the plugin reads other columns than these rows have");
        let stays = |input: &InputColumn| {
            let cells = self.passed.get(&input.column.name).cloned().unwrap_or_else(|| vec![None; rows]);
            assert_eq!(cells.len(), rows, "values of passed column `{}`", input.column.name);
            cells
        };
        self.process(&Fed { rows, buffers: &buffers, indices: &(0..rows).collect::<Vec<_>>() }, stays)
    }

    /// Runs the plugin over the columns of one batch; `stays` has those that do not cross, as text.
    fn process(&self, fed: &Fed<'_>, stays: impl Fn(&InputColumn) -> Cells) -> Result<Answer, String> {
        let mut read = Buffers::new(fed.rows, fed.buffers);
        let input = self.description.input.iter().map(|input| {
            let cells = if input.crosses {
                cells(&input.column, &mut read).unwrap_or_else(|mismatch| panic!("{}: {mismatch}", input.column.name))
            } else {
                stays(input)
            };
            (input.column.name.clone(), cells)
        });
        let input = input.collect();
        let mut host = TestHost { description: &self.description, fed, input, tables: self.empty_answer().tables };
        let process = P::start(&self.parameter_values()?, self.now_ms)?;
        let rejected = process(&RawBatch::new(fed.rows, fed.buffers), &mut host)?;
        let tables = host.tables;
        let rejected = rejected.into_iter().map(|rejected| Rejected {
            index: *fed.indices.get(rejected.row).expect("a row was rejected that the batch does not have"),
            stage: "transform",
            code: rejected.reject.code.into_owned(),
            column: None,
            reason: rejected.reject.reason.into_owned(),
        });
        Ok(Answer { tables, rejected: rejected.collect(), ..self.empty_answer() })
    }

    fn empty_answer(&self) -> Answer {
        let tables = self.description.outputs.iter().map(|output| (output.table, Vec::new())).collect();
        Answer {
            tables,
            rejected: Vec::new(),
            ignored: Vec::new(),
            #[cfg(feature = "testing")]
            ops: BTreeMap::new(),
        }
    }

    fn parameter_values(&self) -> Result<Vec<String>, String> {
        let value = |name: &str| self.parameters.get(name).cloned().ok_or(format!("parameter `{name}` is not set"));
        self.description.parameters.iter().map(|parameter| value(parameter.name)).collect()
    }
}

/// A list for an input row of a test: `Article { tags: list(["a", "b"]) }`.
///
/// Rows hold ranges of a batch's elements; these are kept for ever, which a test can afford.
pub fn list<'a, T: ReadColumn + WriteColumn>(elements: impl IntoIterator<Item = T>) -> List<'a, T>
where
    List<'a, T>: ReadColumn<View<'a>: View<'a, Item = List<'a, T>>>,
{
    let mut builder = crate::list::ListBuilder::<T::Builder>::with_capacity(0);
    builder.push(elements);
    only_row::<List<'a, T>>(&builder)
}

/// A map for an input row of a test: `Article { counts: map([("a", 1)]) }`. See [`list`].
pub fn map<'a, K: ReadColumn + WriteColumn, V: ReadColumn + WriteColumn>(
    entries: impl IntoIterator<Item = (K, V)>,
) -> Map<'a, K, V>
where
    Map<'a, K, V>: ReadColumn<View<'a>: View<'a, Item = Map<'a, K, V>>>,
{
    let mut builder = crate::list::MapBuilder::<K::Builder, V::Builder>::with_capacity(0);
    builder.push(entries);
    only_row::<Map<'a, K, V>>(&builder)
}

fn only_row<'a, T: ReadColumn<View<'a>: View<'a, Item = T>>>(builder: &impl Builder) -> T {
    let mut buffers = Vec::new();
    builder.buffers(&mut buffers);
    let kept: Vec<&'static [u8]> = buffers.into_iter().map(aligned).collect();
    let mut buffers = Buffers::new(1, Vec::leak(kept));
    T::View::bind(&mut buffers).expect("the builder is of this type").get(0)
}

/// A copy as aligned as the host's lists are, kept for ever.
fn aligned(bytes: &[u8]) -> &'static [u8] {
    let words = Vec::leak(vec![0_u64; bytes.len().div_ceil(8)]);
    // SAFETY: bytes of initialised words that nothing else refers to.
    let copy = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), bytes.len()) };
    copy.copy_from_slice(bytes);
    copy
}

/// The rows of a batch, and which of those fed they are.
struct Fed<'a> {
    rows: usize,
    buffers: &'a [&'a [u8]],
    indices: &'a [usize],
}

struct TestHost<'a> {
    description: &'a Description,
    fed: &'a Fed<'a>,
    input: BTreeMap<Cow<'static, str>, Cells>,
    tables: Vec<(&'static str, Vec<TableRow>)>,
}

impl Host for TestHost<'_> {
    fn emit(&mut self, index: u32, from: RowsFrom<'_>, buffers: &[&[u8]]) {
        let output = self.description.outputs.get(index as usize).expect("an output of the description");
        let from = self.rows(from);
        let mut buffers = Buffers::new(from.len(), buffers);
        let columns: Vec<_> =
            output.columns.iter().map(|column| self.column(output, column, &from, &mut buffers)).collect();
        buffers.finish().unwrap_or_else(|mismatch| panic!("table `{}`: {mismatch}", output.table));
        let row = |(index, from): (usize, &usize)| TableRow {
            from: self.fed.indices[*from],
            columns: columns.iter().map(|(name, cells)| (name.clone(), cells[index].clone())).collect(),
        };
        let rows: Vec<_> = from.iter().enumerate().map(row).collect();
        self.tables[index as usize].1.extend(rows);
    }
}

impl TestHost<'_> {
    fn column(
        &self,
        output: &Output,
        column: &OutputColumn,
        from: &[usize],
        buffers: &mut Buffers<'_>,
    ) -> (String, Cells) {
        let name = &column.column.name;
        let cells = match column.passed_from {
            Some(source) => from.iter().map(|row| self.input[&source.column_name()][*row].clone()).collect(),
            None => cells(&column.column, buffers)
                .unwrap_or_else(|mismatch| panic!("table `{}`, column `{name}`: {mismatch}", output.table)),
        };
        (name.to_string(), cells)
    }

    fn rows(&self, from: RowsFrom<'_>) -> Vec<usize> {
        let rows = self.fed.rows;
        match from {
            RowsFrom::All => (0..rows).collect(),
            RowsFrom::Selected(bits) => {
                assert_eq!(bits.len(), rows.div_ceil(8), "bytes of the bitmap of selected rows");
                (0..rows).filter(|row| bit(bits, *row)).collect()
            }
            RowsFrom::Taken(indices) => {
                assert!(indices.iter().all(|row| (*row as usize) < rows), "a row that the batch does not have");
                indices.iter().map(|row| *row as usize).collect()
            }
        }
    }
}
