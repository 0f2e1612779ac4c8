//! Claims: who may insert for a lane, as the tables' server judges it.
//!
//! The journal shuts a former owner out of the journal; a claim shuts it out of the tables. Each take of a lane writes
//! `(owner, attempt, nonce)` into a fence table beside its tables, and each insert asks the server whether that is still
//! the greatest: an engine that was stopped, cut off or copied, and wakes up, is refused, however late its request comes.
//!
//! **Promise.** Once a claim is raised and the requests of the former one are killed, nothing old lands any more: what
//! the tables hold then can be compared with what they should hold.
//! **Assumed.** One server, or a cluster whose reads of the fence are linearizable.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::journal::Owner;
use crate::offsets::LaneId;

/// A lane's right to insert.
#[derive(Debug)]
pub struct Claim {
    pub(super) lane: LaneId,
    pub(super) owner: Owner,
    /// Tells two processes apart that took the same owner's number, from two copies of one journal.
    pub(super) nonce: u64,
    /// Whether the server judges it. It does not where the engine may not create the fence table.
    pub(super) judged: bool,
    /// Inserts go on side by side with the gate held for reading; whoever has to find out what became of one holds it
    /// for writing: raising the attempt refuses all of the lane's own requests that are still on their way, so two
    /// that did it side by side would refuse each other's for ever. It guards the attempt.
    gate: RwLock<u32>,
    /// Nothing is on its way whose outcome is unknown, and the fence holds the attempt that the gate guards.
    clear: AtomicBool,
}

impl Claim {
    pub(super) fn new(lane: LaneId, owner: Owner, nonce: u64, judged: bool) -> Self {
        Self { lane, owner, nonce, judged, gate: RwLock::new(0), clear: AtomicBool::new(true) }
    }

    /// A claim that no server judges: for blocks of no lane.
    #[must_use]
    pub fn unjudged(lane: LaneId) -> Self {
        Self::new(lane, Owner(0), 0, false)
    }

    pub(super) async fn beside_others(&self) -> RwLockReadGuard<'_, u32> {
        self.gate.read().await
    }

    pub(super) async fn alone(&self) -> RwLockWriteGuard<'_, u32> {
        self.gate.write().await
    }

    pub(super) fn is_clear(&self) -> bool {
        self.clear.load(Ordering::Acquire)
    }

    pub(super) fn set_clear(&self, clear: bool) {
        self.clear.store(clear, Ordering::Release);
    }

    /// What the fence holds while this claim is good.
    pub(super) fn fence(&self, attempt: u32) -> Fence {
        Fence { owner: self.owner.0, attempt, nonce: self.nonce }
    }
}

/// What a fence table holds of a lane; the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fence {
    /// The journal's owner.
    pub(super) owner: u64,
    /// Raised within an owner when the outcome of an insert is unknown.
    pub(super) attempt: u32,
    /// Random.
    pub(super) nonce: u64,
}

impl Fence {
    /// Why a claim is not the lane's any more.
    pub(super) fn words(self, mine: Fence) -> String {
        if self == Self::default() {
            "its fence is gone: somebody dropped or emptied the fence table".to_owned()
        } else if self.owner == mine.owner {
            format!("another engine has a copy of this journal and the same owner's number, {}", mine.owner)
        } else {
            format!("owner {} has it now, this engine is owner {}", self.owner, mine.owner)
        }
    }
}
