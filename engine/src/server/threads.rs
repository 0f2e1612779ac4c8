//! CPU time by thread name: what the threads of sources and of I/O cost can't be measured from within.
//!
//! Linux counts it in ticks of a hundredth of a second; elsewhere nothing is reported.

use std::fs;

use crate::source::FILE_THREADS;

/// Threads' name beginnings and the stage that they work for.
const STAGES: [(&str, &str); 4] =
    [("rdk:", "fetch"), ("kafka-", "fetch"), (FILE_THREADS, "fetch"), ("engine-io", "insert")];
/// Linux's `USER_HZ`, a constant of its interface on every architecture that the engine is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds so far of the stages that run on threads of their own.
#[must_use]
pub(super) fn cpu_seconds() -> Vec<(&'static str, f64)> {
    let mut fetch_insert = [("fetch", 0.0), ("insert", 0.0)];
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    for task in tasks.flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((name, ticks)) = parse(&stat) else { continue };
        let Some((_, stage)) = STAGES.iter().find(|(beginning, _)| name.starts_with(beginning)) else { continue };
        if let Some((_, seconds)) = fetch_insert.iter_mut().find(|(known, _)| known == stage) {
            *seconds += ticks / TICKS_PER_SECOND;
        }
    }
    fetch_insert.to_vec()
}

/// Name and ticks (user and system) of a line of `/proc/PID/task/TID/stat`; see proc(5). The name stands in
/// parentheses and may hold any character, so the last one ends it.
fn parse(stat: &str) -> Option<(&str, f64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((name, ticks(11)? + ticks(12)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (rdk:a) b) S 1 7 7 0 -1 4194304 1 0 0 0 150 25 0 0 20 0 3 0 100 0 0";
        assert_eq!(parse(stat), Some(("rdk:a) b", 175.0)));
        assert_eq!(parse("no line of that kind"), None);
    }
}
