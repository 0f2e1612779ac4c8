//! CPU time of the stages of an epoch.

use std::time::Duration;

use crate::cpu::{Of, note, thread_time};

/// CPU time that one stage took, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime(pub Duration, Of);

/// CPU time of each stage that runs on the thread of the transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Default for StageTimes {
    fn default() -> Self {
        let none = |of| StageTime(Duration::ZERO, of);
        let [decode, plugin, assemble, digest] = [Of::Decode, Of::Guest, Of::Assemble, Of::Digest].map(none);
        Self { decode, plugin, assemble, digest }
    }
}

impl StageTime {
    /// Runs one step of the stage on this thread and adds its CPU time, here and to what the tenant has used: it has used it
    /// also where the epoch comes to nothing.
    pub fn of<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let result = step();
        let took = thread_time().saturating_sub(before);
        self.0 += took;
        note(self.1, took);
        result
    }
}
