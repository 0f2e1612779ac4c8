//! CPU time of the stages of an epoch.

use std::time::Duration;

use crate::cpu::thread_time;

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
    /// Columns to blocks.
    pub assemble: StageTime,
    /// Digests of what came in, of the blocks and of the changes of the state, for the intent.
    pub digest: StageTime,
}

impl StageTime {
    /// Runs one step of the stage on this thread and adds its CPU time.
    pub fn of<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let result = step();
        self.0 += thread_time().saturating_sub(before);
        result
    }
}
