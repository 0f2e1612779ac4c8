//! Random runs of the simulated world. `SEEDS` runs from `START` on (300 from 0), or the one of `SEED`; each that fails
//! is named with what was wrong, and can be seen again with `SEED`. They run on all cores, until `FAILURES` of them have
//! failed (there is no such limit unless it is given). The last line is the sum.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, available_parallelism};
use std::time::Instant;

use harness::simulation::{WORLDS, run_seed};

/// A long run says how far it is each time it has begun so many.
const PROGRESS: u64 = 10_000;

fn main() -> ExitCode {
    let one: Option<u64> = given("SEED");
    let first = one.or_else(|| given("START")).unwrap_or(0);
    let seeds: u64 = if one.is_some() { 1 } else { given("SEEDS").unwrap_or(300) };
    let most_failed = given("FAILURES").unwrap_or(u64::MAX);
    let (began, next) = (Instant::now(), AtomicU64::new(0));
    let (faults, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = || {
        while failed.load(Ordering::Relaxed) < most_failed {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return;
            }
            if number > 0 && number.is_multiple_of(PROGRESS) {
                println!("{number} seeds so far, {} failed", failed.load(Ordering::Relaxed));
            }
            let seed = first + number;
            let (met, wrong) = outcome(seed);
            faults.fetch_add(met, Ordering::Relaxed);
            if !wrong.is_empty() {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("SEED={seed} failed:\n  {}", wrong.join("\n  "));
            }
        }
    };
    // A run has one thread, and nothing in common with another.
    let threads = available_parallelism().map_or(1, usize::from).min(WORLDS);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    let (seeds, faults, failed) = (next.into_inner().min(seeds), faults.into_inner(), failed.into_inner());
    println!("{:.1} seeds/s", seeds as f64 / began.elapsed().as_secs_f64());
    println!("{seeds} seeds, {faults} faults, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The faults of a run, and what was wrong at its end.
fn outcome(seed: u64) -> (u64, Vec<String>) {
    match catch_unwind(|| run_seed(seed)) {
        Ok(outcome) => (outcome.faults, outcome.wrong),
        Err(_) => (0, vec!["it did not come to its end, see above".to_owned()]),
    }
}

/// A number from the environment; empty is not given.
fn given<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
