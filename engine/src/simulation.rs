//! What the simulated twins of source, sink and journal share: chance that a seed decides, and a process that can end at
//! any of its steps.
//!
//! Each seam has a real part and a simulated one with the same promises. A twin comes in two halves: what lies outside
//! and survives (topics, tables, a disk), and a process's way to it, which ends with the process. All of it runs on one
//! thread, in paused time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::random::Random;

/// Where a call across a seam stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has happened outside.
    Before,
    /// The outside has been asked: it may do it or not. A write is not synced; a request is on its way.
    Between,
    /// It is done, and the caller does not know it yet.
    After,
}

/// The steps of a process that can be its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A reader is opened.
    Open,
    /// A batch is given out.
    Batch,
    /// A lane is taken.
    Take(Phase),
    /// An intent is written.
    Intend(Phase),
    /// A lane is claimed at the tables.
    Claim(Phase),
    /// A table is asked for an epoch's rows.
    Probe,
    /// A block is inserted.
    Insert(Phase),
    /// An epoch is committed.
    Commit(Phase),
    /// A lane is restarted by an operator.
    Restart(Phase),
}

/// Random decisions of a run. Clones share one stream.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<Random>>);

impl Chance {
    /// The same seed decides the same.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Random::new(seed))))
    }

    /// A number below `limit`; 0 if the limit is 0.
    #[must_use]
    pub fn below(&self, limit: u32) -> u32 {
        locked(&self.0).below(limit)
    }

    /// True so many times in a thousand.
    #[must_use]
    pub fn per_mille(&self, rate: u32) -> bool {
        self.below(1_000) < rate
    }
}

/// A process. Every step of its twins passes here; once it has ended, no step returns any more, until its tasks are
/// dropped. Clones are the same process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    state: Arc<Mutex<State>>,
    ended: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    taken: u32,
    last: Option<Step>,
    ended: bool,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Count(u32),
    Nth(Step, u32),
}

impl Process {
    /// Ends the process at its so-manieth step, counted from 0 and from its start.
    #[must_use]
    pub fn ending_at_count(count: u32) -> Self {
        Self::ending(End::Count(count))
    }

    /// Ends the process when it takes this step for the `nth` time, counted from 0.
    #[must_use]
    pub fn ending_at(step: Step, nth: u32) -> Self {
        Self::ending(End::Nth(step, nth))
    }

    fn ending(end: End) -> Self {
        let process = Self::default();
        process.state().end = Some(end);
        process
    }

    /// Ends it now.
    pub fn end(&self) {
        self.state().ended = true;
        self.ended.notify_one();
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        if !self.state().ended {
            self.ended.notified().await;
        }
    }

    /// Whether it has ended, and the last step that it took.
    #[must_use]
    pub fn last_step(&self) -> (bool, Option<Step>) {
        let state = self.state();
        (state.ended, state.last)
    }

    /// Takes a step; never returns if it is the last one, or if there was a last one before.
    pub(crate) async fn step(&self, step: Step) {
        let ends = self.state().ends_at(step);
        if ends {
            self.end();
            std::future::pending::<()>().await;
        }
        yield_now().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn ends_at(&mut self, step: Step) -> bool {
        if self.ended {
            return true;
        }
        self.last = Some(step);
        let last = match &mut self.end {
            Some(End::Count(count)) => self.taken == *count,
            Some(End::Nth(at, 0)) => *at == step,
            Some(End::Nth(at, more)) => {
                *more -= u32::from(*at == step);
                false
            }
            None => false,
        };
        self.taken += 1;
        last
    }
}

/// Locks what no panic can leave half written.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
