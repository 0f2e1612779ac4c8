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
use crate::description::{InputColumn, Output, OutputColumn, TableKind};
use crate::list::{List, Map};
use crate::state::{Cells as Bytes, Found};
use crate::view::{Buffers, View, bit};
use crate::{Description, Host, Plugin, ReadColumn, Row, RowsFrom};

mod answer;
#[cfg(feature = "testing")]
mod cases;
mod cells;
#[cfg(feature = "testing")]
mod decoding;
mod grid;
mod lane;
#[cfg(feature = "testing")]
mod messages;
mod native;
mod state;

pub use answer::{Answer, Rejected, TableRow};
#[cfg(feature = "testing")]
pub use cases::run_cases;
pub use lane::Lane;
#[cfg(feature = "testing")]
pub use messages::{Message, recording};
pub use native::NativeBatch;

use cells::{Cells, cells};
use lane::Running;
use state::TestState;

/// Runs a plugin as a host would, in the test's own process. What the plugin gives back is checked against the
/// contract; what breaks it panics, as a failed assertion does.
#[derive(Debug)]
pub struct Harness<P> {
    description: Description,
    parameters: BTreeMap<String, String>,
    now_ms: i64,
    batch_rows: usize,
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
            batch_rows: usize::MAX,
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

    /// Sets the epochs' clock, in ms since 1970-01-01 UTC. Event times beyond it count as the clock.
    #[must_use]
    pub fn now_ms(mut self, now_ms: i64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Gives the plugin at most so many rows in one call, as the engine does with large epochs. If nothing is said, all.
    ///
    /// # Panics
    /// It is zero.
    #[must_use]
    pub fn batch_rows(mut self, batch_rows: usize) -> Self {
        assert!(batch_rows > 0, "a call without rows brings nothing forward");
        self.batch_rows = batch_rows;
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

    /// Runs the plugin over one batch, in a fresh instance, without state. For more than one epoch see [`Self::lane`].
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
        self.lane().try_run(rows)
    }

    fn check_rows<R: Row>(&self) {
        let mut columns = Vec::new();
        R::describe(&mut columns);
        let crossing = || self.description.input.iter().filter(|input| input.crosses);
        let same = columns.len() == crossing().count()
            && columns.iter().zip(crossing()).all(|(column, input)| column.column == input.column);
        assert!(same, "the plugin reads other columns than these rows have");
    }

    /// A column that stays in the host, of some rows of those fed; null where nothing was said of it.
    fn passed_cells(&self, input: &InputColumn, first: usize, rows: usize, last: bool) -> Cells {
        let Some(cells) = self.passed.get(&input.column.name) else { return vec![None; rows] };
        let enough = if last { cells.len() == first + rows } else { cells.len() >= first + rows };
        assert!(enough, "{} values of passed column `{}`", cells.len(), input.column.name);
        cells[first..first + rows].to_vec()
    }

    /// Runs the plugin over the columns of one batch; `stays` has those that do not cross, as text.
    fn call(
        &self,
        epoch: &mut Running,
        state: &mut TestState,
        counts: &mut BTreeMap<String, u64>,
        fed: &Fed<'_>,
        stays: impl Fn(&InputColumn) -> Cells,
    ) -> Result<(), String> {
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
        let mut answer = self.empty_answer();
        let description = &self.description;
        let answer_of = &mut answer;
        let mut host = TestHost { description, fed, input, answer: answer_of, state, counts, greatest: None };
        let rejected = epoch.process(fed, &mut host)?;
        epoch.greatest = epoch.greatest.max(host.greatest);
        let rejected = rejected.into_iter().map(|rejected| Rejected {
            index: *fed.indices.get(rejected.row).expect("a row was rejected that the batch does not have"),
            stage: "transform",
            code: rejected.reject.code.into_owned(),
            column: None,
            reason: rejected.reject.reason.into_owned(),
        });
        answer.rejected.extend(rejected);
        epoch.answer.add(answer);
        Ok(())
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

/// Plays the host of a call.
struct TestHost<'a> {
    description: &'a Description,
    fed: &'a Fed<'a>,
    input: BTreeMap<Cow<'static, str>, Cells>,
    answer: &'a mut Answer,
    state: &'a mut TestState,
    counts: &'a mut BTreeMap<String, u64>,
    greatest: Option<i64>,
}

impl Host for TestHost<'_> {
    fn emit(&mut self, index: u32, from: RowsFrom<'_>, deletes: &[u8], buffers: &[&[u8]]) {
        let output = self.description.outputs.get(index as usize).expect("an output of the description");
        let from = self.rows(from);
        let mut buffers = Buffers::new(from.len(), buffers);
        let columns: Vec<_> =
            output.columns.iter().map(|column| self.column(output, column, &from, &mut buffers)).collect();
        buffers.finish().unwrap_or_else(|mismatch| panic!("table `{}`: {mismatch}", output.table));
        let bits = if deletes.is_empty() { 0 } else { from.len().div_ceil(8) };
        assert_eq!(deletes.len(), bits, "table `{}`: bytes of the bitmap of deletes", output.table);
        assert!(
            deletes.is_empty() || output.kind == TableKind::Current,
            "table `{}` is to be of kind \"current\": its rows delete",
            output.table
        );
        let row = |(index, from): (usize, &Option<usize>)| TableRow {
            from: from.map(|from| self.fed.indices[from]),
            deletes: (!deletes.is_empty()).then(|| bit(deletes, index)),
            columns: columns.iter().map(|(name, cells)| (name.clone(), cells[index].clone())).collect(),
        };
        let rows: Vec<_> = from.iter().enumerate().map(row).collect();
        self.answer.tables[index as usize].1.extend(rows);
    }

    fn event_time(&mut self, greatest_ms: i64) {
        assert!(self.description.event_time.is_some(), "event times of a plugin that describes none");
        self.greatest = self.greatest.max(Some(greatest_ms));
    }

    fn count(&mut self, name: &str, by: u64) {
        *self.counts.entry(name.to_owned()).or_insert(0) += by;
        assert!(self.counts.len() <= 64, "more than 64 counters, among them `{name}`");
    }

    fn get_many(&mut self, table: u32, keys: Bytes<'_>) -> Found {
        self.state.get_many(table, keys)
    }

    fn put_many(&mut self, table: u32, keys: Bytes<'_>, values: Bytes<'_>, expiries: &[i64]) {
        self.state.put_many(table, keys, values, expiries);
    }

    fn delete_many(&mut self, table: u32, keys: Bytes<'_>) {
        self.state.delete_many(table, keys);
    }

    fn insert_if_absent_many(&mut self, table: u32, keys: Bytes<'_>, expiries: &[i64]) -> Vec<u8> {
        self.state.insert_if_absent_many(table, keys, expiries)
    }
}

impl TestHost<'_> {
    fn column(
        &self,
        output: &Output,
        column: &OutputColumn,
        from: &[Option<usize>],
        buffers: &mut Buffers<'_>,
    ) -> (String, Cells) {
        let name = &column.column.name;
        let cells = match column.passed_from {
            Some(source) => {
                let input = |row: &Option<usize>| {
                    let row = row.unwrap_or_else(|| {
                        panic!("table `{}`: column `{name}` is a Pass, but a row is made of no message", output.table)
                    });
                    self.input[&source.column_name()][row].clone()
                };
                from.iter().map(input).collect()
            }
            None => cells(&column.column, buffers)
                .unwrap_or_else(|mismatch| panic!("table `{}`, column `{name}`: {mismatch}", output.table)),
        };
        (name.to_string(), cells)
    }

    fn rows(&self, from: RowsFrom<'_>) -> Vec<Option<usize>> {
        let rows = self.fed.rows;
        match from {
            RowsFrom::All => (0..rows).map(Some).collect(),
            RowsFrom::Selected(bits) => {
                assert_eq!(bits.len(), rows.div_ceil(8), "bytes of the bitmap of selected rows");
                (0..rows).filter(|row| bit(bits, *row)).map(Some).collect()
            }
            RowsFrom::Taken(indices) => {
                assert!(indices.iter().all(|row| (*row as usize) < rows), "a row that the batch does not have");
                indices.iter().map(|row| Some(*row as usize)).collect()
            }
            RowsFrom::None(count) => vec![None; count as usize],
        }
    }
}
