//! Waiting for a condition, with a bound.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at: short beside what is waited for, long beside what a look costs.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not hold within `bound`.
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, bound, || if condition() { Ok(()) } else { Err("not yet") });
}

/// Waits for a value. `look` answers it, or says how far things are: the last such word ends up in the message.
///
/// # Panics
/// When there is no value within `bound`.
#[expect(clippy::disallowed_methods, reason = "the one place where tests let time pass")]
pub fn wait_for<T, W: std::fmt::Display>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<T, W>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(word) => assert!(start.elapsed() < bound, "{what}: not within {bound:?}; last seen: {word}"),
        }
        thread::sleep(INTERVAL);
    }
}
