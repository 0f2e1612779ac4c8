//! What the sink did so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::trouble::Cause;

/// Counters of one server; they only grow, but for `waiting`.
#[derive(Debug)]
pub struct SinkStats {
    inserts: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    waiting: AtomicU64,
    encoding: AtomicU64,
    causes: [AtomicU64; Cause::ALL.len()],
}

/// Several counters as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkTotals {
    /// Blocks that are in.
    pub inserts: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes sent for them, each attempt counted.
    pub bytes: u64,
    /// Time between their first attempt and their success, summed up.
    pub time: Duration,
    /// Blocks and statements that wait for the server now, because an attempt failed.
    pub waiting: u64,
}

impl Default for SinkStats {
    fn default() -> Self {
        Self {
            inserts: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            encoding: AtomicU64::new(0),
            causes: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl SinkStats {
    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> SinkTotals {
        SinkTotals {
            inserts: self.inserts.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// CPU time of writing blocks into request bodies.
    #[must_use]
    pub fn encode_time(&self) -> Duration {
        Duration::from_nanos(self.encoding.load(Ordering::Relaxed))
    }

    pub(super) fn encoded(&self, time: Duration) {
        self.encoding.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Attempts without success, by cause.
    pub fn failures(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().zip(self.causes.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    pub(super) fn inserted(&self, rows: usize, bytes: usize, time: Duration) {
        self.inserts.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn failed(&self, cause: Cause) {
        if let Some(count) = self.causes.get(cause as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one more that waits, until the guard is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }
}

/// Somebody who waits for the server.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a SinkStats);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
