//! What must hold of a plugin that remembers, when everything is committed.
//!
//! Where epochs end is the engine's choice, and the watermark, and with it what is remembered, follows from it. So the journal
//! is asked where they ended; what the tables hold is then computed from the messages alone, in plain Rust. What does not depend
//! on epochs is compared without asking.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use engine::journal::{Call, Intent, Position};
use engine::offsets::{LaneId, OffsetRange};
use engine::state::{Disk, State, StateError};

use super::World;
use super::remembering::{Closed, DELAY, FOREVER, Model, POISON, SILENT};

/// A row: its epoch, its ordinal in it, offset, version, whether it is deleted, and the plugin's columns.
type Row = (u64, u32, i64, u64, bool, Vec<i64>);

/// An epoch as the journal has it.
struct Epoch<'a> {
    range: OffsetRange,
    watermark: Option<i64>,
    after: &'a Position,
    /// None: it had nothing to be made again for.
    intent: Option<&'a Intent>,
}

impl World {
    /// Everything that is wrong with the tables and the journal of the remembering plugin.
    #[must_use]
    pub fn wrong_memories(&self) -> Vec<String> {
        let mut wrong = self.violations();
        for found in self.topics.partitions() {
            let lane = self.lane(found.partition.partition);
            self.check_journal(lane.partition, &mut wrong);
            self.check_lane(&lane, &mut wrong);
        }
        wrong
    }

    /// The events of a partition that become rows, by offset.
    fn events(&self, partition: i32) -> BTreeMap<i64, [i64; 3]> {
        let event = |value: Vec<u8>| -> Option<[i64; 3]> {
            let message: serde_json::Value = serde_json::from_slice(&value).ok()?;
            let number = |name: &str| message["after"][name].as_i64();
            Some([number("id")?, number("k")?, number("t")?])
        };
        let messages = self.topics.messages(&super::partition(partition));
        messages.into_iter().filter_map(|(offset, value)| Some((offset, event(value?)?))).collect()
    }

    /// # Panics
    /// If anything is wrong.
    pub fn check_memories(&self) {
        let wrong = self.wrong_memories();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn check_lane(&self, lane: &LaneId, wrong: &mut Vec<String>) {
        let messages: BTreeMap<i64, [i64; 3]> = self.events(lane.partition);
        let (intents, commits) = (self.disk.intents(), self.disk.commits());
        let (mut model, mut tables) = (Model::default(), Expected::default());
        let mut at = Position { next_offset: Some(0), ..Position::default() };
        for (_, commit) in commits.iter().filter(|(of, _)| of == lane) {
            let intent = intents.iter().rev().find(|(of, intent)| of == lane && intent.epoch == commit.epoch);
            let intent = intent.map(|(_, intent)| intent);
            // An epoch without an intent that was not committed before the one behind it has left nothing but its offsets.
            let start = intent.map(|intent| intent.range.start).or(at.next_offset).unwrap_or(0);
            if let Some(intent) = intent.filter(|intent| intent.parked.is_some()) {
                tables.parked.push(intent.range);
                if (intent.watermark_ms, &intent.calls, commit.position.watermark_ms)
                    != (at.watermark_ms, &Vec::new(), at.watermark_ms)
                {
                    wrong.push(format!("{lane}: parking offsets {} has changed more than the position", intent.range));
                }
            }
            let skipped = messages.range(at.next_offset.unwrap_or(0)..start).map(|(_, event)| *event);
            let skipped: Vec<_> = skipped.collect();
            let before = model.clone();
            for event in &skipped {
                model.event(*event, at.watermark_ms, 0);
            }
            if skipped.iter().any(|[_, k, _]| *k == POISON) || model != before {
                wrong.push(format!("{lane}: before offset {start} something was neither written nor remembered"));
            }
            let range = OffsetRange { start, end: commit.position.next_offset.unwrap_or(start) };
            let watermark = intent.map_or(at.watermark_ms, |intent| intent.watermark_ms);
            let epoch = Epoch { range, watermark, after: &commit.position, intent };
            let latest = skipped.iter().map(|[_, _, t]| t - DELAY).max();
            epoch.check_watermark(at.watermark_ms, latest, &messages, lane, wrong);
            tables.epoch(&mut model, &epoch, &messages);
            at = commit.position.clone();
        }
        let parked = std::mem::take(&mut tables.parked);
        self.check_tables(lane, &model, tables, wrong);
        self.check_state(lane, &model, wrong);
        self.check_parked(lane, &parked, wrong);
        let mut messages = messages;
        messages.retain(|offset, _| !parked.iter().any(|range| (range.start..range.end).contains(offset)));
        self.check_forever(lane, (&messages, &model), wrong);
    }

    fn check_tables(&self, lane: &LaneId, model: &Model, expected: Expected, wrong: &mut Vec<String>) {
        for (table, columns, expected) in [
            ("fresh", &["id", "k", "t", "count", "memory"][..], expected.fresh),
            ("closed", &["k", "count", "expiry"], expected.closed),
        ] {
            let mut rows = self.rows_of(lane, table, columns);
            rows.sort();
            let mut expected = expected;
            expected.sort();
            if rows != expected {
                let extra: Vec<_> = rows.iter().filter(|row| !expected.contains(row)).take(3).collect();
                let missing: Vec<_> = expected.iter().filter(|row| !rows.contains(row)).take(3).collect();
                let (is, should) = (rows.len(), expected.len());
                wrong.push(format!("{lane}: {table} has {is} rows of {should}, extra {extra:?}, missing {missing:?}"));
            }
        }
        // As ReplacingMergeTree does: of rows with one version the one that landed last, and of one block the last. (The
        // twin's two table partitions are not by key, so a block's rows are ordered by hand.)
        let mut last: BTreeMap<i64, (u64, u64, u32, i64, bool, bool)> = BTreeMap::new();
        for (epoch, number, _, version, deleted, row) in self.rows_of(lane, "counts", &["k", "count", "final"]) {
            let newer = last
                .get(&row[0])
                .is_none_or(|(than, of, at, ..)| version > *than || version == *than && (epoch != *of || number > *at));
            if newer {
                last.insert(row[0], (version, epoch, number, row[1], row[2] == 1, deleted));
            }
        }
        let shown: BTreeMap<_, _> = last.iter().map(|(k, (_, _, _, count, last, _))| (*k, (*count, *last))).collect();
        if shown != model.counts {
            wrong.push(format!("{lane}: counts shows {shown:?}, not {:?}", model.counts));
        }
        if let Some((k, _)) = last.iter().find(|(k, (.., last, deleted))| *deleted != (*last && *k % 2 == 0)) {
            wrong.push(format!("{lane}: of key {k} the row in counts is deleted or not, and should be otherwise"));
        }
    }

    /// The journal's state is what the next epoch would see.
    fn check_state(&self, lane: &LaneId, model: &Model, wrong: &mut Vec<String>) {
        let (mut ids, mut open) = (BTreeMap::new(), BTreeMap::new());
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let mut read = || {
            let state = self.state(lane)?;
            state.each_entry(0, |id, _, expiry| ids.extend([(number(id), expiry)]))?;
            state.each_entry(1, |k, count, expiry| open.extend([(number(k), (number(count), expiry))]))
        };
        if let Err(error) = read() {
            wrong.push(format!("{lane}: its state can't be read: {error}"));
            return;
        }
        let mut expected = model.clone();
        expected.expire(self.disk.lane(lane).0.watermark_ms);
        if ids != expected.ids || open != expected.open {
            wrong.push(format!(
                "{lane}: the journal remembers {ids:?} {open:?}, not {:?} {:?}",
                expected.ids, expected.open
            ));
        }
    }

    /// A lane's state as the next epoch would see it.
    fn state(&self, lane: &LaneId) -> Result<State, StateError> {
        let mut state = self.transform.empty_state();
        if let Some(folder) = self.disk.disk_of(lane) {
            state.keep_on(Disk::open(&folder, 0, 0)?);
        }
        self.disk.state(lane).iter().try_for_each(|record| state.restore(record))?;
        state.open_disk()?;
        state.begin(self.disk.lane(lane).0.watermark_ms, 1)?;
        Ok(state)
    }

    /// Of ids that are never forgotten the first by offset is fresh, wherever epochs end.
    fn check_forever(
        &self,
        lane: &LaneId,
        (messages, model): (&BTreeMap<i64, [i64; 3]>, &Model),
        wrong: &mut Vec<String>,
    ) {
        let mut seen = BTreeSet::new();
        let first = messages.iter().filter(|(_, [id, k, _])| *id >= FOREVER && *k != POISON && seen.insert(*id));
        let shown = first.filter(|(_, [_, k, _])| *k != SILENT);
        let expected: Vec<_> = shown.map(|(offset, _)| *offset).collect();
        let rows = self.rows_of(lane, "fresh", &["id"]);
        let mut offsets: Vec<_> = rows.iter().filter(|row| row.5[0] >= FOREVER).map(|row| row.2).collect();
        offsets.sort_unstable();
        if offsets != expected {
            wrong.push(format!("{lane}: of ids that are never forgotten {offsets:?} are fresh, not {expected:?}"));
        }
        let poisoned = messages.values().filter(|[_, k, _]| *k == POISON).count();
        let letters = self.letters(lane).into_iter().filter(|(_, parked)| !parked).count();
        if letters != poisoned + model.lost {
            wrong.push(format!("{lane}: {letters} dead letters of {poisoned} and {}", model.lost));
        }
    }

    /// Offsets of a lane's dead letters, and whether they were parked, in order.
    fn letters(&self, lane: &LaneId) -> Vec<(i64, bool)> {
        let letters = |batch: &RecordBatch| {
            let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}")).clone();
            let (offsets, stages) = (column("offset"), column("stage"));
            let (offsets, stages) = (offsets.as_primitive::<Int64Type>(), stages.as_string::<i32>());
            (0..batch.num_rows()).map(|row| (offsets.value(row), stages.value(row) == "parked")).collect::<Vec<_>>()
        };
        let mut letters: Vec<_> = self.rows_of_lane(lane, "dead_letters").iter().flat_map(letters).collect();
        letters.sort_unstable();
        letters
    }

    /// Each message of an epoch that was parked is one letter, and nothing else is.
    fn check_parked(&self, lane: &LaneId, parked: &[OffsetRange], wrong: &mut Vec<String>) {
        let within = |offset: &i64| parked.iter().any(|range| (range.start..range.end).contains(offset));
        let messages = self.topics.messages(&super::partition(lane.partition)).into_iter().map(|(offset, _)| offset);
        let expected: Vec<_> = messages.filter(within).collect();
        let letters = self.letters(lane).into_iter().filter(|(_, parked)| *parked);
        let letters: Vec<_> = letters.map(|(offset, _)| offset).collect();
        if letters != expected {
            wrong.push(format!("{lane}: offsets {letters:?} are parked letters, not {expected:?}"));
        }
    }

    /// What `closed` holds of a partition: key, count, expiry, in the order in which the keys were closed.
    #[must_use]
    pub fn closed(&self, partition: i32) -> Vec<Vec<i64>> {
        let mut rows = self.rows_of(&self.lane(partition), "closed", &["k", "count", "expiry"]);
        rows.sort();
        rows.into_iter().map(|row| row.5).collect()
    }

    /// The rows of a lane in a table, in the order in which they landed.
    fn rows_of(&self, lane: &LaneId, table: &str, columns: &[&str]) -> Vec<Row> {
        self.rows_of_lane(lane, table).iter().flat_map(|batch| rows(batch, columns)).collect()
    }

    fn rows_of_lane(&self, lane: &LaneId, table: &str) -> Vec<RecordBatch> {
        // A version of the plugin may have another name for it.
        let (name, other) = (format!("`db`.`{table}`"), format!("`db`.`{table}_too`"));
        let mut batches: Vec<_> = [name, other].iter().flat_map(|table| self.tables.blocks(table)).flatten().collect();
        batches.retain(|batch| {
            let lanes = batch.column_by_name("_lane").expect("every table has the engine's columns");
            lanes.as_primitive::<UInt64Type>().values().iter().all(|it| *it == lane.number())
        });
        batches
    }
}

impl Epoch<'_> {
    fn rows<'m>(&self, messages: &'m BTreeMap<i64, [i64; 3]>) -> impl Iterator<Item = (&'m i64, &'m [i64; 3])> {
        let parked = self.intent.is_some_and(|intent| intent.parked.is_some());
        let rows = messages.range(self.range.start..self.range.end);
        rows.filter(move |(_, [_, k, _])| !parked && *k != POISON)
    }

    /// It follows from the epochs before (and events that left nothing else, until `latest`), but for an epoch of timers
    /// alone, where it may follow the clock.
    fn check_watermark(
        &self,
        before: Option<i64>,
        latest: Option<i64>,
        messages: &BTreeMap<i64, [i64; 3]>,
        lane: &LaneId,
        wrong: &mut Vec<String>,
    ) {
        let clock = self.after.clock_ms;
        let empty = self.range.start == self.range.end;
        let by_clock = empty.then_some(clock - DELAY);
        let follows = (before..=before.max(latest).max(by_clock)).contains(&self.watermark);
        let greatest = self.rows(messages).map(|(_, [_, _, t])| (*t).min(clock)).max();
        let next = self.watermark.max(greatest.map(|greatest| greatest - DELAY));
        if !follows || self.after.watermark_ms != next {
            let (saw, left) = (self.watermark, self.after.watermark_ms);
            wrong.push(format!(
                "{lane}: the watermark {before:?} was seen as {saw:?} and left as {left:?}, not {next:?}"
            ));
        }
    }
}

/// What the tables should hold.
#[derive(Default)]
struct Expected {
    fresh: Vec<Row>,
    closed: Vec<Row>,
    /// Offsets of which nothing is made.
    parked: Vec<OffsetRange>,
}

impl Expected {
    fn epoch(&mut self, model: &mut Model, epoch: &Epoch<'_>, messages: &BTreeMap<i64, [i64; 3]>) {
        if epoch.intent.is_some_and(|intent| intent.parked.is_some()) {
            return;
        }
        let (watermark, generation) = (epoch.watermark, u64::from(epoch.after.generation) << 48);
        let number = generation | epoch.after.epoch;
        let start = epoch.range.start;
        let version = |offset: i64| generation | u64::try_from(offset).unwrap_or(0);
        for (row, closed) in (0..).zip(model.expire(watermark)) {
            let closed: Closed = closed;
            self.closed.push((number, row, start - 1, version(start), false, closed.to_vec()));
        }
        let calls: &[Call] = epoch.intent.map_or(&[], |intent| &intent.calls);
        let events: Vec<_> = messages.range(epoch.range.start..epoch.range.end).collect();
        let (mut row, mut memory) = (0, 0);
        for call in calls {
            memory = if call.fresh { 0 } else { memory };
            let rows = call.start as usize..call.end as usize;
            for (offset, event) in &events[rows.clone()] {
                if let Some(fresh) = model.event(**event, watermark, memory) {
                    self.fresh.push((number, row, **offset, version(**offset), false, fresh.to_vec()));
                    row += 1;
                }
            }
            memory += i64::try_from(rows.len()).unwrap_or(0);
        }
    }
}

/// # Panics
/// If the batch is not of a table with these columns.
fn rows(batch: &RecordBatch, columns: &[&str]) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}")).clone();
    let (epochs, numbers, offsets) = (column("_epoch"), column("_row"), column("_offset"));
    let (versions, deleted) = (column("_version"), column("_deleted"));
    let own: Vec<_> = columns.iter().map(|name| column(name)).collect();
    let row = |row: usize| {
        (
            epochs.as_primitive::<UInt64Type>().value(row),
            numbers.as_primitive::<UInt32Type>().value(row),
            offsets.as_primitive::<Int64Type>().value(row),
            versions.as_primitive::<UInt64Type>().value(row),
            deleted.as_primitive::<UInt8Type>().value(row) == 1,
            own.iter().map(|values| values.as_primitive::<Int64Type>().value(row)).collect(),
        )
    };
    (0..batch.num_rows()).map(row).collect()
}
