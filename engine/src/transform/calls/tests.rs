#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};

use super::*;

/// A plugin that traps on some values, and remembers what it was called with.
#[derive(Default)]
struct Trapping {
    on: BTreeSet<i64>,
    alive: bool,
    calls: Vec<Vec<i64>>,
    faults: usize,
    renewals: usize,
}

impl Trapping {
    fn on(values: impl IntoIterator<Item = i64>) -> Self {
        Self { on: values.into_iter().collect(), ..Self::default() }
    }
}

impl Caller for Trapping {
    fn renew(&mut self) -> Result<(), Fault> {
        self.alive = true;
        self.renewals += 1;
        Ok(())
    }

    fn call(&mut self, rows: &RecordBatch, _first: usize, _hurry: u64) -> Result<Answer, Fault> {
        assert!(self.alive, "a dead instance was called");
        let values = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        if values.iter().any(|value| self.on.contains(value)) {
            self.alive = false;
            self.faults += 1;
            return Err(Fault::Trap { message: "poison".into() });
        }
        self.calls.push(values);
        Ok(Answer::default())
    }

    fn expire(&mut self, due: &Due, _hurry: u64) -> Result<Answer, Fault> {
        assert!(self.alive, "a dead instance was called");
        if due.expiries.iter().any(|expiry| self.on.contains(expiry)) {
            self.alive = false;
            self.faults += 1;
            return Err(Fault::Trap { message: "poison".into() });
        }
        self.calls.push(due.expiries.clone());
        Ok(Answer::default())
    }
}

fn rows(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: Int64Array = values.into_iter().collect();
    RecordBatch::try_from_iter([("n", Arc::new(column) as ArrayRef)]).unwrap()
}

fn discover(caller: &mut Trapping, chunks: &[RecordBatch]) -> Result<Discovery, CallError> {
    let mut discovery = Discovery::default();
    for (number, chunk) in (0..).zip(chunks) {
        let offset_of = |row| chunk.column(0).as_primitive::<Int64Type>().value(row);
        discovery.chunk(caller, number, chunk, offset_of)?;
    }
    Ok(discovery)
}

/// GIVEN no faults, THEN each chunk is one call, and all share one instance.
#[test]
fn an_epoch_without_faults_is_one_call_a_chunk_in_one_instance() {
    let mut caller = Trapping::default();
    let found = discover(&mut caller, &[rows(0..10), rows(10..15)]).unwrap();
    let plan = [Call { chunk: 0, start: 0, end: 10, fresh: true }, Call { chunk: 1, start: 0, end: 5, fresh: false }];
    assert_eq!(found.plan, plan);
    assert!(found.poison.is_empty());
    assert_eq!(caller.renewals, 1);
}

/// GIVEN one poison row among 8,192, THEN it alone is set aside, after log2(n) + 1 faults, and every other row is
/// called exactly once, in order.
#[test]
fn one_poison_row_is_found_by_halving() {
    for poison in [0, 1, 4095, 4096, 8191] {
        let mut caller = Trapping::on([poison]);
        let found = discover(&mut caller, &[rows(0..8192)]).unwrap();
        assert_eq!(found.poison.iter().map(|poison| poison.offset).collect::<Vec<_>>(), [poison]);
        assert_eq!(caller.faults, 14);
        let expected: Vec<_> = (0..8192).filter(|value| *value != poison).collect();
        assert_eq!(caller.calls.concat(), expected);
    }
}

/// GIVEN the plan of a first run, WHEN it is followed, THEN the same calls are made in the same instances.
#[test]
fn a_plan_is_followed_call_by_call() {
    let chunks = [rows(0..100), rows(100..200)];
    let mut first = Trapping::on([3, 4, 77, 150]);
    let found = discover(&mut first, &chunks).unwrap();
    let mut again = Trapping::on([3, 4, 77, 150]);
    for (number, chunk) in (0..).zip(&chunks) {
        Plan { expired: None, calls: &found.plan }.chunk(&mut again, number, chunk).unwrap();
    }
    assert_eq!(again.calls, first.calls);
    assert_eq!(again.faults, 0);
    assert_eq!(again.renewals, found.plan.iter().filter(|call| call.fresh).count());
}

/// GIVEN a plugin that fails on everything, THEN the epoch fails after a bounded number of faults, and no row is blamed.
#[test]
fn a_broken_plugin_is_not_blamed_on_the_rows() {
    let mut caller = Trapping::on(0..8192);
    let failed = discover(&mut caller, &[rows(0..8192)]);
    assert!(matches!(failed, Err(CallError::Broken(Fault::Trap { .. }))));
    assert!(caller.faults < 4 * MAX_FAILURES, "{} faults", caller.faults);
}

/// GIVEN a call that succeeded when the plan was made, WHEN it faults in the replay, THEN that is an error of its own.
#[test]
fn a_replay_that_faults_is_not_bisected() {
    let mut caller = Trapping::on([5]);
    let plan = [Call { chunk: 0, start: 0, end: 10, fresh: true }];
    let failed = Plan { expired: None, calls: &plan }.chunk(&mut caller, 0, &rows(0..10));
    assert!(matches!(failed, Err(CallError::Replay(_))));
}

/// Batches of entries that expired at these times.
fn due(batches: &[&[i64]]) -> Vec<Due> {
    let batch = |expiries: &&[i64]| {
        let offsets: Vec<u32> = vec![0; expiries.len() + 1];
        Due { key_offsets: offsets.clone(), value_offsets: offsets, expiries: expiries.to_vec(), ..Due::default() }
    };
    batches.iter().map(batch).collect()
}

/// GIVEN entries that expired, THEN the plugin gets them before the rows, in the instance that the rows then use, also when the
/// plan is followed.
#[test]
fn what_expired_comes_before_the_rows_in_one_instance() {
    let (chunk, mut first) = (rows(1..=3), Trapping::default());
    let mut calls = Calls::Find(Discovery::default());
    calls.expire(&mut first, &due(&[&[100], &[200]])).unwrap();
    calls.chunk(&mut first, 0, &chunk, |_| 0).unwrap();
    let Calls::Find(found) = calls else { unreachable!() };
    assert!(!found.plan[0].fresh && found.expired.is_none());
    let mut again = Trapping::default();
    let mut calls = Calls::Follow(Plan { expired: None, calls: &found.plan });
    calls.expire(&mut again, &due(&[&[100], &[200]])).unwrap();
    calls.chunk(&mut again, 0, &chunk, |_| 0).unwrap();
    for caller in [first, again] {
        assert_eq!((caller.calls, caller.renewals), (vec![vec![100], vec![200], vec![1, 2, 3]], 1));
    }
}

/// GIVEN entries that the plugin traps on among those that expired, THEN they alone are set aside, every other one is handed
/// out once and in order, the rows follow, and the plan leads a replay through the same calls without a fault.
#[test]
fn poison_entries_are_found_by_halving() {
    let (chunk, mut first) = (rows(1..=3), Trapping::on([200, 501]));
    let entries = due(&[&[100, 101, 102, 200, 300], &[500, 501]]);
    let mut calls = Calls::Find(Discovery::default());
    calls.expire(&mut first, &entries).unwrap();
    calls.chunk(&mut first, 0, &chunk, |_| 0).unwrap();
    let Calls::Find(found) = calls else { unreachable!() };
    let expired = found.expired.unwrap();
    let poison: Vec<_> =
        expired.poison.iter().map(|poison| (poison.batch, poison.entry, poison.code.as_str())).collect();
    assert_eq!(poison, [(0, 3, "trap"), (1, 1, "trap")]);
    assert_eq!(first.calls.concat(), [100, 101, 102, 300, 500, 1, 2, 3]);
    assert!(found.plan[0].fresh, "the instance before died of an entry");
    let mut again = Trapping::on([200, 501]);
    let mut calls = Calls::Follow(Plan { expired: Some(&expired), calls: &found.plan });
    calls.expire(&mut again, &entries).unwrap();
    calls.chunk(&mut again, 0, &chunk, |_| 0).unwrap();
    assert_eq!((again.calls, again.faults), (first.calls, 0));
}

/// GIVEN a call on entries that fails on all and on none alone, as one that takes too long, THEN its halves are the plan.
#[test]
fn entries_that_fail_only_together_are_all_handed_out() {
    struct Slow(Trapping);
    impl Caller for Slow {
        fn renew(&mut self) -> Result<(), Fault> {
            self.0.renew()
        }
        fn call(&mut self, rows: &RecordBatch, first: usize, hurry: u64) -> Result<Answer, Fault> {
            self.0.call(rows, first, hurry)
        }
        fn expire(&mut self, due: &Due, hurry: u64) -> Result<Answer, Fault> {
            if due.len() > 2 { Err(Fault::Deadline { limit_ms: 1 }) } else { self.0.expire(due, hurry) }
        }
    }
    let mut discovery = Discovery::default();
    discovery.expire(&mut Slow(Trapping::default()), &due(&[&[1, 2, 3, 4]])).unwrap();
    let expired = discovery.expired.unwrap();
    let calls = [(0, 2, true), (2, 4, false)].map(|(start, end, fresh)| Call { chunk: 0, start, end, fresh });
    assert_eq!((expired.calls, expired.poison), (calls.to_vec(), vec![]));
}

/// GIVEN a plugin that never ends, WHEN nobody is to be patient with it, THEN it is called once.
#[test]
fn an_impatient_discovery_ends_with_the_first_call_that_takes_too_long() {
    let (mut endless, mut impatient) = (Looping::on(0..100), Discovery::new(true, Budget::default()));
    let given_up = impatient.chunk(&mut endless, 0, &rows(0..100), |_| 0);
    assert!(matches!(given_up, Err(CallError::Slow(Fault::Deadline { .. }))));
    assert_eq!(endless.shares, [1.0]);
}

/// A plugin that loops on some values and takes half of a call's time for another; and the share of that time that it was
/// given in each call that took too long.
struct Looping {
    on: BTreeSet<i64>,
    slow: i64,
    called: Vec<i64>,
    shares: Vec<f64>,
}

impl Looping {
    fn on(values: impl IntoIterator<Item = i64>) -> Self {
        Self { on: values.into_iter().collect(), slow: -1, called: Vec::new(), shares: Vec::new() }
    }
}

impl Caller for Looping {
    fn renew(&mut self) -> Result<(), Fault> {
        Ok(())
    }
    fn call(&mut self, rows: &RecordBatch, _first: usize, hurry: u64) -> Result<Answer, Fault> {
        let values = rows.column(0).as_primitive::<Int64Type>().values();
        if values.iter().any(|value| self.on.contains(value)) || hurry > 2 && values.contains(&self.slow) {
            self.shares.push(1.0 / f64::from(u32::try_from(hurry).unwrap()));
            return Err(Fault::Deadline { limit_ms: 1 });
        }
        self.called.extend_from_slice(values);
        Ok(Answer::default())
    }
    fn expire(&mut self, _due: &Due, _hurry: u64) -> Result<Answer, Fault> {
        Err(Fault::Deadline { limit_ms: 1 })
    }
}

/// GIVEN a row on which the plugin loops, THEN it is found in three and a half times what a call may take; WHEN another one
/// beside it is slow and yet within the limit, THEN that one is not blamed.
#[test]
fn a_row_that_takes_for_ever_is_found_in_little_time() {
    for slow in [-1, 4001] {
        let mut looping = Looping { slow, ..Looping::on([4000]) };
        let mut discovery = Discovery::default();
        discovery.chunk(&mut looping, 0, &rows(0..8192), |row| i64::try_from(row).unwrap()).unwrap();
        assert_eq!(discovery.poison.iter().map(|poison| poison.offset).collect::<Vec<_>>(), [4000]);
        assert_eq!(looping.called, (0..8192).filter(|value| *value != 4000).collect::<Vec<_>>());
        let lost: f64 = looping.shares.iter().sum();
        assert!(slow > 0 || lost <= 3.5, "{lost} times a call's limit: {:?}", looping.shares);
    }
}

/// GIVEN a plugin that loops on everything, THEN it is given up after a bounded time, and no row is blamed.
#[test]
fn a_plugin_that_loops_on_all_rows_is_given_up() {
    let mut looping = Looping::on(0..8192);
    let given_up = Discovery::default().chunk(&mut looping, 0, &rows(0..8192), |_| 0);
    assert!(matches!(given_up, Err(CallError::Slow(Fault::Deadline { .. }))));
    let lost: f64 = looping.shares.iter().sum();
    assert!(lost <= 13.0, "{lost} times a call's limit");
}

/// GIVEN a budget, THEN so many rows may fail and not one more, over all chunks and expired entries of the epoch.
#[test]
fn a_budget_holds_for_the_epoch() {
    let poison = [3, 40, 150];
    for (failures, fits) in [(3, true), (2, false), (0, false)] {
        let mut discovery = Discovery::new(false, Budget { failures });
        let mut trapping = Trapping::on(poison);
        let outcome = [rows(0..100), rows(100..200)]
            .into_iter()
            .try_for_each(|chunk| discovery.chunk(&mut trapping, 0, &chunk, |_| 0).map(drop));
        assert_eq!(outcome.is_ok(), fits, "{failures}");
    }
    let mut discovery = Discovery::new(false, Budget { failures: 1 });
    let mut trapping = Trapping::on([200, 3]);
    discovery.expire(&mut trapping, &due(&[&[100, 200]])).unwrap();
    let outcome = discovery.chunk(&mut trapping, 0, &rows(0..10), |_| 0).map(drop);
    assert!(matches!(outcome, Err(CallError::Broken(_))), "{outcome:?}");
}

/// GIVEN a plugin that traps on all that expired, THEN the lane stops: a new version has to take it.
#[test]
fn a_plugin_that_takes_no_entry_stops_the_lane() {
    let all: Vec<i64> = (0..1_000).collect();
    let mut calls = Calls::Find(Discovery::default());
    let stopped = calls.expire(&mut Trapping::on(0..1_000), &due(&[&all])).map(drop);
    assert!(matches!(stopped, Err(CallError::Expire(Fault::Trap { .. }))), "{stopped:?}");
    let stopped = Calls::Follow(Plan { expired: None, calls: &[] }).expire(&mut Trapping::on([200]), &due(&[&[200]]));
    assert!(matches!(stopped.map(drop), Err(CallError::Replay(Fault::Trap { .. }))));
}
