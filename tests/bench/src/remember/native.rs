//! The same logic in plain Rust, as a hand-made consumer has it: the standard library's map, nothing kept for a crash.

use std::collections::{BTreeSet, HashMap};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType, UInt64Type};

use super::{Failure, cpu_ns};

/// A week.
const HORIZON_MS: i64 = 7 * 24 * 3_600_000;
/// Half an hour.
const GAP_MS: i64 = 1_800_000;
/// How far out of order events may come.
const DELAY_MS: i64 = 300_000;

/// Keys, and until when each is remembered.
#[derive(Default)]
pub(crate) struct Dedup {
    numbers: HashMap<u64, i64>,
    texts: HashMap<Box<str>, i64>,
}

impl Dedup {
    /// Rows that stay, and what that cost in ns of CPU time.
    pub(crate) fn epoch(&mut self, batches: &[RecordBatch]) -> Result<(u64, f64), Failure> {
        let start = cpu_ns();
        let mut stay = 0;
        for batch in batches {
            let times = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
            let keys = batch.column(0);
            // The rows that stay, as a plugin gives them back.
            let kept: Vec<u32> = if let Some(keys) = keys.as_primitive_opt::<UInt64Type>() {
                let keys = keys.values();
                let new = |row: &usize| self.numbers.insert(keys[*row], times[*row] + HORIZON_MS).is_none();
                (0..batch.num_rows()).filter(new).map(index).collect::<Result<_, _>>()?
            } else {
                let keys = keys.as_string::<i32>();
                let new = |row: &usize| self.texts.insert(keys.value(*row).into(), times[*row] + HORIZON_MS).is_none();
                (0..batch.num_rows()).filter(new).map(index).collect::<Result<_, _>>()?
            };
            stay += kept.len() as u64;
        }
        Ok((stay, cpu_ns() - start))
    }
}

fn index(row: usize) -> Result<u32, Failure> {
    Ok(u32::try_from(row)?)
}

#[derive(Clone, Copy)]
struct Visit {
    start: i64,
    end: i64,
    clicks: u64,
    cents: i64,
}

/// Open visits by user, and when each would end.
#[derive(Default)]
pub(crate) struct Sessions {
    open: HashMap<u64, Visit>,
    ends: BTreeSet<(i64, u64)>,
    latest: i64,
}

impl Sessions {
    /// What the clicks of an epoch cost, in ns of CPU time.
    pub(crate) fn epoch(&mut self, batches: &[RecordBatch]) -> Result<f64, Failure> {
        let start = cpu_ns();
        let mut rows: Vec<(u64, Visit, bool)> = Vec::new();
        self.close(&mut rows);
        for batch in batches {
            let users = batch.column(0).as_primitive::<UInt64Type>().values();
            let times = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
            let cents = batch.column(2).as_primitive::<Int64Type>().values();
            for ((user, at), cents) in users.iter().zip(times).zip(cents) {
                let new = Visit { start: *at, end: *at, clicks: 0, cents: 0 };
                let visit = self.open.entry(*user).or_insert(new);
                if at - visit.end >= GAP_MS {
                    rows.push((*user, *visit, true));
                    *visit = new;
                }
                self.ends.remove(&(visit.end + GAP_MS, *user));
                (visit.end, visit.clicks, visit.cents) = (*at, visit.clicks + 1, visit.cents + cents);
                self.ends.insert((visit.end + GAP_MS, *user));
                rows.push((*user, *visit, false));
                self.latest = self.latest.max(*at);
            }
        }
        let seen = rows.iter().map(|(_, visit, _)| visit.clicks + u64::from(visit.start > 0)).sum::<u64>();
        std::hint::black_box((seen, rows.iter().map(|(_, visit, _)| visit.cents).sum::<i64>()));
        Ok(cpu_ns() - start)
    }

    /// Visits whose time is over.
    fn close(&mut self, rows: &mut Vec<(u64, Visit, bool)>) {
        while let Some(&(end, user)) = self.ends.first().filter(|(end, _)| *end <= self.latest - DELAY_MS) {
            self.ends.remove(&(end, user));
            rows.extend(self.open.remove(&user).map(|visit| (user, visit, true)));
        }
    }
}
