//! Random runs of the simulated world. `SEEDS` runs from `START` on (300 from 0), or the one of `SEED`; each that fails
//! is named with what was wrong, and can be seen again with `SEED`. The last line is the sum.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::str::FromStr;

use harness::simulation::run_seed;

fn main() -> ExitCode {
    let one: Option<u64> = given("SEED");
    let first = one.or_else(|| given("START")).unwrap_or(0);
    let seeds = if one.is_some() { 1 } else { given("SEEDS").unwrap_or(300) };
    let (mut faults, mut failed) = (0, 0);
    for seed in first..first + seeds {
        let wrong = match catch_unwind(AssertUnwindSafe(|| run_seed(seed))) {
            Ok(outcome) => {
                faults += outcome.faults;
                outcome.wrong
            }
            Err(_) => vec!["it did not come to its end, see above".to_owned()],
        };
        if !wrong.is_empty() {
            failed += 1;
            println!("SEED={seed} failed:\n  {}", wrong.join("\n  "));
        }
    }
    println!("{seeds} seeds, {faults} faults, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A number from the environment; empty is not given.
fn given<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
