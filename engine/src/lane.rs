//! A lane: one transform on one source partition, epoch by epoch. [`Lane::run`] is the whole data path.
//!
//! **Promise.** Rows of the partition reach their tables in epochs, each of which is written down before it is sent and
//! made again exactly after a crash. An error of one message is a dead letter; an error of the lane stops this lane alone,
//! with nothing lost: its messages wait at the source.
//! **Assumed.** The journal keeps what it has acknowledged; the sink recognises a token within its window.
//! **After a crash** the lane first ends the epochs that it had decided, then goes on behind them.
//!
//! While an epoch is being inserted the next one is collected and transformed; intents and commits stay in order. What the
//! plugin remembers goes with the lane from epoch to epoch, ahead of the commits; a lane that ends for any reason drops it,
//! and the next run reads it from the journal. Where nothing comes, what is due by the watermark is an epoch without messages.
//!
//! *Invariant:* a lane has one position, the journal's; each epoch begins where the one before it ended.
//! *Invariant:* no intent is written before all earlier changes of the state are: in commits, or made again from intents.

mod failing;
mod moving;
mod quiet;
mod recovery;
mod remembered;
mod room;
mod shadow;
mod ticks;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{OptionFuture, try_join_all};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::artifacts::{ArtifactError, Artifacts};
use crate::clock::Clock;
use crate::cpu::{Cpu, Of};
use crate::crash_point::CrashPoint;
use crate::deploy::{Version, Versions};
use crate::journal::{Commit, Intent, Journal, JournalError, Owner, Position, Taken};
use crate::lane_status::{LaneState, LaneStatus, Wait};
use crate::memory::{Booking, For, Memory};
use crate::offsets::{LaneId, OffsetRange};
use crate::plugin::Host;
use crate::registry::{Registry, RegistryError};
use crate::sink::{Claim, Inserted, Sending, Sink, SinkError, Sinks, epoch_column};
use crate::source::{BatchLimits, Found, Source, SourceError, Start};
use crate::state::{Sealed, State};
use crate::stop::Stop;
use crate::tenants::Tenants;
use crate::token::token;
use crate::transform::{Epoch, Tally, Transform, TransformError, Transformed};
use quiet::Quiet;
use room::{Ready, Resolving, bytes_of, ready};
use shadow::Beside;
use ticks::Ticks;

pub use moving::Left;
pub use remembered::OtherState;

/// Epochs of a lane that are being inserted while the next is made. Two keep the server busy; more would only be more
/// memory and a longer recovery.
const MAX_IN_FLIGHT: usize = 2;

/// Lanes that make an open epoch again at a time: each holds the messages of one epoch beside the source's budget.
pub const MAX_RECOVERIES: usize = 2;

/// What all lanes of an engine share.
#[derive(Clone)]
pub struct Surroundings {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// Where rows go, by tenant.
    pub sinks: Arc<dyn Sinks>,
    /// The tenants, and who of them is paused.
    pub tenants: Tenants,
    /// What was decided and done.
    pub journal: Arc<dyn Journal>,
    /// Plugins and settings of open epochs.
    pub artifacts: Artifacts,
    /// What schema ids stand for, if there is a schema registry.
    pub registry: Option<Arc<Registry>>,
    /// Loads the plugins of open epochs.
    pub host: Host,
    /// Where transforms run.
    pub cpu: Cpu,
    /// What lanes hold.
    pub memory: Memory,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Turns of lanes that make an open epoch again: [`MAX_RECOVERIES`].
    pub recoveries: Arc<Semaphore>,
}

/// One transform on one partition.
pub struct Lane {
    /// Its name.
    pub id: LaneId,
    /// Its partition at the source.
    pub found: Found,
    /// When an epoch is collected.
    pub limits: BatchLimits,
    /// What its next epoch is made with.
    pub version: Arc<Version>,
    /// What it asks for that before each epoch.
    pub versions: Arc<Versions>,
    /// What it shares.
    pub around: Surroundings,
    /// Where its rows go: its tenant's.
    pub sink: Arc<dyn Sink>,
    /// What it shows.
    pub status: Arc<LaneStatus>,
    /// Becomes true when the engine stops.
    pub stop: Stop,
}

/// Why a lane stops. [`crate::disposition`] says what the engine does about each.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The source can't serve it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The transform can't be run, or an epoch not be made again.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The journal refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A table refuses.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// What is kept of it was written by another version of the plugin, which this one does not read.
    #[error(transparent)]
    OtherState(#[from] OtherState),
    /// The plugin of an open epoch can't be had.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The schemas of its messages can't be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The messages of an open epoch can't be had.
    #[error("epoch {epoch} was decided over offsets {range}, but the source ends before: it was truncated or replaced")]
    RangeGone {
        /// The epoch.
        epoch: u64,
        /// What it covers.
        range: OffsetRange,
    },
}

/// What proves that the lane is this process's.
struct Held {
    /// To the journal.
    owner: Owner,
    /// To the tables' server.
    claim: Arc<Claim>,
}

/// A lane behind all that it has decided, ahead of what it has committed.
struct Ahead {
    position: Position,
    /// What the plugin remembers.
    state: State,
}

/// An intended epoch on its way to the tables.
struct Inserting {
    intent: Intent,
    /// Where the lane stands after it.
    position: Position,
    /// What it changed of the state.
    state: Sealed,
    /// Files of the state that nothing names any more when it is committed.
    replaced: Vec<PathBuf>,
    tally: Tally,
    made_by: Transform,
    /// It has rows whose version is that of a message that may follow: see [`Lane::send`].
    of_state: bool,
    /// Told when all its blocks are in their tables.
    landed: Option<oneshot::Receiver<()>>,
    task: JoinHandle<Result<(), SinkError>>,
    /// For its blocks.
    _room: Booking,
}

impl Drop for Inserting {
    /// A lane that ends does not leave inserts behind that nobody waits for.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lane {
    /// Runs the lane until it is told to stop, its source ends, or another version has to begin anew: the whole data path,
    /// in order.
    ///
    /// # Errors
    /// What stopped it. Everything committed stays; everything else is done again by the next run.
    pub async fn run(mut self) -> Result<Left, LaneError> {
        let mut stop = self.stop.clone();
        let Taken { owner, position, open } = self.around.journal.take(&self.id).await?;
        let held = self.hold(owner, &position, &open).await?;
        let mut ahead = match self.recover(&held, position, open).await? {
            ControlFlow::Continue(ahead) => ahead,
            ControlFlow::Break(left) => return Ok(left),
        };
        let start = ahead.position.next_offset.map_or(self.version.file.start, Start::Offset);
        let mut reader = self.around.source.follow(&self.found, start, self.version.transform.part()).await?;
        let mut in_flight = VecDeque::new();
        let mut resolving: Option<Resolving> = None;
        let mut ticks = Ticks::new();
        let mut limits = self.limits_now();
        let mut quiet = Quiet::new(self.version.transform.event_time(), self.limits.linger);
        let mut remembers = self.account().book(For::State, 0);
        let (mut collecting, mut left, mut beside) = (true, Left::Ended, Beside::default());
        self.status.set_state(LaneState::Running);

        while collecting || resolving.is_some() || !in_flight.is_empty() {
            tokio::select! {
                biased;
                inserted = front(&mut in_flight) => {
                    inserted?;
                    let epoch = in_flight.pop_front().expect("its front was just awaited");
                    CrashPoint::InsertedAll.reached();
                    self.commit(&held, epoch).await?;
                }
                // Before the next batch: a source that is never empty must not keep the lane from hearing it.
                () = stop.told(), if collecting || resolving.is_some() => (collecting, resolving) = (false, None),
                resolved = ready(&mut resolving) => {
                    resolving = None;
                    let batch = resolved?;
                    if !batch.raw.messages.is_empty() || ahead.state.next_expiry().is_some() {
                        ticks.often();
                    }
                    let epoch = match self.move_over(&ahead, &mut quiet) {
                        None => self.decide(&held, &mut ahead, batch, &mut beside, in_flight.back_mut()).await?,
                        Some(why) => ControlFlow::Break(why),
                    };
                    match epoch {
                        ControlFlow::Continue(epoch) => in_flight.push_back(epoch),
                        ControlFlow::Break(why) => (collecting, left) = (false, why),
                    }
                    quiet.decided();
                }
                raw = reader.next_batch(limits),
                    if collecting && resolving.is_none() && in_flight.len() < MAX_IN_FLIGHT => match raw? {
                    Some(raw) => resolving = Some(self.made_ready(raw)),
                    None => collecting = false,
                },
                () = ticks.tick(ahead.state.next_expiry().is_some(), &*self.around.clock) => {
                    limits = self.limits_now();
                    let room = collecting && resolving.is_none() && in_flight.len() < MAX_IN_FLIGHT;
                    let room = room && !self.status.breaker.parks();
                    if let Some(range) = quiet.timers(&*reader, &mut ahead, self.around.clock.now_ms(), room) {
                        resolving = Some(self.made_ready(self.no_messages(range)));
                    }
                }
            }
            let due = quiet::is_due(&ahead) && !self.status.breaker.parks();
            let waiting = resolving.is_some() || collecting && due;
            self.status.show_progress(&*reader, in_flight.len() + usize::from(waiting));
            self.status.remembers(&ahead.state);
            remembers.resize(ahead.state.bytes());
        }
        Ok(left)
    }

    /// Transforms a batch and writes down what will be sent, then begins to send it; breaks off if the version is withdrawn
    /// for what came out.
    async fn decide(
        &self,
        held: &Held,
        ahead: &mut Ahead,
        Ready { raw, schemas, mut room }: Ready,
        beside: &mut Beside,
        before: Option<&mut Inserting>,
    ) -> Result<ControlFlow<Left, Inserting>, LaneError> {
        self.look_beside(beside, ahead).await;
        let (at, begin) = (&ahead.position, raw.range.start);
        assert!(at.next_offset.is_none_or(|next| next == begin), "an epoch begins where the last ended");
        let epoch = Epoch {
            generation: at.generation,
            number: at.epoch + 1,
            clock_ms: self.around.clock.now_ms().max(at.clock_ms),
            watermark_ms: at.watermark_ms,
        };
        let transform = self.transform(raw.messages.len());
        let (lane, mut state) = (self.id.clone(), std::mem::take(&mut ahead.state));
        let batch = Arc::new((raw, schemas));
        let shared = beside.share(&batch);
        let status = self.status.clone();
        let run = move || {
            status.waits_for(None);
            transform.run(&lane, &batch.0, &batch.1, epoch, &mut state).map(|made| (made, state))
        };
        self.status.waits_for(Some(Wait::Cpu));
        let (mut made, state) = match self.around.cpu.run(&self.id.tenant, run).await {
            Ok(made) => made,
            Err(error) => return self.not_made(error, begin).map(ControlFlow::Break),
        };
        room.resize(bytes_of(&made.blocks));
        CrashPoint::Transformed.reached();
        if let Some(left) = self.judged(&made) {
            return Ok(ControlFlow::Break(left));
        }
        beside.follow(shared, epoch, &made);
        // An epoch that changes the state alone sends nothing, but the epochs behind it can't be made again without it.
        if !made.blocks.is_empty() || made.state != Sealed::Unchanged {
            for block in &made.blocks {
                made.intent.marks.push(self.sink.mark(&block.table).await);
            }
            self.around.artifacts.keep(&self.version.transform)?;
            self.around.artifacts.note_maker(&self.id, &made.intent)?;
            self.around.journal.intend(&self.id, held.owner, &made.intent).await?;
            CrashPoint::Intended.reached();
        }
        *ahead = Ahead { position: after(&ahead.position, &made.intent), state };
        let made_by = self.version.transform.clone();
        Ok(ControlFlow::Continue(self.send(held, (made, made_by, room), ahead.position.clone(), before, false)))
    }

    /// Makes the lane this process's alone: at the tables, as the journal has done for itself. A journal that knows less
    /// than the tables is an old copy, and would write again what they have.
    async fn hold(&self, owner: Owner, position: &Position, open: &[Intent]) -> Result<Held, LaneError> {
        let tables = self.version.transform.tables();
        let claim = Arc::new(self.sink.claim(&self.id, owner, &tables).await?);
        CrashPoint::Claimed.reached();
        let known = open.last().map_or((position.generation, position.epoch), |it| (it.generation, it.epoch));
        let known = epoch_column(known.0, known.1);
        for table in &tables {
            if self.sink.holds_later(table, &self.id, known, position.clock_ms).await? {
                return Err(SinkError::OldJournal { table: table.quoted(), lane: Box::new(self.id.clone()) }.into());
            }
        }
        Ok(Held { owner, claim })
    }

    /// Inserts all blocks of an epoch whose intent is durable, in a task of its own. Of two rows of a key with one version
    /// the one that landed last counts, and a row made of state alone has the version of the message that may come next: so an
    /// epoch with such rows, and the one behind it, waits until the one `before` has landed.
    fn send(
        &self,
        held: &Held,
        (made, made_by, room): (Transformed, Transform, Booking),
        position: Position,
        before: Option<&mut Inserting>,
        again: bool,
    ) -> Inserting {
        let Transformed { blocks, intent, tally, state, replaced, of_state, .. } = made;
        let epoch = Epoch::of(&intent);
        let marks = intent.marks.iter().copied().chain(std::iter::repeat(None));
        let sending = blocks.into_iter().zip(marks).map(|(block, mark)| Sending {
            token: token(&self.id, epoch, &block),
            block,
            mark,
            again,
            claim: held.claim.clone(),
        });
        let wait = before.filter(|before| before.of_state || of_state).and_then(|before| before.landed.take());
        let (land, landed) = oneshot::channel();
        let insert = insert_all(self.sink.clone(), self.around.cpu.clone(), self.status.clone(), sending.collect());
        let task = async move {
            if let Some(Err(_)) = OptionFuture::from(wait).await {
                return std::future::pending().await; // it failed: the lane stops, and this task with it
            }
            insert.await?;
            land.send(()).ok(); // nobody needs to know
            Ok(())
        };
        let (landed, task) = (Some(landed), tokio::spawn(task));
        Inserting { intent, position, state, replaced, tally, made_by, of_state, landed, task, _room: room }
    }

    /// Ends an epoch whose rows are all in their tables.
    async fn commit(&self, held: &Held, mut epoch: Inserting) -> Result<(), LaneError> {
        let (number, state) = (epoch.intent.epoch, std::mem::take(&mut epoch.state));
        let commit = Commit { epoch: number, position: epoch.position.clone(), state };
        self.around.journal.commit(&self.id, held.owner, commit).await?;
        CrashPoint::Committed.reached();
        for file in &epoch.replaced {
            std::fs::remove_file(file).ok(); // one that stays is removed when the lane is taken the next time
        }
        self.around.source.mirror(&self.found.partition, &self.id.key().to_string(), epoch.intent.range.end);
        self.versions.committed(&self.id, &epoch.intent, &epoch.tally);
        self.status.committed(&epoch.made_by, &epoch.intent, &epoch.tally);
        tracing::debug!(lane = %self.id, epoch = number, range = %epoch.intent.range, "committed");
        Ok(())
    }
}

/// Where the lane stands after an epoch.
fn after(before: &Position, intent: &Intent) -> Position {
    let mut state_versions = before.state_versions.clone();
    if let Some(version) = intent.state_version
        && let Err(place) = state_versions.binary_search(&version)
    {
        state_versions.insert(place, version);
    }
    Position {
        generation: intent.generation,
        epoch: intent.epoch,
        next_offset: Some(intent.range.end),
        clock_ms: intent.clock_ms,
        plugin_digest: Some(intent.plugin_digest.clone()),
        watermark_ms: intent.next_watermark_ms,
        state_versions,
    }
}

/// All blocks of an epoch at a time, each into its own table: rows are there as soon as their table has them, and the next epoch need
/// not wait for one answer after the other. How many inserts a server sees at once is for its gate to say.
async fn insert_all(
    sink: Arc<dyn Sink>,
    cpu: Cpu,
    lane: Arc<LaneStatus>,
    sending: Vec<Sending>,
) -> Result<(), SinkError> {
    let insert = async |send| {
        let began = Instant::now();
        let Inserted { encoding, .. } = sink.insert(send).await?;
        cpu.charge(&lane.id.tenant, Of::Encode, encoding);
        lane.inserted(began.elapsed());
        CrashPoint::InsertedOne.reached();
        Ok::<_, SinkError>(())
    };
    try_join_all(sending.iter().map(insert)).await?;
    sink.inserted(&lane.id, sending.iter().filter(|send| send.block.rows > 0).count());
    Ok(())
}

/// Waits for the first epoch in flight; for ever if there is none.
async fn front(in_flight: &mut VecDeque<Inserting>) -> Result<(), SinkError> {
    match in_flight.front_mut() {
        Some(epoch) => finished(epoch).await,
        None => std::future::pending().await,
    }
}

async fn finished(epoch: &mut Inserting) -> Result<(), SinkError> {
    match (&mut epoch.task).await {
        Ok(inserted) => inserted,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
