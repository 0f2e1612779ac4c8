//! Calling a plugin in an epoch: with the entries that expired, then on the rows, by a plan of calls, found or followed.
//!
//! Which entries expire follows from the state and the watermark: they come in batches, each of which is one call, in a
//! fresh instance; the first call on rows goes on in it. An epoch's rows are decoded in chunks, and each chunk is one call.
//!
//! A call that faults is repeated on its halves, each in a fresh instance, until the rows or entries that fail alone are
//! found: the poison. The calls that succeeded are the *plan*; it is part of the intent, so that a replay makes exactly
//! these calls and looks for nothing. (A time limit makes the plan depend on the machine; it never makes the replay depend
//! on it.) A poison row's message is a dead letter. So is a poison entry, with what it held: it had expired and is out of
//! the state, whether the plugin could take it or not, so that the next epoch does not fail on it again.
//!
//! Halving finds one poison row among n in log2(n) + 1 failed calls. Where calls fail as they take too long, parts are given
//! less time, as they have fewer rows; a row that fails so is called once more with all the time there is, before it is blamed.
//! So a row on which a plugin loops costs three times the limit of a call, not fourteen times.

use std::ops::Range;

use arrow_array::RecordBatch;

use super::CallLimits;
use crate::config::MAX_FAILURES;
use crate::journal::{Call, Expired, Poison, PoisonEntry};
use crate::plugin::{Answer, Fault};
use crate::state::{Due, StateError};

/// Most poison entries in an epoch, whatever the budget: their letters' numbers have room for so many.
pub(super) const MAX_POISON_ENTRIES: usize = 64;

/// The least part of its time that a call on few rows is given: less is lost in what else the machine does.
const LEAST_PART: u64 = 16;

/// Time that may be lost in an epoch on calls that take too long, in [`LEAST_PART`]s of what a call has: twelve calls in all, a
/// minute where nobody set another limit. To find a row on which the plugin loops takes three and a half.
const MOST_LATE: u64 = 12 * LEAST_PART;

/// On how much a plugin may fail in an epoch. One that fails on more is broken, not the rows: nothing comes of the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows and entries.
    pub failures: usize,
}

impl Budget {
    /// As much as any settings allow.
    pub const MOST: Self = Self { failures: 1_000 };
}

impl Default for Budget {
    fn default() -> Self {
        Self { failures: MAX_FAILURES }
    }
}

/// A plugin with at most one live instance. The sandbox is one; tests have another.
pub(super) trait Caller {
    /// Throws the instance away, if there is one, and makes a fresh one.
    fn renew(&mut self) -> Result<(), Fault>;
    /// The next calls are on a chunk, whose rows have these offsets.
    fn chunk(&mut self, _offsets: &[i64]) {}
    /// Calls the live instance with rows of the chunk, from this one on; it has a part of a call's time: one over `hurry`.
    /// After a fault it is dead.
    fn call(&mut self, rows: &RecordBatch, first: usize, hurry: u64) -> Result<Answer, Fault>;
    /// Calls it with entries that have expired.
    fn expire(&mut self, due: &Due, hurry: u64) -> Result<Answer, Fault>;
}

/// How the calls of an epoch are known.
pub(super) enum Calls<'a> {
    /// Not yet.
    Find(Discovery),
    /// From its intent.
    Follow(Plan<'a>),
}

/// The calls of an intent.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    /// On entries; none: each batch is a call.
    pub expired: Option<&'a Expired>,
    /// On rows.
    pub calls: &'a [Call],
}

/// An answer and the rows that it is about.
pub(super) struct Answered {
    /// The call that gave it.
    pub call: Call,
    /// Its answer; row numbers count from the call's start.
    pub answer: Answer,
}

/// Why an epoch can't be transformed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No instance could be made: the parameters are wrong, or the plugin fails before it sees a row.
    #[error("the plugin does not start")]
    Start(#[source] Fault),
    /// The engine could not run it: no row is to blame, and the same call may succeed later.
    #[error("the plugin could not be run")]
    Engine(#[source] Fault),
    /// What it wants to remember is more than it may. No row is to blame: they wait until the limit is raised, or the
    /// plugin keeps less.
    #[error("the plugin keeps too much: raise limits.state_mib in plugin.toml, or let entries expire earlier")]
    State(#[source] Fault),
    /// What it remembers can't be had: it lies on a disk that fails.
    #[error("what the plugin remembers can't be read")]
    Disk(#[source] Fault),
    /// It fails on too many of the entries that expired to set them aside.
    #[error(
        "the plugin fails on more entries of its state that expired than it may: a new version has to take them; the last \
         fault"
    )]
    Expire(#[source] Fault),
    /// Calls take longer than they may: on too many rows, or where nobody waits to learn on which.
    #[error("calls of the plugin take too long")]
    Slow(#[source] Fault),
    /// It fails on too many rows to blame the rows.
    #[error(
        "the plugin fails on more rows of one batch than it may (failure.max_failures in plugin.toml); the last fault"
    )]
    Broken(#[source] Fault),
    /// A call of the plan, which succeeded once, now faults: the plugin is not deterministic, or this is another engine.
    #[error("a call that succeeded before the crash now fails: the plugin is not deterministic")]
    Replay(#[source] Fault),
}

impl Calls<'_> {
    /// Whether a call's time limit holds.
    pub(super) fn limits(&self) -> CallLimits {
        match self {
            Self::Find(_) => CallLimits::Enforced,
            Self::Follow(_) => CallLimits::Replay,
        }
    }

    /// Calls the plugin with the entries that expired, if there are any, before its first call.
    pub(super) fn expire(&mut self, caller: &mut impl Caller, due: &[Due]) -> Result<Vec<Answer>, CallError> {
        match self {
            Self::Find(discovery) => discovery.expire(caller, due),
            Self::Follow(plan) => plan.expire(caller, due),
        }
    }

    /// Makes the calls on one chunk. `offset_of` gives the offset of a row of the chunk.
    pub(super) fn chunk(
        &mut self,
        caller: &mut impl Caller,
        chunk: u32,
        rows: &RecordBatch,
        offset_of: impl Fn(usize) -> i64,
    ) -> Result<Vec<Answered>, CallError> {
        match self {
            Self::Find(discovery) => discovery.chunk(caller, chunk, rows, offset_of),
            Self::Follow(plan) => plan.chunk(caller, chunk, rows),
        }
    }
}

/// Finds the plan of an epoch: entries first, then chunk by chunk.
#[derive(Default)]
pub(super) struct Discovery {
    pub plan: Vec<Call>,
    pub poison: Vec<Poison>,
    /// None: each batch of entries was one call.
    pub expired: Option<Expired>,
    /// Gives up at a call that takes too long: see [`super::Transform::impatient`].
    impatient: bool,
    budget: Budget,
    /// Time lost on calls that took too long, as in [`MOST_LATE`].
    late: u64,
    /// A fresh instance is needed before the next call.
    stale: bool,
    begun: bool,
}

/// What halving found of one batch.
#[derive(Default)]
struct Halved {
    answers: Vec<Answered>,
    poison: Vec<(usize, Fault)>,
}

impl Discovery {
    /// Nothing is found yet.
    pub(super) fn new(impatient: bool, budget: Budget) -> Self {
        Self { impatient, budget, ..Self::default() }
    }

    /// So many more may fail.
    fn left(&self, entries: usize) -> usize {
        self.budget.failures.saturating_sub(self.poison.len() + entries)
    }

    /// Calls the plugin with the entries that expired.
    fn expire(&mut self, caller: &mut impl Caller, due: &[Due]) -> Result<Vec<Answer>, CallError> {
        let (mut answers, mut expired) = (Vec::new(), Expired::default());
        for (batch, due) in (0_u32..).zip(due) {
            let call =
                |caller: &mut _, entries: Range<usize>, hurry| Caller::expire(caller, &due.slice(entries), hurry);
            let left = self.left(expired.poison.len()).min(MAX_POISON_ENTRIES - expired.poison.len());
            let found = self.halve(caller, batch, due.len(), (left, CallError::Expire), call)?;
            for Answered { call, answer } in found.answers {
                expired.calls.push(call);
                answers.push(answer);
            }
            expired.poison.extend(found.poison.into_iter().map(|(entry, fault)| PoisonEntry {
                batch,
                entry: row(entry),
                code: fault.code().to_owned(),
                reason: fault.to_string(),
            }));
        }
        let each_was_one_call = expired.poison.is_empty() && expired.calls.len() == due.len();
        self.expired = (!each_was_one_call).then_some(expired);
        Ok(answers)
    }

    /// Calls the plugin on one chunk. `offset_of` gives the offset of a row of the chunk.
    fn chunk(
        &mut self,
        caller: &mut impl Caller,
        chunk: u32,
        rows: &RecordBatch,
        offset_of: impl Fn(usize) -> i64,
    ) -> Result<Vec<Answered>, CallError> {
        let call = |caller: &mut _, of: Range<usize>, hurry| {
            Caller::call(caller, &rows.slice(of.start, of.len()), of.start, hurry)
        };
        let left = self.left(self.expired.as_ref().map_or(0, |expired| expired.poison.len()));
        let found = self.halve(caller, chunk, rows.num_rows(), (left, CallError::Broken), call)?;
        self.plan.extend(found.answers.iter().map(|answered| answered.call));
        self.poison.extend(found.poison.into_iter().map(|(row, fault)| Poison {
            offset: offset_of(row),
            code: fault.code().to_owned(),
            reason: fault.to_string(),
        }));
        Ok(found.answers)
    }

    /// Makes one call of so many rows, or calls on smaller and smaller parts of them. `left`: so many may fail alone.
    fn halve<C: Caller>(
        &mut self,
        caller: &mut C,
        chunk: u32,
        count: usize,
        (left, too_many): (usize, fn(Fault) -> CallError),
        call: impl Fn(&mut C, Range<usize>, u64) -> Result<Answer, Fault>,
    ) -> Result<Halved, CallError> {
        let mut found = Halved::default();
        // A stack in place of recursion; the earlier half lies on top, so calls stay in order.
        let mut waiting = vec![(0, count, 1)];
        while let Some((start, end, hurry)) = waiting.pop() {
            if start == end {
                continue;
            }
            let fresh = self.make_ready(caller)?;
            match call(caller, start..end, hurry) {
                Ok(answer) => {
                    found
                        .answers
                        .push(Answered { call: Call { chunk, start: row(start), end: row(end), fresh }, answer });
                }
                Err(fault) => {
                    let fault = self.patient(guilty(fault)?, hurry)?;
                    let late = matches!(fault, Fault::Deadline { .. });
                    self.stale = true;
                    if end - start > 1 {
                        tracing::debug!(%fault, rows = end - start, "call failed, halving");
                        let middle = start + (end - start) / 2;
                        let hurry = if late { (hurry * 2).min(LEAST_PART) } else { hurry };
                        waiting.extend([(middle, end, hurry), (start, middle, hurry)]);
                    } else if late && hurry > 1 {
                        waiting.push((start, end, 1));
                    } else if found.poison.len() == left {
                        return Err(too_many(fault));
                    } else {
                        found.poison.push((start, fault));
                    }
                }
            }
        }
        Ok(found)
    }

    /// A fault of which more may come: not of calls that take too long, for ever.
    fn patient(&mut self, fault: Fault, hurry: u64) -> Result<Fault, CallError> {
        if matches!(fault, Fault::Deadline { .. }) {
            self.late += LEAST_PART / hurry;
            if self.impatient || self.late > MOST_LATE {
                return Err(CallError::Slow(fault));
            }
        }
        Ok(fault)
    }

    fn make_ready(&mut self, caller: &mut impl Caller) -> Result<bool, CallError> {
        let fresh = self.stale || !self.begun;
        if fresh {
            renew(caller)?;
            (self.stale, self.begun) = (false, true);
        }
        Ok(fresh)
    }
}

impl Plan<'_> {
    /// Makes the calls on the entries that expired.
    fn expire(self, caller: &mut impl Caller, due: &[Due]) -> Result<Vec<Answer>, CallError> {
        let Some(expired) = self.expired else {
            let whole =
                |(batch, due): (u32, &Due)| Call { chunk: batch, start: 0, end: row(due.len()), fresh: batch == 0 };
            return (0..).zip(due).map(whole).map(|call| expire_again(caller, due, call)).collect();
        };
        expired.calls.iter().map(|call| expire_again(caller, due, *call)).collect()
    }

    /// Makes the calls that lie in one chunk.
    fn chunk(self, caller: &mut impl Caller, chunk: u32, rows: &RecordBatch) -> Result<Vec<Answered>, CallError> {
        let of_chunk = self.calls.iter().filter(|call| call.chunk == chunk);
        of_chunk
            .map(|&call| {
                if call.fresh {
                    renew(caller)?;
                }
                // A chunk that is shorter than when it was planned is seen by the input digest; here it must not panic.
                let Range { start, end } = within(call, rows.num_rows());
                let answer = caller.call(&rows.slice(start, end - start), start, 1).map_err(again)?;
                Ok(Answered { call, answer })
            })
            .collect()
    }
}

/// Makes a call of a plan on entries. Where there are fewer than planned, the digest of the state's changes says so.
fn expire_again(caller: &mut impl Caller, due: &[Due], call: Call) -> Result<Answer, CallError> {
    if call.fresh {
        renew(caller)?;
    }
    let none = Due::default();
    let due = due.get(call.chunk as usize).unwrap_or(&none);
    caller.expire(&due.slice(within(call, due.len())), 1).map_err(again)
}

/// What a fault of a call means that succeeded before.
fn again(fault: Fault) -> CallError {
    guilty(fault).map_or_else(|error| error, CallError::Replay)
}

/// The rows of a call, of so many that there are.
fn within(call: Call, count: usize) -> Range<usize> {
    let start = (call.start as usize).min(count);
    start..(call.end as usize).clamp(start, count)
}

/// The fault, if it may be the plugin's or a row's; else why the lane has to stop.
fn guilty(fault: Fault) -> Result<Fault, CallError> {
    match fault {
        Fault::Engine { .. } => Err(CallError::Engine(fault)),
        Fault::State(StateError::Disk { .. }) => Err(CallError::Disk(fault)),
        Fault::State(_) => Err(CallError::State(fault)),
        Fault::Trap { .. }
        | Fault::Deadline { .. }
        | Fault::Memory { .. }
        | Fault::Stack
        | Fault::Output { .. }
        | Fault::Contract { .. }
        | Fault::StateTraffic { .. }
        | Fault::Failed { .. } => Ok(fault),
    }
}

fn renew(caller: &mut impl Caller) -> Result<(), CallError> {
    caller.renew().map_err(|fault| {
        if matches!(fault, Fault::Engine { .. }) { CallError::Engine(fault) } else { CallError::Start(fault) }
    })
}

fn row(index: usize) -> u32 {
    u32::try_from(index).expect("a chunk has at most CHUNK_MESSAGES rows, a batch at most DUE_ROWS entries")
}

#[cfg(test)]
mod tests;
