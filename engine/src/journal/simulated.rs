//! The journal's simulated twin: a disk in memory that loses what was not synced when its process ends.
//!
//! **Promise.** That of [`Journal`]. After a failed write nothing is taken any more, as with the real one.
//! **A crash** keeps what was synced, and of the writes behind it the first few, as chance has it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Commit, Intent, Journal, JournalError, Owner, Position, Taken};
use crate::offsets::LaneId;
use crate::simulation::{Chance, Phase, Process, Step, locked};

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    chance: Chance,
}

#[derive(Debug, Default)]
struct State {
    /// What a reader of the disk sees: synced or not.
    lanes: Lanes,
    /// As it was when it was synced last.
    synced: Lanes,
    /// Writes since.
    unsynced: Vec<(LaneId, Write)>,
    /// The sync that fails, counted down from the next one.
    failing: Option<u32>,
    intents: Vec<(LaneId, Intent)>,
    commits: Vec<(LaneId, Commit)>,
}

type Lanes = BTreeMap<LaneId, Lane>;

#[derive(Clone, Debug)]
struct Lane {
    owner: Owner,
    position: Position,
    open: BTreeMap<u64, Intent>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { owner: Owner(0), position: Position::default(), open: BTreeMap::new() }
    }
}

#[derive(Clone, Debug)]
enum Write {
    Take,
    Intend(Owner, Intent),
    Commit(Owner, Commit),
    Restart(Position),
}

impl Write {
    fn step(&self, phase: Phase) -> Step {
        match self {
            Self::Take => Step::Take(phase),
            Self::Intend(..) => Step::Intend(phase),
            Self::Commit(..) => Step::Commit(phase),
            Self::Restart(_) => Step::Restart(phase),
        }
    }
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        Self { state: Arc::default(), chance }
    }

    /// A copy of what is durable on it: a restored backup, a folder on two machines.
    #[must_use]
    pub fn copy(&self) -> Self {
        let synced = locked(&self.state).synced.clone();
        let state = State { lanes: synced.clone(), synced, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), chance: self.chance.clone() }
    }

    /// Opens the journal for a process. Whatever a former process left unsynced is decided now. The former one is not
    /// shut out here: a journal that several machines share would not do so either, lanes have owners for that.
    #[must_use]
    pub fn open(&self, process: Process) -> SimulatedJournal {
        let mut state = locked(&self.state);
        let unsynced = std::mem::take(&mut state.unsynced);
        let kept = self.chance.below(u32::try_from(unsynced.len() + 1).unwrap_or(u32::MAX)) as usize;
        state.lanes = state.synced.clone();
        for (lane, write) in unsynced.into_iter().take(kept) {
            // Each was checked against the ones before it when it was written.
            drop(state.apply(&lane, &write));
        }
        state.sync();
        SimulatedJournal { disk: self.clone(), process, closed: AtomicBool::new(false) }
    }

    /// The sync after so many more fails, and with it the journal that asked for it. `None`: none does.
    pub fn fail_after(&self, syncs: Option<u32>) {
        locked(&self.state).failing = syncs;
    }

    /// Where a lane stands, durably: its position and the intents that are open.
    #[must_use]
    pub fn lane(&self, lane: &LaneId) -> (Position, Vec<Intent>) {
        let state = locked(&self.state);
        let lane = state.synced.get(lane).cloned().unwrap_or_default();
        (lane.position, lane.open.into_values().collect())
    }

    /// Every intent that was ever durable, in order.
    #[must_use]
    pub fn intents(&self) -> Vec<(LaneId, Intent)> {
        locked(&self.state).intents.clone()
    }

    /// Every commit that was ever durable, in order.
    #[must_use]
    pub fn commits(&self) -> Vec<(LaneId, Commit)> {
        locked(&self.state).commits.clone()
    }
}

impl State {
    /// Checks a write against the lane as it stands, and does it.
    fn apply(&mut self, id: &LaneId, write: &Write) -> Result<(), JournalError> {
        let lane = self.lanes.entry(id.clone()).or_default();
        let fence = |mine: Owner| {
            let fenced = JournalError::Fenced { lane: Box::new(id.clone()), mine: mine.0, now: lane.owner.0 };
            if mine == lane.owner { Ok(()) } else { Err(fenced) }
        };
        match write {
            Write::Take => lane.owner.0 += 1,
            Write::Intend(owner, intent) => {
                fence(*owner)?;
                lane.open.insert(intent.epoch, intent.clone());
            }
            Write::Commit(owner, commit) => {
                fence(*owner)?;
                if commit.epoch <= lane.position.epoch || commit.position.epoch != commit.epoch {
                    return Err(JournalError::OutOfOrder { lane: Box::new(id.clone()), epoch: commit.epoch });
                }
                lane.position = commit.position.clone();
                lane.open.remove(&commit.epoch);
            }
            Write::Restart(position) => {
                lane.owner.0 += 1;
                lane.position = position.clone();
                lane.open.clear();
            }
        }
        self.unsynced.push((id.clone(), write.clone()));
        Ok(())
    }

    fn sync(&mut self) {
        for (lane, write) in std::mem::take(&mut self.unsynced) {
            match write {
                Write::Intend(_, intent) => self.intents.push((lane, intent)),
                Write::Commit(_, commit) => self.commits.push((lane, commit)),
                Write::Take | Write::Restart(_) => {}
            }
        }
        self.synced = self.lanes.clone();
    }

    fn sync_fails(&mut self) -> bool {
        match &mut self.failing {
            Some(0) => self.failing.take().is_some(),
            Some(more) => {
                *more -= 1;
                false
            }
            None => false,
        }
    }
}

/// A process's journal on such a disk.
#[derive(Debug)]
pub struct SimulatedJournal {
    disk: SimulatedDisk,
    process: Process,
    /// A sync failed.
    closed: AtomicBool,
}

impl SimulatedJournal {
    async fn write(&self, lane: &LaneId, write: Write) -> Result<(), JournalError> {
        self.process.step(write.step(Phase::Before)).await;
        self.open()?;
        locked(&self.disk.state).apply(lane, &write)?;
        self.process.step(write.step(Phase::Between)).await;
        self.open()?;
        self.sync()?;
        self.process.step(write.step(Phase::After)).await;
        Ok(())
    }

    fn open(&self) -> Result<(), JournalError> {
        if self.closed.load(Ordering::Relaxed) { Err(JournalError::Closed) } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), JournalError> {
        let mut state = locked(&self.disk.state);
        if state.sync_fails() {
            self.closed.store(true, Ordering::Relaxed);
            let source = fjall::Error::Io(std::io::Error::other("the simulated disk failed"));
            return Err(JournalError::Storage { action: "writing", source });
        }
        state.sync();
        Ok(())
    }
}

impl Journal for SimulatedJournal {
    fn take<'a>(&'a self, lane: &'a LaneId) -> BoxFuture<'a, Result<Taken, JournalError>> {
        async move {
            self.write(lane, Write::Take).await?;
            let taken = locked(&self.disk.state).lanes.get(lane).cloned().unwrap_or_default();
            Ok(Taken { owner: taken.owner, position: taken.position, open: taken.open.into_values().collect() })
        }
        .boxed()
    }

    fn intend<'a>(
        &'a self,
        lane: &'a LaneId,
        owner: Owner,
        intent: &'a Intent,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(lane, Write::Intend(owner, intent.clone())).boxed()
    }

    fn commit<'a>(&'a self, lane: &'a LaneId, owner: Owner, commit: Commit) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(lane, Write::Commit(owner, commit)).boxed()
    }

    fn restart<'a>(&'a self, lane: &'a LaneId, position: Position) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(lane, Write::Restart(position)).boxed()
    }

    fn lanes(&self) -> Result<Vec<(LaneId, Position, usize)>, JournalError> {
        let state = locked(&self.disk.state);
        Ok(state.lanes.iter().map(|(id, lane)| (id.clone(), lane.position.clone(), lane.open.len())).collect())
    }
}
