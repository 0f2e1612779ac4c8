//! A newcomer in the shadow of the version that runs: it is given the same batches, and what it makes of them is compared and
//! thrown away.
//!
//! **Promise.** Nothing that it does reaches a table, the journal or its plugin's lanes: it has a thread of its own, of low
//! priority, and what waits for it is bounded. Where batches come faster than it works, those of a newcomer that keeps no
//! state are left out whole, and counted; one that keeps state can't miss any, so it is ended, with the reason.
//! **Assumed.** A lane gives the epochs that it keeps, in order, and a copy of its state before the first of them.
//! **After a crash** it begins anew.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::difference::{Difference, Made};
use super::{Version, VersionId};
use crate::batch::RawBatch;
use crate::config::{Promote, Rollout};
use crate::cpu::{thread_time, yield_to_others};
use crate::disposition::in_words;
use crate::offsets::LaneId;
use crate::registry::Schemas;
use crate::state::{State, StateError};
use crate::transform::Epoch;

/// Bytes of messages that wait for a shadow at most, of all lanes: a quarter of what the source may hold by default, so
/// that it goes on fetching. One batch may wait whatever its size.
const HELD_BYTES: usize = 64 << 20;
/// The largest state of a lane that is copied: the copy is made between two epochs, at about a second for a gigabyte, and
/// takes as much memory again.
pub const MOST_STATE_BYTES: usize = 256 << 20;

/// A newcomer in the shadow. Shared by the lanes of its plugin; its thread ends with it.
#[derive(Debug)]
pub struct Shadow {
    /// The newcomer.
    pub version: Arc<Version>,
    seen: Arc<Seen>,
    queue: mpsc::Sender<Work>,
}

/// What it has to do with one lane: the newcomer's own state, which goes with it from epoch to epoch.
#[derive(Debug)]
pub struct ShadowLane {
    lane: LaneId,
    state: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    state: State,
    watermark_ms: Option<i64>,
}

/// What a lane made of a batch, to be compared.
struct Work {
    lane: Arc<ShadowLane>,
    batch: Arc<(RawBatch, Schemas)>,
    epoch: Epoch,
    before: Made,
}

/// Whether a shadow may take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowVerdict {
    /// It is still watched, or waits for an operator.
    Watching,
    /// It was watched for long enough and made the same: it takes over by rule.
    Equal,
    /// It can't go on.
    Ended(String),
}

/// A shadow, for those who look at it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShadowView {
    /// The newcomer.
    pub version: VersionId,
    /// How long it has been watched, in seconds.
    pub age_seconds: f64,
    /// How it differs.
    pub difference: Difference,
    /// Messages of batches that were left out, as it could not keep up.
    pub skipped_messages: u64,
    /// Batches that wait for it.
    pub waiting: usize,
    /// Why it was ended, if it was.
    pub ended: Option<String>,
}

#[derive(Debug)]
struct Seen {
    plugin: String,
    rules: Rollout,
    began: Instant,
    held_bytes: AtomicUsize,
    waiting: AtomicUsize,
    /// CPU time that nobody was charged with yet, ns.
    spent: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    difference: Difference,
    skipped_messages: u64,
    /// Lanes that it follows.
    lanes: BTreeSet<LaneId>,
    ended: Option<String>,
}

impl Shadow {
    /// A shadow that has not been given anything.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(version: Arc<Version>, rules: Rollout) -> io::Result<Arc<Self>> {
        let seen = Arc::new(Seen {
            plugin: version.file.settings.name.clone(),
            rules,
            began: Instant::now(),
            held_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            spent: AtomicU64::new(0),
            notes: Mutex::default(),
        });
        let (queue, work) = mpsc::channel::<Work>();
        let (by_thread, newcomer) = (seen.clone(), version.clone());
        thread::Builder::new().name("engine-shadow".into()).spawn(move || {
            yield_to_others();
            for piece in work {
                let before = thread_time();
                by_thread.work(&newcomer, piece);
                let took = thread_time().saturating_sub(before).as_nanos();
                by_thread.spent.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        })?;
        Ok(Arc::new(Self { version, seen, queue }))
    }

    /// CPU time that it has spent since it was last asked, for the tenant to be charged with.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.seen.spent.swap(0, Ordering::Relaxed))
    }

    /// Whether it still wants batches.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.seen.lock().ended.is_none()
    }

    /// Begins to follow a lane. `kept` is what the lane's plugin remembers, as [`State::snapshot`] writes it down, and its
    /// watermark; none where that is nothing, or the newcomer keeps nothing. A state that can't be read ends the shadow.
    #[must_use]
    pub fn begin(&self, lane: &LaneId, kept: Option<&[u8]>, watermark_ms: Option<i64>) -> Option<Arc<ShadowLane>> {
        let mut state = self.version.transform.empty_state();
        if let Some(Err(error)) = kept.map(|kept| restored(&mut state, kept)) {
            self.end(format!("what lane {lane} remembers can't be copied: {}", in_words(&error)));
            return None;
        }
        self.seen.lock().lanes.insert(lane.clone());
        Some(Arc::new(ShadowLane { lane: lane.clone(), state: Mutex::new(Remembered { state, watermark_ms }) }))
    }

    /// Gives it an epoch that a lane keeps.
    pub fn follow(&self, lane: &Arc<ShadowLane>, batch: Arc<(RawBatch, Schemas)>, epoch: Epoch, before: Made) {
        if !self.follows() {
            return;
        }
        let bytes = batch.0.bytes;
        let held = self.seen.held_bytes.load(Ordering::Relaxed);
        if held > 0 && held + bytes > HELD_BYTES {
            return self.left_out(&lane.lane, &batch.0);
        }
        self.seen.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.seen.waiting.fetch_add(1, Ordering::Relaxed);
        let work = Work { lane: lane.clone(), batch, epoch, before };
        if self.queue.send(work).is_err() {
            self.end("its thread has ended: a bug in the engine".to_owned());
        }
    }

    fn left_out(&self, lane: &LaneId, batch: &RawBatch) {
        let messages = batch.messages.len() as u64;
        if self.version.transform.remembers() {
            return self.end(format!(
                "it can't keep up: {} MiB of messages wait for it at offset {} of lane {lane}, and as its rows depend on those \
                 before, it can't leave any out",
                HELD_BYTES >> 20, batch.range.start
            ));
        }
        let mut notes = self.seen.lock();
        if notes.skipped_messages == 0 {
            let plugin = &self.seen.plugin;
            tracing::warn!(plugin, version = %self.version.id(), %lane, "the shadow can't keep up: it leaves whole batches out");
        }
        notes.skipped_messages += messages;
    }

    /// Ends it. The first reason counts.
    pub fn end(&self, reason: String) {
        self.seen.end(&self.version, reason);
    }

    /// Whether it may take over.
    #[must_use]
    pub fn verdict(&self) -> ShadowVerdict {
        let notes = self.seen.lock();
        if let Some(reason) = &notes.ended {
            return ShadowVerdict::Ended(reason.clone());
        }
        let Rollout { promote, probation, probation_rows, .. } = &self.seen.rules;
        let (messages, equal) = (notes.difference.messages, notes.difference.is_equal());
        let enough = probation_rows.is_some_and(|rows| messages >= rows) || self.seen.began.elapsed() >= *probation;
        match promote {
            Promote::WhenEqual if enough && equal && messages > 0 => ShadowVerdict::Equal,
            Promote::WhenEqual | Promote::ByHand => ShadowVerdict::Watching,
        }
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self) -> ShadowView {
        let notes = self.seen.lock();
        ShadowView {
            version: self.version.id().clone(),
            age_seconds: self.seen.began.elapsed().as_secs_f64(),
            difference: notes.difference.clone(),
            skipped_messages: notes.skipped_messages,
            waiting: self.seen.waiting.load(Ordering::Relaxed),
            ended: notes.ended.clone(),
        }
    }
}

fn restored(state: &mut State, kept: &[u8]) -> Result<(), StateError> {
    if state.tables().is_empty() {
        return Ok(());
    }
    state.restore(kept)?;
    state.open_disk()
}

impl Seen {
    fn work(&self, version: &Version, Work { lane, batch, epoch, before }: Work) {
        if self.lock().ended.is_none() {
            let made = catch_unwind(AssertUnwindSafe(|| lane.make(version, &batch, epoch)));
            match made {
                Ok(Ok(after)) => self.note(version, Difference::between(&lane.lane, &before, &after)),
                Ok(Err(words)) => self.end(version, format!("{words} (lane {}, offsets {})", lane.lane, batch.0.range)),
                Err(_) => self
                    .end(version, format!("a bug in the engine, at offsets {} of lane {}", batch.0.range, lane.lane)),
            }
        }
        self.held_bytes.fetch_sub(batch.0.bytes, Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Says what differs when it shows first, and then ever more rarely.
    fn note(&self, version: &Version, more: Difference) {
        let differs = !more.is_equal();
        let mut notes = self.lock();
        let first = differs && notes.difference.is_equal();
        notes.difference.add(more);
        let Difference { batches, messages, .. } = notes.difference;
        if first || batches.is_power_of_two() && !notes.difference.is_equal() {
            let difference = notes.difference.in_short();
            tracing::info!(plugin = %self.plugin, version = %version.id(), messages, difference, "the shadow makes other rows");
        }
    }

    fn end(&self, version: &Version, reason: String) {
        let mut notes = self.lock();
        if notes.ended.is_none() {
            tracing::warn!(plugin = %self.plugin, version = %version.id(), reason, "the shadow was ended; the version that runs goes on");
            notes.ended = Some(reason);
        }
    }

    /// Notes are changed whole, so they are also after a panic.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShadowLane {
    fn make(&self, version: &Version, batch: &(RawBatch, Schemas), epoch: Epoch) -> Result<Made, String> {
        let mut own = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (raw, schemas) = batch;
        let watermark_ms = match own.watermark_ms {
            // Where nothing comes it is the clock that moves it, for both.
            own if raw.messages.is_empty() => own.max(epoch.watermark_ms),
            own => own,
        };
        let epoch = Epoch { watermark_ms, ..epoch };
        // One call that takes too long is enough to say so.
        let transform = version.transform.clone().impatient();
        let made = transform.run(&self.lane, raw, schemas, epoch, &mut own.state);
        let made = made.map_err(|error| in_words(&error))?;
        own.watermark_ms = made.intent.next_watermark_ms;
        Ok(Made::of(&made))
    }
}

#[cfg(test)]
mod tests;
