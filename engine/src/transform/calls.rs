//! Calling a plugin in an epoch: with the entries that expired, then on the rows, by a plan of calls, found or followed.
//!
//! Which entries expire follows from the state and the watermark, so their calls need no plan. They come first, in a fresh
//! instance; the first call on rows goes on in it. No row is to blame for a fault in them: it stops the lane.
//!
//! An epoch's rows are decoded in chunks, and each chunk is one call. A call that faults is repeated on its halves, each
//! in a fresh instance, until the rows that fail alone are found: the poison. The calls that succeeded are the *plan*;
//! it is part of the intent, so that a replay makes exactly these calls and looks for nothing. (A time limit makes the
//! plan depend on the machine; it never makes the replay depend on it.)
//!
//! Halving finds one poison row among n in log2(n) + 1 failed calls.

use arrow_array::RecordBatch;

use super::CallLimits;
use crate::journal::{Call, Poison};
use crate::plugin::{Answer, Fault};
use crate::state::Due;

/// Most poison rows in an epoch. A plugin that fails on more is broken, not the rows: its lane stops and the rows wait
/// at the source.
const MAX_POISON: usize = 64;

/// A plugin with at most one live instance. The sandbox is one; tests have another.
pub(super) trait Caller {
    /// Throws the instance away, if there is one, and makes a fresh one.
    fn renew(&mut self) -> Result<(), Fault>;
    /// Calls the live instance. After a fault it is dead.
    fn call(&mut self, rows: &RecordBatch) -> Result<Answer, Fault>;
    /// Calls it with entries that have expired.
    fn expire(&mut self, due: &Due) -> Result<Answer, Fault>;
}

/// How the calls of an epoch are known.
pub(super) enum Calls<'a> {
    /// Not yet.
    Find(Discovery),
    /// From its intent.
    Follow(&'a [Call]),
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
    /// It fails before it sees a row.
    #[error("the plugin fails on entries of its state that expired: a new version has to take them")]
    Expire(#[source] Fault),
    /// It fails on too many rows to blame the rows.
    #[error("the plugin fails on more than {MAX_POISON} rows of one batch; the last fault")]
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
        if due.is_empty() {
            return Ok(Vec::new());
        }
        renew(caller)?;
        if let Self::Find(discovery) = self {
            discovery.begun = true;
        }
        let again = matches!(self, Self::Follow(_));
        let error = |fault| match guilty(fault) {
            Ok(fault) if again => CallError::Replay(fault),
            Ok(fault) => CallError::Expire(fault),
            Err(error) => error,
        };
        due.iter().map(|due| caller.expire(due).map_err(error)).collect()
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
            Self::Follow(plan) => follow(caller, plan, chunk, rows),
        }
    }
}

/// Finds the plan of an epoch, chunk by chunk.
#[derive(Default)]
pub(super) struct Discovery {
    pub plan: Vec<Call>,
    pub poison: Vec<Poison>,
    /// A fresh instance is needed before the next call.
    stale: bool,
    begun: bool,
}

impl Discovery {
    /// Calls the plugin on one chunk. `offset_of` gives the offset of a row of the chunk.
    pub(super) fn chunk(
        &mut self,
        caller: &mut impl Caller,
        chunk: u32,
        rows: &RecordBatch,
        offset_of: impl Fn(usize) -> i64,
    ) -> Result<Vec<Answered>, CallError> {
        let mut answers = Vec::new();
        // A stack in place of recursion; the earlier half lies on top, so calls stay in offset order.
        let mut waiting = vec![(0, rows.num_rows())];
        while let Some((start, end)) = waiting.pop() {
            if start == end {
                continue;
            }
            let fresh = self.make_ready(caller)?;
            match caller.call(&rows.slice(start, end - start)) {
                Ok(answer) => {
                    let call = Call { chunk, start: row(start), end: row(end), fresh };
                    self.plan.push(call);
                    answers.push(Answered { call, answer });
                }
                Err(fault) => {
                    let fault = guilty(fault)?;
                    self.stale = true;
                    if end - start == 1 {
                        self.blame(offset_of(start), fault)?;
                        continue;
                    }
                    tracing::debug!(%fault, rows = end - start, "call failed, halving");
                    let middle = start + (end - start) / 2;
                    waiting.extend([(middle, end), (start, middle)]);
                }
            }
        }
        Ok(answers)
    }

    fn make_ready(&mut self, caller: &mut impl Caller) -> Result<bool, CallError> {
        let fresh = self.stale || !self.begun;
        if fresh {
            renew(caller)?;
            (self.stale, self.begun) = (false, true);
        }
        Ok(fresh)
    }

    fn blame(&mut self, offset: i64, fault: Fault) -> Result<(), CallError> {
        if self.poison.len() == MAX_POISON {
            return Err(CallError::Broken(fault));
        }
        self.poison.push(Poison { offset, code: fault.code().to_owned(), reason: fault.to_string() });
        Ok(())
    }
}

/// Makes the calls of a plan that lie in one chunk.
pub(super) fn follow(
    caller: &mut impl Caller,
    plan: &[Call],
    chunk: u32,
    rows: &RecordBatch,
) -> Result<Vec<Answered>, CallError> {
    plan.iter()
        .filter(|call| call.chunk == chunk)
        .map(|&call| {
            if call.fresh {
                renew(caller)?;
            }
            let (start, end) = (call.start as usize, call.end as usize);
            // A chunk that is shorter than when it was planned is seen by the input digest; here it must not panic.
            let start = start.min(rows.num_rows());
            let length = end.min(rows.num_rows()).saturating_sub(start);
            let answer = caller.call(&rows.slice(start, length)).map_err(CallError::Replay)?;
            Ok(Answered { call, answer })
        })
        .collect()
}

/// The fault, if it may be the plugin's or a row's; else why the lane has to stop.
fn guilty(fault: Fault) -> Result<Fault, CallError> {
    if matches!(fault, Fault::Engine { .. }) {
        return Err(CallError::Engine(fault));
    }
    if matches!(fault, Fault::State(_)) { Err(CallError::State(fault)) } else { Ok(fault) }
}

fn renew(caller: &mut impl Caller) -> Result<(), CallError> {
    caller.renew().map_err(|fault| {
        if matches!(fault, Fault::Engine { .. }) { CallError::Engine(fault) } else { CallError::Start(fault) }
    })
}

fn row(index: usize) -> u32 {
    u32::try_from(index).expect("a chunk has at most CHUNK_MESSAGES rows")
}

#[cfg(test)]
mod tests;
