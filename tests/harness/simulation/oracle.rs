//! What must hold when everything is committed.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use engine::offsets::OffsetRange;

use super::World;
use super::shared::LETTERS;

/// A row of a bronze table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `_partition`.
    pub partition: i32,
    /// `_offset`.
    pub offset: i64,
    /// `_epoch` without its generation.
    pub epoch: u64,
    /// `_row`.
    pub row: u32,
    /// `_ingested_at`.
    pub clock_ms: i64,
    /// The message.
    pub value: Option<Vec<u8>>,
}

impl World {
    /// All rows of a table, in the order in which they landed.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let blocks = self.tables.blocks(&format!("`db`.`{table}`"));
        blocks.iter().flatten().flat_map(rows).collect()
    }

    fn all_rows(&self) -> Vec<Row> {
        // Where tenants share the topic, there are letters: `wrong_shares` looks at them.
        let shared = |table: &&String| self.sharing.is_empty() || **table != LETTERS;
        let blocks = self.used.iter().filter(shared).flat_map(|table| self.tables.blocks(table));
        blocks.flatten().flat_map(|batch| rows(&batch)).collect()
    }

    /// Everything that is wrong: with the rows, the epochs, the journal, or on the way.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = self.violations();
        let rows = self.all_rows();
        for found in self.topics.partitions() {
            let partition = found.partition.partition;
            let rows: Vec<_> = rows.iter().filter(|row| row.partition == partition).cloned().collect();
            self.check_messages(partition, &rows, &mut wrong);
            self.check_epochs(partition, &rows, &mut wrong);
            self.check_journal(partition, &mut wrong);
        }
        wrong
    }

    /// # Panics
    /// If anything is wrong.
    pub fn check(&self) {
        let wrong = self.wrong();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Each message is one row.
    fn check_messages(&self, partition: i32, rows: &[Row], wrong: &mut Vec<String>) {
        let mut found: Vec<_> = rows.iter().map(|row| (row.offset, row.value.clone())).collect();
        found.sort();
        let expected = self.topics.messages(&super::partition(partition));
        let times = |offset: i64| found.iter().filter(|(it, _)| *it == offset).count();
        for (offset, _) in &expected {
            if times(*offset) != 1 {
                wrong.push(format!("t/{partition}: offset {offset} is in the tables {} times", times(*offset)));
            }
        }
        if found != expected && wrong.is_empty() {
            wrong.push(format!("t/{partition}: the tables hold other values than the topic"));
        }
    }

    /// Epochs follow each other in their offsets, their clock does not go back, and their rows are numbered.
    fn check_epochs(&self, partition: i32, rows: &[Row], wrong: &mut Vec<String>) {
        let mut epochs: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            epochs.entry(row.epoch).or_default().push(row);
        }
        let (mut end, mut clock_ms) = (0, i64::MIN);
        for (epoch, rows) in &mut epochs {
            // Table partitions land one by one, and what was missing after a crash comes behind the rest.
            rows.sort_by_key(|row| row.row);
            let numbered = (0..).zip(rows.iter()).all(|(number, row)| row.row == number);
            let follows = rows.iter().all(|row| row.offset >= end && row.clock_ms >= clock_ms);
            if !numbered || !follows {
                wrong.push(format!("t/{partition}: epoch {epoch} does not follow the one before it"));
            }
            end = rows.iter().map(|row| row.offset + 1).max().unwrap_or(end);
            clock_ms = rows.iter().map(|row| row.clock_ms).max().unwrap_or(clock_ms);
        }
    }

    /// Nothing is open, the position is behind the last message, commits are in order and their ranges touch.
    pub(super) fn check_journal(&self, partition: i32, wrong: &mut Vec<String>) {
        let lane = self.lane(partition);
        let (position, open) = self.journal(partition);
        let last = self.topics.messages(&super::partition(partition)).last().map(|(offset, _)| offset + 1);
        if !open.is_empty() || position.next_offset != last {
            wrong.push(format!("{lane}: at {:?} of {last:?}, {} epochs open", position.next_offset, open.len()));
        }
        let intents = self.disk.intents();
        let range_of = |epoch: u64| -> Option<OffsetRange> {
            let intent = intents.iter().rev().find(|(of, intent)| *of == lane && intent.epoch == epoch)?;
            Some(intent.1.range)
        };
        let mut before = None;
        for (_, commit) in self.disk.commits().iter().filter(|(of, _)| *of == lane) {
            let touches = range_of(commit.epoch).is_none_or(|range| {
                before.is_none_or(|before| before == range.start) && commit.position.next_offset == Some(range.end)
            });
            if !touches {
                wrong.push(format!("{lane}: the commit of epoch {} does not begin at {before:?}", commit.epoch));
            }
            before = commit.position.next_offset;
        }
    }
}

/// # Panics
/// If the batch is not of a table with the engine's columns: an oracle that skips what it does not know sees nothing.
fn rows(batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}")).clone();
    let (partitions, offsets, epochs) = (column("_partition"), column("_offset"), column("_epoch"));
    let (numbers, clocks, values) = (column("_row"), column("_ingested_at"), batch.column_by_name("value"));
    let value = |row: usize| {
        let values = values?.as_binary::<i32>();
        (!values.is_null(row)).then(|| values.value(row).to_vec())
    };
    let row = |row: usize| Row {
        partition: partitions.as_primitive::<Int32Type>().value(row),
        offset: offsets.as_primitive::<Int64Type>().value(row),
        epoch: epochs.as_primitive::<UInt64Type>().value(row) & 0xffff_ffff_ffff,
        row: numbers.as_primitive::<UInt32Type>().value(row),
        clock_ms: clocks.as_primitive::<TimestampMillisecondType>().value(row),
        value: value(row),
    };
    (0..batch.num_rows()).map(row).collect()
}
