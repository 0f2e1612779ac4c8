//! Ending the epochs that a lane had decided before a crash, in order, as they were decided.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::room::bytes_of;
use super::{Ahead, Held, Lane, LaneError, Left, after, finished};
use crate::batch::{Message, RawBatch};
use crate::crash_point::CrashPoint;
use crate::deploy::VersionId;
use crate::journal::{Intent, Position};
use crate::lane_status::LaneState;
use crate::memory::For;
use crate::registry::Schemas;
use crate::source::{BatchLimits, Reader, Start, open_part};
use crate::state::State;
use crate::transform::{Transform, Transformed};

/// How often it is looked at how far the source has come.
const LOOK: Duration = Duration::from_millis(100);
/// How long a partition may end before a range that was read from it. A leader just elected can lag behind the end that
/// the former one had announced, for as long as its followers take to fetch; what is not there after this is lost.
const LEADER_CATCHES_UP: Duration = Duration::from_secs(30);

impl Lane {
    /// Ends the open epochs. Each is made with the plugin that it was decided with, over the state that the epochs before it
    /// left, and that plugin's tables of it: where the next one is of another plugin, the state is read anew. Breaks off if
    /// what is kept then is for another version of the plugin.
    pub(super) async fn recover(
        &self,
        held: &Held,
        mut position: Position,
        open: Vec<Intent>,
    ) -> Result<ControlFlow<Left, Ahead>, LaneError> {
        let mut remembered: Option<(Transform, State)> = None;
        for intent in open {
            self.status.set_state(LaneState::Recovering);
            tracing::info!(lane = %self.id, epoch = intent.epoch, range = %intent.range, "making an open epoch again");
            let transform = self.transform_of(&intent).await?;
            let state = self.remembered(held, &transform, remembered).await?;
            let (made, state) = self.make_again(&intent, &transform, state).await?;
            CrashPoint::MadeAgain.reached();
            remembered = Some((transform.clone(), state));
            position = after(&position, &intent);
            let room = self.account().book(For::Epochs, bytes_of(&made.blocks));
            let made = Transformed { intent, ..made };
            let mut epoch = self.send(held, (made, transform, room), position.clone(), None, true);
            finished(&mut epoch).await?;
            self.commit(held, epoch).await?;
        }
        self.versions.keeps(&self.id, &position.state_versions);
        if self.versions.of(&self.id).id() != self.version.id() {
            return Ok(ControlFlow::Break(Left::Changed));
        }
        self.reads_what_is_kept(&position)?;
        let state = self.remembered(held, &self.version.transform, remembered).await?;
        Ok(ControlFlow::Continue(Ahead { position, state }))
    }

    /// An open epoch as it was decided, ready to be sent, and the state behind it. Its messages are in memory all at once,
    /// outside of the source's budget: within it, lanes that each hold a part of their range would wait for each other for
    /// ever. So only a few lanes do this at a time.
    async fn make_again(
        &self,
        intent: &Intent,
        transform: &Transform,
        mut state: State,
    ) -> Result<(Transformed, State), LaneError> {
        let _turn = self.around.recoveries.acquire().await.expect("the semaphore is never closed");
        let raw = self.fetch_again(intent, transform).await?;
        let _room = self.account().book(For::Epochs, 3 * raw.bytes); // beside what it becomes: its messages are its own
        let schemas = Schemas::of_intent(&self.around.artifacts, intent.schemas.as_ref())?;
        let (transform, lane, intent) = (transform.clone(), self.id.clone(), intent.clone());
        let replay = move || transform.replay(&lane, &raw, &schemas, &intent, &mut state).map(|made| (made, state));
        Ok(self.around.cpu.run(&self.id.tenant, replay).await?)
    }

    /// The transform that an epoch was decided with: the present one, or one from the artifacts.
    async fn transform_of(&self, intent: &Intent) -> Result<Transform, LaneError> {
        if VersionId::of_intent(intent) == *self.version.id() {
            return Ok(self.version.transform.clone());
        }
        tracing::info!(lane = %self.id, epoch = intent.epoch, plugin = %intent.plugin_digest, "with the plugin it was decided with");
        let (artifacts, host, intent) = (self.around.artifacts.clone(), self.around.host.clone(), intent.clone());
        let rebuild = move || artifacts.rebuild(&host, &intent.plugin_digest, &intent.settings_digest);
        Ok(self.around.cpu.run(&self.id.tenant, rebuild).await?)
    }

    /// The messages of a decided range that the transform reads, as one batch.
    async fn fetch_again(&self, intent: &Intent, transform: &Transform) -> Result<RawBatch, LaneError> {
        if intent.messages == 0 {
            return Ok(self.no_messages(intent.range));
        }
        let (source, registry) = (&*self.around.source, self.around.registry.as_ref());
        let start = Start::Offset(intent.range.start);
        let mut reader = open_part(source, &self.found, start, transform.part(), registry).await?;
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
        let mut look = interval(LOOK);
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
