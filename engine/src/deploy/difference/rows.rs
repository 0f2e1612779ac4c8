//! Rows of two blocks paired and compared, column by column: a column is compared as a whole first, and cell by cell only
//! where it is not the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;

use super::{At, ColumnDifference, Made, RowSample, SAMPLES, Sides, TableDifference, ValueSample, Values, count, cut};
use crate::batch::Block;
use crate::cell;
use crate::offsets::LaneId;
use crate::table::engine_columns;

/// Each table that gets rows of one of them.
pub(super) fn tables(lane: &LaneId, before: &Made, after: &Made) -> BTreeMap<String, TableDifference> {
    let names: BTreeSet<_> = blocks(before).chain(blocks(after)).map(|block| block.table.name.clone()).collect();
    let of = |made, name: &str| blocks(made).find(|block| &*block.table.name == name);
    let compared = names.iter().map(|name| (name.to_string(), compare(lane, of(before, name), of(after, name))));
    compared.collect()
}

/// The blocks of output tables. That of dead letters has a message in each row, not a row of one: the rejects say more.
fn blocks(made: &Made) -> impl Iterator<Item = &Block> {
    made.blocks.iter().filter(|block| block.table.schema.column_with_name("_offset").is_some())
}

fn compare(lane: &LaneId, before: Option<&Block>, after: Option<&Block>) -> TableDifference {
    let rows = |block: Option<&Block>| block.map_or(0, |block| count(block.rows));
    let mut difference =
        TableDifference { rows: Sides { before: rows(before), after: rows(after) }, ..TableDifference::default() };
    if let (Some(before), Some(after)) = (before, after)
        && before.digest == after.digest
        && before.table.schema == after.table.schema
    {
        return difference;
    }
    let (before, after) = (before.map(Rows::of), after.map(Rows::of));
    let pairs = Pairs::of(before.as_ref(), after.as_ref());
    (difference.gone, difference.new) = (count(pairs.gone.len()), count(pairs.new.len()));
    let samples = |rows: Option<&Rows>, which: &[usize]| {
        let sample = |row: &usize| rows.map(|rows| rows.sample(lane, *row));
        which.iter().take(SAMPLES).filter_map(sample).collect::<Vec<_>>()
    };
    difference.samples_gone = samples(before.as_ref(), &pairs.gone);
    difference.samples_new = samples(after.as_ref(), &pairs.new);
    if let (Some(before), Some(after)) = (before, after) {
        compare_columns(lane, &before, &after, &pairs, &mut difference);
    }
    difference
}

/// All rows of a block.
struct Rows {
    batch: RecordBatch,
    /// Column names of the sort key; expressions are left out.
    key: Vec<String>,
}

impl Rows {
    fn of(block: &Block) -> Self {
        let batch = concat_batches(&block.table.schema, &block.batches).expect("all batches have the table's schema");
        let is_column = |name: &&String| block.table.schema.column_with_name(name).is_some();
        Self { batch, key: block.table.sort_key.iter().filter(is_column).cloned().collect() }
    }

    fn offset(&self, row: usize) -> i64 {
        let offsets = self.batch.column_by_name("_offset").expect("tables without were left out");
        offsets.as_primitive::<Int64Type>().value(row)
    }

    /// The columns that are compared.
    fn columns(&self) -> impl Iterator<Item = (&str, &ArrayRef)> {
        let hidden: Vec<_> = engine_columns().into_iter().map(|field| field.name().clone()).collect();
        let schema = self.batch.schema_ref();
        let shown = move |name: &str| {
            matches!(name, "_op" | "_deleted") || name != PLUGIN && !hidden.iter().any(|it| it == name)
        };
        let columns = schema.fields().iter().zip(self.batch.columns());
        columns.map(|(field, column)| (field.name().as_str(), column)).filter(move |(name, _)| shown(name))
    }

    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns().find(|(column, _)| *column == name).map(|(_, values)| values)
    }

    fn values(&self, row: usize) -> Values {
        self.columns().map(|(name, column)| (name.to_owned(), cell::text(column, row))).collect()
    }

    fn sample(&self, lane: &LaneId, row: usize) -> RowSample {
        let cut_value = |(name, value): (String, Option<String>)| (name, value.as_deref().map(cut));
        RowSample { at: At::of(lane, self.offset(row)), row: self.values(row).into_iter().map(cut_value).collect() }
    }

    fn key(&self, row: usize) -> Values {
        let value =
            |name: &String| Some((name.clone(), cell::text(self.batch.column_by_name(name)?, row).as_deref().map(cut)));
        self.key.iter().filter_map(value).collect()
    }

    /// Its rows by offset, in their order.
    fn by_offset(&self) -> BTreeMap<i64, Vec<usize>> {
        let mut by_offset: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        (0..self.batch.num_rows()).for_each(|row| by_offset.entry(self.offset(row)).or_default().push(row));
        by_offset
    }
}

/// The column that names the plugin, where it was asked for.
const PLUGIN: &str = "_plugin";

/// Which row of one side is which of the other.
#[derive(Default)]
struct Pairs {
    both: Vec<(usize, usize)>,
    gone: Vec<usize>,
    new: Vec<usize>,
}

impl Pairs {
    fn of(before: Option<&Rows>, after: Option<&Rows>) -> Self {
        let mut pairs = Self::default();
        let (Some(before), Some(after)) = (before, after) else {
            let all = |rows: Option<&Rows>| (0..rows.map_or(0, |rows| rows.batch.num_rows())).collect();
            (pairs.gone, pairs.new) = (all(before), all(after));
            return pairs;
        };
        let mut others = after.by_offset();
        for (offset, rows) in before.by_offset() {
            let others = others.remove(&offset).unwrap_or_default();
            if rows.len() == others.len() {
                pairs.both.extend(rows.into_iter().zip(others));
            } else {
                pairs.equal_first(before, after, rows, others);
            }
        }
        pairs.new.extend(others.into_values().flatten());
        pairs
    }

    /// Rows of one message, of which one side has more: those that are the same, then the others in order.
    fn equal_first(&mut self, before: &Rows, after: &Rows, rows: Vec<usize>, others: Vec<usize>) {
        let mut by_values: HashMap<Values, VecDeque<usize>> = HashMap::new();
        others.iter().for_each(|other| by_values.entry(after.values(*other)).or_default().push_back(*other));
        let mut taken = BTreeSet::new();
        let mut left = Vec::new();
        for row in rows {
            match by_values.get_mut(&before.values(row)).and_then(VecDeque::pop_front) {
                Some(other) => {
                    taken.insert(other);
                    self.both.push((row, other));
                }
                None => left.push(row),
            }
        }
        let mut others = others.into_iter().filter(|other| !taken.contains(other));
        let mut left = left.into_iter();
        loop {
            match (left.next(), others.next()) {
                (Some(row), Some(other)) => self.both.push((row, other)),
                (Some(row), None) => self.gone.push(row),
                (None, Some(other)) => self.new.push(other),
                (None, None) => return,
            }
        }
    }
}

fn compare_columns(lane: &LaneId, before: &Rows, after: &Rows, pairs: &Pairs, difference: &mut TableDifference) {
    let places =
        |of: fn(&(usize, usize)) -> usize| pairs.both.iter().map(|pair| count(of(pair))).collect::<UInt64Array>();
    let (rows, others) = (places(|pair| pair.0), places(|pair| pair.1));
    let names: Vec<_> = before.columns().map(|(name, _)| name).collect();
    let new = after.columns().map(|(name, _)| name).filter(|name| !names.contains(name));
    let mut changed = vec![false; pairs.both.len()];
    for name in names.iter().copied().chain(new) {
        let picked = |rows: &Rows, places| {
            rows.column(name).map(|column| take(column, places, None).expect("places are those of its rows"))
        };
        let (old, new) = (picked(before, &rows), picked(after, &others));
        let data_type = |column: &Option<ArrayRef>| column.as_ref().map(|column| column.data_type().to_string());
        let types = Sides { before: data_type(&old), after: data_type(&new) };
        let differing = match (&old, &new) {
            (Some(old), Some(new)) => differing(old, new),
            (None, _) | (_, None) => (0..pairs.both.len()).collect(),
        };
        if differing.is_empty() && types.before == types.after {
            continue;
        }
        if old.is_some() && new.is_some() {
            differing.iter().for_each(|row| changed[*row] = true);
        }
        let text = |column: &Option<ArrayRef>, row| column.as_ref().and_then(|column| cell::text(column, row));
        let sample = |row: &usize| {
            let (values, of) = (Sides { before: text(&old, *row), after: text(&new, *row) }, pairs.both[*row]);
            let values = Sides { before: values.before.as_deref().map(cut), after: values.after.as_deref().map(cut) };
            ValueSample { at: At::of(lane, before.offset(of.0)), key: before.key(of.0), values }
        };
        let samples = differing.iter().take(SAMPLES).map(sample).collect();
        let column = ColumnDifference { types, rows: count(differing.len()), samples };
        difference.columns.insert(name.to_owned(), column);
    }
    difference.changed = count(changed.into_iter().filter(|changed| *changed).count());
}

/// Rows in which two columns differ; of columns with different types, in which they read differently.
fn differing(before: &ArrayRef, after: &ArrayRef) -> Vec<usize> {
    if before == after {
        return Vec::new();
    }
    let same_type = before.data_type() == after.data_type();
    let same = |row: &usize| match same_type {
        true => before.slice(*row, 1) == after.slice(*row, 1),
        false => cell::text(before, *row) == cell::text(after, *row),
    };
    (0..before.len()).filter(|row| !same(row)).collect()
}
