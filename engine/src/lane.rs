//! A lane: one transform on one source partition, epoch by epoch. [`Lane::run`] is the whole data path.
//!
//! **Promise.** Rows of the partition reach their tables in epochs, each of which is written down before it is sent and
//! made again exactly after a crash. An error of one message is a dead letter; an error of the lane stops this lane alone,
//! with nothing lost: its messages wait at the source.
//! **Assumed.** The journal keeps what it has acknowledged; the sink recognises a token within its window.
//! **After a crash** the lane first ends the epochs that it had decided, then goes on behind them.
//!
//! While an epoch is being inserted the next one is collected and transformed; intents and commits stay in order.
//!
//! *Invariant:* a lane has one position, the journal's; each epoch begins where the one before it ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::batch::{Message, RawBatch};
use crate::clock::Clock;
use crate::cpu::Cpu;
use crate::crash_point::CrashPoint;
use crate::journal::{Commit, Intent, Journal, JournalError, Owner, Position, Taken};
use crate::lane_status::{LaneState, LaneStatus};
use crate::offsets::{LaneId, OffsetRange};
use crate::plugin::Host;
use crate::registry::{Registry, RegistryError, Schemas};
use crate::sink::{Claim, Sending, Sink, SinkError, epoch_column};
use crate::source::{BatchLimits, Found, Reader, Source, SourceError, Start};
use crate::stop::Stop;
use crate::token::token;
use crate::transform::{Epoch, Tally, Transform, TransformError, Transformed};

/// Epochs of a lane that are being inserted while the next is made. Two keep the server busy; more would only be more
/// memory and a longer recovery.
const MAX_IN_FLIGHT: usize = 2;

/// How often a waiting lane says how far it is.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// How long a partition may end before a range that was read from it. A leader just elected can lag behind the end that
/// the former one had announced, for as long as its followers take to fetch; what is not there after this is lost.
const LEADER_CATCHES_UP: Duration = Duration::from_secs(30);

/// Lanes that make an open epoch again at a time: each holds the messages of one epoch beside the source's budget.
pub const MAX_RECOVERIES: usize = 2;

/// What all lanes of an engine share.
#[derive(Clone)]
pub struct Surroundings {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// Where rows go.
    pub sink: Arc<dyn Sink>,
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
    /// Where to begin when the journal knows no position.
    pub start: Start,
    /// When an epoch is collected.
    pub limits: BatchLimits,
    /// What it does.
    pub transform: Transform,
    /// What it shares.
    pub around: Surroundings,
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

/// A batch that waits for its schemas.
type Resolving = BoxFuture<'static, Result<(RawBatch, Schemas), RegistryError>>;

/// What proves that the lane is this process's.
struct Held {
    /// To the journal.
    owner: Owner,
    /// To the tables' server.
    claim: Arc<Claim>,
}

/// An intended epoch on its way to the tables.
struct Inserting {
    intent: Intent,
    tally: Tally,
    task: JoinHandle<Result<(), SinkError>>,
}

impl Drop for Inserting {
    /// A lane that ends does not leave inserts behind that nobody waits for.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lane {
    /// Runs the lane until it is told to stop or its source ends: the whole data path, in order.
    ///
    /// # Errors
    /// What stopped it. Everything committed stays; everything else is done again by the next run.
    pub async fn run(self) -> Result<(), LaneError> {
        let mut stop = self.stop.clone();
        let Taken { owner, position, open } = self.around.journal.take(&self.id).await?;
        let held = self.hold(owner, &position, &open).await?;
        let mut ahead = self.recover(&held, position, open).await?;
        let start = ahead.next_offset.map_or(self.start, Start::Offset);
        let mut reader = self.around.source.open(&self.found, start).await?;
        let mut in_flight = VecDeque::new();
        let mut resolving: Option<Resolving> = None;
        let mut status_tick = interval(STATUS_INTERVAL);
        status_tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut collecting = true;
        self.status.set_state(LaneState::Running);

        while collecting || resolving.is_some() || !in_flight.is_empty() {
            tokio::select! {
                biased;
                inserted = front(&mut in_flight) => {
                    inserted?;
                    let epoch = in_flight.pop_front().expect("its front was just awaited");
                    CrashPoint::InsertedAll.reached();
                    self.commit(&held, &epoch).await?;
                }
                // Before the next batch: a source that is never empty must not keep the lane from hearing it.
                () = stop.told(), if collecting || resolving.is_some() => (collecting, resolving) = (false, None),
                resolved = ready(&mut resolving) => {
                    resolving = None;
                    let (raw, schemas) = resolved?;
                    in_flight.push_back(self.decide(&held, &mut ahead, raw, schemas).await?);
                }
                raw = reader.next_batch(self.limits),
                    if collecting && resolving.is_none() && in_flight.len() < MAX_IN_FLIGHT => match raw? {
                    Some(raw) => resolving = Some(self.with_schemas(raw)),
                    None => collecting = false,
                },
                _ = status_tick.tick() => {}
            }
            self.status.show_progress(&*reader, in_flight.len() + usize::from(resolving.is_some()));
        }
        self.status.set_state(LaneState::Ended);
        Ok(())
    }

    /// Gets the schemas that a batch needs, beside the lane's other work: a registry that is away must not hold up the
    /// epochs in flight.
    fn with_schemas(&self, raw: RawBatch) -> Resolving {
        let (registry, status) = (self.around.registry.clone(), self.status.clone());
        let registry = registry.filter(|_| self.transform.decodes());
        async move {
            let schemas = match registry {
                Some(registry) => registry.schemas_of(&raw, |why| status.waits_for_registry(why)).await?,
                None => Schemas::default(),
            };
            Ok((raw, schemas))
        }
        .boxed()
    }

    /// Transforms a batch and writes down what will be sent, then begins to send it.
    async fn decide(
        &self,
        held: &Held,
        ahead: &mut Position,
        raw: RawBatch,
        schemas: Schemas,
    ) -> Result<Inserting, LaneError> {
        assert!(ahead.next_offset.is_none_or(|next| next == raw.range.start), "an epoch begins where the last ended");
        let epoch = Epoch {
            generation: ahead.generation,
            number: ahead.epoch + 1,
            clock_ms: self.around.clock.now_ms().max(ahead.clock_ms),
        };
        let (transform, lane) = (self.transform.clone(), self.id.clone());
        let mut made = self.around.cpu.run(move || transform.run(&lane, &raw, &schemas, epoch)).await?;
        CrashPoint::Transformed.reached();
        if !made.blocks.is_empty() {
            for block in &made.blocks {
                made.intent.marks.push(self.around.sink.mark(&block.table).await);
            }
            self.around.artifacts.keep(&self.transform)?;
            self.around.artifacts.note_maker(&self.id, &made.intent)?;
            self.around.journal.intend(&self.id, held.owner, &made.intent).await?;
            CrashPoint::Intended.reached();
        }
        *ahead = after(&made.intent);
        Ok(self.send(held, made, false))
    }

    /// Makes the lane this process's alone: at the tables, as the journal has done for itself. A journal that knows less
    /// than the tables is an old copy, and would write again what they have.
    async fn hold(&self, owner: Owner, position: &Position, open: &[Intent]) -> Result<Held, LaneError> {
        let tables = self.transform.tables();
        let claim = Arc::new(self.around.sink.claim(&self.id, owner, &tables).await?);
        CrashPoint::Claimed.reached();
        let known = open.last().map_or((position.generation, position.epoch), |it| (it.generation, it.epoch));
        let known = epoch_column(known.0, known.1);
        for table in &tables {
            if self.around.sink.holds_later(table, &self.id, known, position.clock_ms).await? {
                return Err(SinkError::OldJournal { table: table.quoted(), lane: Box::new(self.id.clone()) }.into());
            }
        }
        Ok(Held { owner, claim })
    }

    /// Inserts all blocks of an epoch whose intent is durable, in a task of its own.
    fn send(&self, held: &Held, made: Transformed, again: bool) -> Inserting {
        let Transformed { blocks, intent, tally, .. } = made;
        let epoch = Epoch { generation: intent.generation, number: intent.epoch, clock_ms: intent.clock_ms };
        let marks = intent.marks.iter().copied().chain(std::iter::repeat(None));
        let sending = blocks.into_iter().zip(marks).map(|(block, mark)| Sending {
            token: token(&self.id, epoch, &block),
            block,
            mark,
            again,
            claim: held.claim.clone(),
        });
        let task = insert_all(self.around.sink.clone(), self.status.clone(), sending.collect());
        Inserting { intent, tally, task: tokio::spawn(task) }
    }

    /// Ends an epoch whose rows are all in their tables.
    async fn commit(&self, held: &Held, epoch: &Inserting) -> Result<(), LaneError> {
        let position = after(&epoch.intent);
        self.around.journal.commit(&self.id, held.owner, Commit { epoch: epoch.intent.epoch, position }).await?;
        CrashPoint::Committed.reached();
        self.around.source.mirror(&self.found.partition, &self.id.plugin, epoch.intent.range.end);
        self.status.committed(&epoch.intent, &epoch.tally);
        tracing::debug!(lane = %self.id, epoch = epoch.intent.epoch, range = %epoch.intent.range, "committed");
        Ok(())
    }

    /// Ends the epochs that were decided before a crash, in order, as they were decided.
    async fn recover(&self, held: &Held, mut position: Position, open: Vec<Intent>) -> Result<Position, LaneError> {
        for intent in open {
            self.status.set_state(LaneState::Recovering);
            tracing::info!(lane = %self.id, epoch = intent.epoch, range = %intent.range, "making an open epoch again");
            let made = self.make_again(&intent).await?;
            CrashPoint::MadeAgain.reached();
            let mut epoch = self.send(held, Transformed { intent: intent.clone(), ..made }, true);
            finished(&mut epoch).await?;
            self.commit(held, &epoch).await?;
            position = after(&intent);
        }
        Ok(position)
    }

    /// An open epoch as it was decided, ready to be sent. Its messages are in memory all at once, outside of the source's
    /// budget: within it, lanes that each hold a part of their range would wait for each other for ever. So only a few
    /// lanes do this at a time.
    async fn make_again(&self, intent: &Intent) -> Result<Transformed, LaneError> {
        let _turn = self.around.recoveries.acquire().await.expect("the semaphore is never closed");
        let raw = self.fetch_again(intent).await?;
        let transform = self.transform_of(intent).await?;
        let schemas = Schemas::of_intent(&self.around.artifacts, intent.schemas.as_ref())?;
        let (lane, intent) = (self.id.clone(), intent.clone());
        Ok(self.around.cpu.run(move || transform.replay(&lane, &raw, &schemas, &intent)).await?)
    }

    /// The transform that an epoch was decided with: the present one, or one from the artifacts.
    async fn transform_of(&self, intent: &Intent) -> Result<Transform, LaneError> {
        let same = intent.plugin_digest == self.transform.plugin_digest()
            && intent.settings_digest == self.transform.settings_digest();
        if same {
            return Ok(self.transform.clone());
        }
        tracing::info!(lane = %self.id, epoch = intent.epoch, plugin = %intent.plugin_digest, "with the plugin it was decided with");
        let (artifacts, host, intent) = (self.around.artifacts.clone(), self.around.host.clone(), intent.clone());
        let rebuild = move || artifacts.rebuild(&host, &intent.plugin_digest, &intent.settings_digest);
        Ok(self.around.cpu.run(rebuild).await?)
    }

    /// The messages of a decided range, as one batch.
    async fn fetch_again(&self, intent: &Intent) -> Result<RawBatch, LaneError> {
        let mut reader = self.around.source.open(&self.found, Start::Offset(intent.range.start)).await?;
        let mut raw = RawBatch {
            partition: self.found.partition.clone(),
            range: intent.range,
            messages: Vec::with_capacity(intent.messages),
            bytes: 0,
        };
        while raw.messages.len() < intent.messages {
            let missing = intent.messages - raw.messages.len();
            let limits = BatchLimits { max_messages: missing, max_bytes: usize::MAX, linger: Duration::ZERO };
            let Some(batch) = self.next_within(intent, &mut *reader, limits).await? else { break };
            raw.messages.extend(batch.messages.into_iter().map(Message::into_owned));
            if batch.range.end >= intent.range.end {
                break;
            }
        }
        // Compaction may have taken messages out of the range: what then comes from behind it is not the epoch's. The
        // replay sees that the number differs.
        raw.messages.retain(|message| message.offset < intent.range.end);
        raw.bytes = raw.messages.iter().map(Message::bytes).sum();
        Ok(raw)
    }

    /// The next messages; `None` once it is known that the range holds no more. A range that the partition no longer
    /// reaches is not waited for: it would be, silently, until others wrote over it.
    async fn next_within(
        &self,
        intent: &Intent,
        reader: &mut dyn Reader,
        limits: BatchLimits,
    ) -> Result<Option<RawBatch>, LaneError> {
        let gone = || LaneError::RangeGone { epoch: intent.epoch, range: intent.range };
        let mut look = interval(STATUS_INTERVAL);
        let mut short_since = None;
        loop {
            tokio::select! {
                biased;
                batch = reader.next_batch(limits) => return batch?.map(Some).ok_or_else(gone),
                _ = look.tick() => {}
            }
            self.status.show_progress(reader, 0);
            match reader.lag() {
                Some(lag) if lag.position >= intent.range.end => return Ok(None),
                Some(lag) if lag.end < intent.range.end && reader.trouble().is_none() => {
                    if short_since.get_or_insert_with(Instant::now).elapsed() > LEADER_CATCHES_UP {
                        return Err(gone());
                    }
                }
                Some(_) | None => short_since = None,
            }
        }
    }
}

/// Where the lane stands after an epoch.
fn after(intent: &Intent) -> Position {
    Position {
        generation: intent.generation,
        epoch: intent.epoch,
        next_offset: Some(intent.range.end),
        clock_ms: intent.clock_ms,
        plugin_digest: Some(intent.plugin_digest.clone()),
    }
}

/// All blocks of an epoch, one after the other: tables of one epoch are of different size, and the server's parallelism
/// is for the lanes.
async fn insert_all(sink: Arc<dyn Sink>, lane: Arc<LaneStatus>, sending: Vec<Sending>) -> Result<(), SinkError> {
    for send in &sending {
        let began = Instant::now();
        sink.insert(send).await?;
        lane.inserted(began.elapsed());
        CrashPoint::InsertedOne.reached();
    }
    Ok(())
}

/// Waits for the first epoch in flight; for ever if there is none.
async fn front(in_flight: &mut VecDeque<Inserting>) -> Result<(), SinkError> {
    match in_flight.front_mut() {
        Some(epoch) => finished(epoch).await,
        None => std::future::pending().await,
    }
}

/// Waits for the schemas of a batch; for ever if none waits for any.
async fn ready(resolving: &mut Option<Resolving>) -> Result<(RawBatch, Schemas), RegistryError> {
    match resolving {
        Some(resolving) => resolving.await,
        None => std::future::pending().await,
    }
}

async fn finished(epoch: &mut Inserting) -> Result<(), SinkError> {
    match (&mut epoch.task).await {
        Ok(inserted) => inserted,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
