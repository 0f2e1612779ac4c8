//! The journal's simulated twin: a disk in memory that loses what was not synced when its process ends.
//!
//! **Promise.** That of [`Journal`]. After a failed write nothing is taken any more, as with the real one.
//! **A crash** keeps what was synced, and of the writes behind it the first few, as chance has it. Of the state that the next
//! one would have written, a part may be there as well, behind the end of the lane's log: a torn write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::state_log::{LogEnd, LogError};
use super::{Commit, Intent, Journal, JournalError, Owner, Position, Raised, Taken};
use crate::offsets::LaneId;
use crate::simulation::{Chance, Phase, Process, Step, locked};
use crate::state::{Disk, StateError};

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    chance: Chance,
    /// Where lanes have folders, of a real disk: what is written there is synced at once.
    folder: Option<PathBuf>,
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
    /// Writes of state of which a crash left a part.
    torn: u64,
    intents: Vec<(LaneId, Intent)>,
    commits: Vec<(LaneId, Commit)>,
}

type Lanes = BTreeMap<LaneId, Lane>;

#[derive(Clone, Debug)]
struct Lane {
    owner: Owner,
    position: Position,
    open: BTreeMap<u64, Intent>,
    /// Where its state ends.
    end: LogEnd,
    /// The logs of its state, by number. Shared with the copies of the disk until one of them is written.
    logs: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Default for Lane {
    fn default() -> Self {
        let (position, end) = (Position::default(), LogEnd::default());
        Self { owner: Owner(0), position, open: BTreeMap::new(), end, logs: BTreeMap::new() }
    }
}

impl Lane {
    /// Writes what a commit changed of the state; gives its new end. `kept`: so many bytes of it, and then the crash.
    fn remember(&mut self, id: &LaneId, commit: &Commit, kept: Option<usize>) -> LogEnd {
        let key = id.to_string().into_bytes();
        let Some(append) = self.end.append(&key, &commit.state) else { return self.end };
        let log = Arc::make_mut(self.logs.entry(append.end.number).or_default());
        log.truncate(usize::try_from(append.at).unwrap_or(usize::MAX));
        let bytes = append.head.iter().chain(append.record);
        log.extend(bytes.take(kept.unwrap_or(usize::MAX)));
        append.end
    }

    fn read(&self, id: &LaneId, each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>) -> Result<(), LogError> {
        if self.end.bytes == 0 {
            return Ok(());
        }
        let log = self.logs.get(&self.end.number).cloned().unwrap_or_default();
        self.end.read(&id.to_string().into_bytes(), &mut log.as_slice(), each)
    }

    /// What the real one does with its files when a lane is taken.
    fn clean(&mut self) {
        let LogEnd { number, bytes, .. } = self.end;
        self.logs.retain(|of, _| *of == number && bytes > 0);
        if let Some(log) = self.logs.get_mut(&number) {
            Arc::make_mut(log).truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }
}

#[derive(Clone, Debug)]
enum Write {
    Take,
    Intend(Owner, Box<Intent>),
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
        Self { state: Arc::default(), chance, folder: None }
    }

    /// Gives lanes folders below this one for what memory has no room for. Copies of the disk have none.
    pub fn keep_below(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    /// A lane's folder, always with the same seed.
    ///
    /// # Panics
    /// If there is no disk for it.
    #[must_use]
    pub fn disk_of(&self, lane: &LaneId) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?.join(lane.to_string().replace('/', "-"));
        if !folder.exists() {
            Disk::sow(&folder, 0).expect("a simulated disk has room");
        }
        Some(folder)
    }

    /// A copy of what is durable on it: a restored backup, a folder on two machines.
    #[must_use]
    pub fn copy(&self) -> Self {
        let synced = locked(&self.state).synced.clone();
        let state = State { lanes: synced.clone(), synced, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), chance: self.chance.clone(), folder: None }
    }

    /// Opens the journal for a process. Whatever a former process left unsynced is decided now. The former one is not
    /// shut out here: a journal that several machines share would not do so either, lanes have owners for that.
    #[must_use]
    pub fn open(&self, process: Process) -> SimulatedJournal {
        let mut state = locked(&self.state);
        let unsynced = std::mem::take(&mut state.unsynced);
        let kept = self.chance.below(u32::try_from(unsynced.len() + 1).unwrap_or(u32::MAX)) as usize;
        state.lanes = state.synced.clone();
        let mut unsynced = unsynced.into_iter();
        for (lane, write) in unsynced.by_ref().take(kept) {
            // Each was checked against the ones before it when it was written.
            drop(state.apply(&lane, &write));
        }
        if let Some((lane, Write::Commit(_, commit))) = unsynced.next() {
            state.tear(&lane, &commit, self.chance.below(100) as usize);
        }
        state.sync();
        SimulatedJournal { disk: self.clone(), process, closed: AtomicBool::new(false) }
    }

    /// The sync after so many more fails, and with it the journal that asked for it. `None`: none does.
    pub fn fail_after(&self, syncs: Option<u32>) {
        locked(&self.state).failing = syncs;
    }

    /// Writes of state of which a crash left a part.
    #[must_use]
    pub fn torn(&self) -> u64 {
        locked(&self.state).torn
    }

    /// Where a lane stands, durably: its position and the intents that are open.
    #[must_use]
    pub fn lane(&self, lane: &LaneId) -> (Position, Vec<Intent>) {
        let state = locked(&self.state);
        let lane = state.synced.get(lane).cloned().unwrap_or_default();
        (lane.position, lane.open.into_values().collect())
    }

    /// What the journal of a process says of the versions of a plugin's state: see [`Journal::state_versions`].
    #[must_use]
    pub fn state_versions(&self, tenant: &str, plugin: &str) -> Vec<u32> {
        let mut versions = BTreeSet::new();
        for (id, lane) in &locked(&self.state).lanes {
            if id.tenant == tenant && id.plugin == plugin {
                versions.extend(&lane.position.state_versions);
                versions.extend(lane.open.values().filter_map(|intent| intent.state_version));
            }
        }
        versions.into_iter().collect()
    }

    /// The records of a lane's state, durably.
    ///
    /// # Panics
    /// If they can't be read.
    #[must_use]
    pub fn state(&self, id: &LaneId) -> Vec<Vec<u8>> {
        let lane = locked(&self.state).synced.get(id).cloned().unwrap_or_default();
        let mut records = Vec::new();
        let each = &mut |record: &[u8]| {
            records.push(record.to_vec());
            Ok(())
        };
        lane.read(id, each).expect("what was committed can be read");
        records
    }

    /// A bit of each lane's state falls over.
    pub fn damage_state(&self) {
        let mut state = locked(&self.state);
        for log in state.lanes.values_mut().flat_map(|lane| lane.logs.values_mut()) {
            if let Some(byte) = Arc::make_mut(log).last_mut() {
                *byte ^= 1;
            }
        }
        state.sync();
    }

    /// Whether a durable intent names a block of this digest.
    #[must_use]
    pub fn has_intended(&self, digest: &str) -> bool {
        let state = locked(&self.state);
        // The latest are asked for most.
        state.intents.iter().rev().any(|(_, intent)| intent.blocks.iter().any(|block| block.digest == digest))
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
            Write::Take => {
                lane.owner.0 += 1;
                lane.clean();
            }
            Write::Intend(owner, intent) => {
                fence(*owner)?;
                lane.open.insert(intent.epoch, (**intent).clone());
            }
            Write::Commit(owner, commit) => {
                fence(*owner)?;
                if commit.epoch <= lane.position.epoch || commit.position.epoch != commit.epoch {
                    return Err(JournalError::OutOfOrder { lane: Box::new(id.clone()), epoch: commit.epoch });
                }
                lane.end = lane.remember(id, commit, None);
                lane.position = commit.position.clone();
                lane.open.remove(&commit.epoch);
            }
            Write::Restart(position) => {
                lane.owner.0 += 1;
                lane.position = position.clone();
                lane.open.clear();
                lane.end = lane.end.next();
                lane.clean();
            }
        }
        self.unsynced.push((id.clone(), write.clone()));
        Ok(())
    }

    /// A crash within the write of a commit's state: so many bytes of it are there, and its end is not.
    fn tear(&mut self, id: &LaneId, commit: &Commit, kept: usize) {
        if let Some(lane) = self.lanes.get_mut(id) {
            self.torn += u64::from(lane.remember(id, commit, Some(kept)) != lane.end && kept > 0);
        }
    }

    fn sync(&mut self) {
        self.sync_writes();
        self.synced = self.lanes.clone();
    }

    /// The same where all that differs was written by [`State::apply`].
    fn sync_writes(&mut self) {
        for (lane, write) in std::mem::take(&mut self.unsynced) {
            if let Some(written) = self.lanes.get(&lane) {
                self.synced.insert(lane.clone(), written.clone());
            }
            match write {
                Write::Intend(_, intent) => self.intents.push((lane, *intent)),
                Write::Commit(_, commit) => self.commits.push((lane, commit)),
                Write::Take | Write::Restart(_) => {}
            }
        }
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
        state.sync_writes();
        Ok(())
    }
}

impl Journal for SimulatedJournal {
    /// Simulated topics keep their number of partitions.
    fn partitions<'a>(&'a self, _: &'a LaneId, _: i32) -> BoxFuture<'a, Result<Option<Raised>, JournalError>> {
        async { Ok(None) }.boxed()
    }

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
        self.write(lane, Write::Intend(owner, Box::new(intent.clone()))).boxed()
    }

    fn commit<'a>(&'a self, lane: &'a LaneId, owner: Owner, commit: Commit) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(lane, Write::Commit(owner, commit)).boxed()
    }

    fn state(
        &self,
        lane: &LaneId,
        owner: Owner,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError> {
        self.open()?;
        let taken = locked(&self.disk.state).lanes.get(lane).cloned().unwrap_or_default();
        if taken.owner != owner {
            return Err(JournalError::Fenced { lane: Box::new(lane.clone()), mine: owner.0, now: taken.owner.0 });
        }
        let path = format!("log {} of the simulated disk", taken.end.number);
        let read = taken.read(lane, each);
        read.map_err(|source| JournalError::State { lane: Box::new(lane.clone()), path, source })
    }

    fn disk_of(&self, lane: &LaneId) -> Option<PathBuf> {
        self.disk.disk_of(lane)
    }

    fn restart<'a>(&'a self, lane: &'a LaneId, position: Position) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(lane, Write::Restart(position)).boxed()
    }

    fn lanes(&self) -> Result<Vec<(LaneId, Position, usize)>, JournalError> {
        let state = locked(&self.disk.state);
        Ok(state.lanes.iter().map(|(id, lane)| (id.clone(), lane.position.clone(), lane.open.len())).collect())
    }

    fn state_versions(&self, tenant: &str, plugin: &str) -> Result<Vec<u32>, JournalError> {
        Ok(self.disk.state_versions(tenant, plugin))
    }
}
