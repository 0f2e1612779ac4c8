//! The difference between two versions of a plugin: what each makes of the same messages.
//!
//! **Promise.** Rows are paired by topic, partition, offset and their order among the rows of their message and table; of
//! messages that have another number of rows on each side, equal rows first. Every row and every message that is set aside is
//! counted on one of the lists; samples are few and their values are cut, so a difference stays small over any
//! number of batches.
//! **Assumed.** Both sides were made of the same batch, over the same clock.
//!
//! Columns that say where and when a row was made differ by nature, and are not looked at: of the engine's own there are
//! `_op` and `_deleted`.

mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::{Block, Reject};
use crate::offsets::LaneId;
use crate::state::Sealed;
use crate::transform::{Tally, Transformed};

/// Samples that are kept of each kind of difference.
const SAMPLES: usize = 5;
/// Characters of a value that are kept in a sample.
const VALUE_CHARS: usize = 120;

/// A pair: what the version that runs gives, and what the other one gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides<T> {
    /// Of the version that runs.
    pub before: T,
    /// Of the newcomer.
    pub after: T,
}

/// What one of them made of a batch, as far as it is compared. Rows are shared with the blocks that are sent. The default is
/// what a version that is not there makes.
#[derive(Clone, Debug, Default)]
pub struct Made {
    blocks: Vec<Block>,
    rejects: Vec<Reject>,
    tally: Tally,
    /// The digest of what it changed of its state, and whether it changed anything; none where it keeps none.
    state: Option<(String, bool)>,
}

impl Made {
    /// Of an epoch.
    #[must_use]
    pub fn of(made: &Transformed) -> Self {
        let changed = made.state != Sealed::Unchanged;
        Self {
            blocks: made.blocks.clone(),
            rejects: made.rejects.clone(),
            tally: made.tally.clone(),
            state: made.intent.state_digest.clone().map(|digest| (digest, changed)),
        }
    }

    /// Whether both changed their states, in other ways.
    fn remembers_otherwise(&self, other: &Self) -> bool {
        match (&self.state, &other.state) {
            (Some((one, one_changed)), Some((other, other_changed))) => {
                (*one_changed || *other_changed) && one != other
            }
            (_, None) | (None, _) => false,
        }
    }
}

/// How two versions differ over some batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Batches that were compared.
    pub batches: u64,
    /// Their messages.
    pub messages: u64,
    /// By the tables' names: each that got rows from one of them.
    pub tables: BTreeMap<String, TableDifference>,
    /// Messages that were set aside.
    pub letters: LetterDifference,
    /// Messages without a row, by kind, where the numbers differ.
    pub no_ops: BTreeMap<String, Sides<u64>>,
    /// Batches after which they remember something else.
    pub remembered: u64,
    /// What the rows cost.
    pub cost: Sides<Cost>,
}

/// Rows of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDifference {
    /// All rows.
    pub rows: Sides<u64>,
    /// Rows of both whose values differ in a column that both have.
    pub changed: u64,
    /// Rows of the running version alone.
    pub gone: u64,
    /// Rows of the newcomer alone.
    pub new: u64,
    /// The columns that differ.
    pub columns: BTreeMap<String, ColumnDifference>,
    /// Some of the rows of the running version alone.
    pub samples_gone: Vec<RowSample>,
    /// Some of the rows of the newcomer alone.
    pub samples_new: Vec<RowSample>,
}

/// A column whose values or type differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDifference {
    /// Its type; none where that side has no such column.
    pub types: Sides<Option<String>>,
    /// Rows of both in which its value differs; of a column that one side lacks, all.
    pub rows: u64,
    /// Some of them.
    pub samples: Vec<ValueSample>,
}

/// Where a row comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct At {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The message's offset; of a row that no message made, the one before its batch.
    pub offset: i64,
}

/// Column names and values as text; `None` is null.
pub type Values = Vec<(String, Option<String>)>;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSample {
    /// Where it comes from.
    pub at: At,
    /// Its columns.
    pub row: Values,
}

/// Two values of one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSample {
    /// Where its row comes from.
    pub at: At,
    /// The row's sort key.
    pub key: Values,
    /// Both values, cut; null is none, and so is what is not there.
    pub values: Sides<Option<String>>,
}

/// Dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterDifference {
    /// All of them.
    pub letters: Sides<u64>,
    /// Messages that the newcomer alone sets aside, by code.
    pub new: BTreeMap<String, u64>,
    /// Messages that the running version alone sets aside, by code.
    pub gone: BTreeMap<String, u64>,
    /// Messages that both set aside, for another reason.
    pub changed: u64,
    /// Some of those that differ.
    pub samples: Vec<LetterSample>,
}

/// A message that was set aside by one of them, or by each for its own reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterSample {
    /// The message.
    pub at: At,
    /// Why, in words; none where that side made rows of it.
    pub why: Sides<Option<String>>,
}

/// CPU time of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Rows that it was given.
    pub rows: u64,
    /// CPU time of the plugin, its border and its instances.
    pub plugin: Duration,
}

impl Cost {
    /// Nanoseconds a row, once there were rows.
    #[must_use]
    pub fn per_row_ns(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.plugin.as_secs_f64() * 1e9 / self.rows as f64)
    }
}

impl Sides<Cost> {
    /// How many times as much a row costs after as before, once both had rows.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (before, after) = (self.before.per_row_ns()?, self.after.per_row_ns()?);
        (before > 0.0).then(|| after / before)
    }
}

impl Difference {
    /// Compares what two versions made of one batch of a lane.
    #[must_use]
    pub fn between(lane: &LaneId, before: &Made, after: &Made) -> Self {
        let cost = |made: &Made| Cost { rows: count(made.tally.rows_in), plugin: made.tally.times.plugin.0 };
        Self {
            batches: 1,
            messages: count(before.tally.messages.max(after.tally.messages)),
            tables: rows::tables(lane, before, after),
            letters: LetterDifference::between(lane, &before.rejects, &after.rejects),
            no_ops: no_ops(before, after),
            remembered: u64::from(before.remembers_otherwise(after)),
            cost: Sides { before: cost(before), after: cost(after) },
        }
    }

    /// Whether both make the same of the messages: rows, dead letters and no-ops. What they cost may differ, and what they
    /// remember.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.no_ops.is_empty()
            && self.letters.differing() == 0
            && self.tables.values().all(|table| table.columns.is_empty() && table.gone == 0 && table.new == 0)
    }

    /// Adds the difference over further batches.
    pub fn add(&mut self, more: Self) {
        self.batches += more.batches;
        self.messages += more.messages;
        for (name, table) in more.tables {
            self.tables.entry(name).or_default().add(table);
        }
        self.letters.add(more.letters);
        for (kind, counts) in more.no_ops {
            let sum = self.no_ops.entry(kind).or_default();
            *sum = Sides { before: sum.before + counts.before, after: sum.after + counts.after };
        }
        self.remembered += more.remembered;
        for (sum, more) in [(&mut self.cost.before, more.cost.before), (&mut self.cost.after, more.cost.after)] {
            *sum = Cost { rows: sum.rows + more.rows, plugin: sum.plugin + more.plugin };
        }
    }

    /// In a few words, without any value: for logs.
    #[must_use]
    pub fn in_short(&self) -> String {
        let mut parts = Vec::new();
        for (name, table) in self.tables.iter().filter(|(_, table)| table.differs()) {
            let columns: Vec<_> =
                table.columns.iter().map(|(name, column)| format!("{name} in {}", column.rows)).collect();
            let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
            let TableDifference { changed, gone, new, .. } = table;
            parts.push(format!("{name}: {changed} rows changed{columns}, {gone} gone, {new} new"));
        }
        if self.letters.differing() > 0 {
            let sum = |by_code: &BTreeMap<String, u64>| by_code.values().sum::<u64>();
            let (new, gone) = (sum(&self.letters.new), sum(&self.letters.gone));
            parts.push(format!("dead letters: {new} new, {gone} gone, {} for another reason", self.letters.changed));
        }
        let no_op =
            |(kind, Sides { before, after }): (&String, &Sides<u64>)| format!("{kind}: {before} before, {after} after");
        parts.extend(self.no_ops.iter().map(no_op));
        if parts.is_empty() { "no difference".to_owned() } else { parts.join("; ") }
    }
}

impl TableDifference {
    /// Whether anything differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.columns.is_empty() || self.gone > 0 || self.new > 0
    }

    fn add(&mut self, more: Self) {
        self.rows.before += more.rows.before;
        self.rows.after += more.rows.after;
        self.changed += more.changed;
        self.gone += more.gone;
        self.new += more.new;
        for (name, column) in more.columns {
            let sum = self.columns.entry(name).or_default();
            (sum.types, sum.rows) = (column.types, sum.rows + column.rows);
            keep_some(&mut sum.samples, column.samples);
        }
        keep_some(&mut self.samples_gone, more.samples_gone);
        keep_some(&mut self.samples_new, more.samples_new);
    }
}

impl LetterDifference {
    /// Both lists are in offset order, one for each message.
    fn between(lane: &LaneId, before: &[Reject], after: &[Reject]) -> Self {
        let letters = Sides { before: count(before.len()), after: count(after.len()) };
        let mut difference = Self { letters, ..Self::default() };
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let next = match (before.peek(), after.peek()) {
                (None, None) => return difference,
                (Some(b), Some(a)) if b.offset == a.offset => (before.next(), after.next()),
                (Some(b), Some(a)) if b.offset < a.offset => (before.next(), None),
                (Some(_), None) => (before.next(), None),
                (_, Some(_)) => (None, after.next()),
            };
            difference.take(lane, next);
        }
    }

    fn take(&mut self, lane: &LaneId, (before, after): (Option<&Reject>, Option<&Reject>)) {
        match (before, after) {
            (Some(before), Some(after)) if told(before) == told(after) => return,
            (Some(_), Some(_)) => self.changed += 1,
            (Some(before), None) => *self.gone.entry(before.code.clone()).or_default() += 1,
            (None, Some(after)) => *self.new.entry(after.code.clone()).or_default() += 1,
            (None, None) => return,
        }
        let Some(offset) = before.or(after).map(|reject| reject.offset) else { return };
        let why = |reject: Option<&Reject>| reject.map(|it| cut(&in_words(it)));
        let sample = LetterSample { at: At::of(lane, offset), why: Sides { before: why(before), after: why(after) } };
        keep_some(&mut self.samples, vec![sample]);
    }

    /// Messages whose letters differ.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.changed + self.new.values().chain(self.gone.values()).sum::<u64>()
    }

    fn add(&mut self, more: Self) {
        self.letters.before += more.letters.before;
        self.letters.after += more.letters.after;
        self.changed += more.changed;
        for (sum, more) in [(&mut self.new, more.new), (&mut self.gone, more.gone)] {
            more.into_iter().for_each(|(code, count)| *sum.entry(code).or_default() += count);
        }
        keep_some(&mut self.samples, more.samples);
    }
}

impl At {
    fn of(lane: &LaneId, offset: i64) -> Self {
        Self { topic: lane.topic.clone(), partition: lane.partition, offset }
    }
}

/// What a letter is told by: words may be improved.
fn told(reject: &Reject) -> (&str, &str, Option<&str>) {
    (reject.stage.as_str(), &reject.code, reject.column.as_deref())
}

fn in_words(Reject { stage, code, column, reason, .. }: &Reject) -> String {
    let column = column.as_ref().map(|column| format!(" column {column}")).unwrap_or_default();
    format!("{} {code}{column}: {reason}", stage.as_str())
}

fn no_ops(before: &Made, after: &Made) -> BTreeMap<String, Sides<u64>> {
    let counted = |made: &Made, kind| made.tally.no_ops.get(&kind).copied().map_or(0, count);
    let kinds = before.tally.no_ops.keys().chain(after.tally.no_ops.keys()).copied();
    let counts = kinds.map(|kind| (kind, Sides { before: counted(before, kind), after: counted(after, kind) }));
    let differing = counts.filter(|(_, sides)| sides.before != sides.after);
    differing.map(|(kind, sides)| (kind.as_str().to_owned(), sides)).collect()
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn keep_some<T>(samples: &mut Vec<T>, more: Vec<T>) {
    samples.extend(more.into_iter().take(SAMPLES.saturating_sub(samples.len())));
}

fn count(number: usize) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
