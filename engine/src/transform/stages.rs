//! CPU time of the stages of an epoch.

use std::time::Duration;

/// CPU time that one stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTime(pub Duration);

/// CPU time of each stage that runs on the thread of the transform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Bytes to columns.
    pub decode: StageTime,
    /// The plugin, its border and its instances.
    pub plugin: StageTime,
    /// Columns to blocks, and their digests.
    pub assemble: StageTime,
}

impl StageTime {
    /// Runs one step of the stage on this thread and adds its CPU time.
    pub fn of<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let before = thread_cpu_time();
        let result = step();
        self.0 += thread_cpu_time().saturating_sub(before);
        result
    }
}

/// CPU time of the calling thread: unlike the time of day it does not count what other threads did meanwhile.
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
