//! A lane's place in a partition: what waits for it, and how far it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batch::RawBatch;
use crate::offsets::{OffsetRange, TopicPartition};
use crate::source::chunk::{Chunk, Queue};
use crate::source::{BatchLimits, Part, SourceError};

/// How long the position of a lane stays where it is while only others' messages come: each move is a commit, and lanes that
/// are quiet may be many more than those that are not. It is how much more is read again after a crash, and by how much lag tools
/// show too much.
const HELD_BACK: Duration = Duration::from_secs(60);
/// The same in offsets: a second's reading.
const HELD_BACK_OFFSETS: i64 = 1_000_000;
/// How long a lane may leave its messages where they are before it can be taken for one that is stuck. Longer than an epoch
/// usually takes to be made.
const PATIENCE: Duration = Duration::from_secs(1);

/// A lane in a partition.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) part: Part,
    /// The stream that brings its messages.
    pub(super) stream: Option<u64>,
    /// All messages below this that are its own are in the queue, or were given out.
    pub(super) scanned: i64,
    /// The offset behind the last batch.
    pub(super) position: i64,
    pub(super) queue: Queue,
    /// When the first of the queue came.
    since: Instant,
    /// When the position moved last.
    moved: Instant,
    /// When a batch was taken last.
    took: Instant,
    /// It waits for a batch that is full by this.
    pub(super) asks: Option<BatchLimits>,
    /// Whether its position was compared with the partition's end since that may have gone back.
    pub(super) checked: bool,
    pub(super) failure: Option<SourceError>,
    /// The source has an end, and it is reached.
    pub(super) ended: bool,
    pub(super) wake: Arc<Notify>,
}

/// Whether a batch is ready.
#[derive(Debug)]
pub(super) enum Ready {
    Now,
    /// If nothing more comes, then.
    At(Option<Instant>),
}

impl Member {
    /// Of many that begin at a time, each has its own time for the moves of its position.
    pub(super) fn new(part: Part, position: i64, number: u64) -> Self {
        let now = Instant::now();
        let sixteenth = u32::try_from(number % 16).unwrap_or(0);
        let moved = now.checked_sub(HELD_BACK / 16 * sixteenth).unwrap_or(now);
        Self {
            part,
            stream: None,
            scanned: position,
            position,
            queue: Queue::default(),
            since: now,
            moved,
            took: now,
            asks: None,
            checked: true,
            failure: None,
            ended: false,
            wake: Arc::default(),
        }
    }

    /// Takes messages in, but for those that it has already.
    pub(super) fn push(&mut self, chunk: &Arc<Chunk>, now: Instant) {
        let next = chunk.index_of(self.scanned);
        if next == chunk.len() {
            return;
        }
        let first = self.queue.is_empty();
        if first {
            self.since = now;
        }
        self.queue.push(chunk, next);
        if self.asks.is_some_and(|limits| first || self.is_full(limits)) {
            self.wake.notify_one();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn is_full(&self, limits: BatchLimits) -> bool {
        self.queue.has(limits.max_messages, limits.max_bytes)
    }

    /// It leaves its messages where they are, and has for a while.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.asks.is_none() && now - self.took >= PATIENCE
    }

    /// Whether it is time for a batch. `scanned`: up to here nothing is missing; `hurry`: fuller ones are not waited for.
    pub(super) fn ready(&self, limits: BatchLimits, scanned: i64, hurry: bool, now: Instant) -> Ready {
        let at = if self.queue.is_empty() {
            if scanned <= self.position {
                return Ready::At(None);
            }
            if self.ended || scanned - self.position >= HELD_BACK_OFFSETS {
                return Ready::Now;
            }
            self.moved + HELD_BACK
        } else if hurry || self.is_full(limits) {
            return Ready::Now;
        } else {
            self.since + limits.linger
        };
        if at <= now { Ready::Now } else { Ready::At(Some(at)) }
    }

    /// The next batch: what is in the queue, as much as the limits allow; behind the last of it, the offsets up to `scanned`.
    pub(super) fn give_out(
        &mut self,
        partition: &TopicPartition,
        limits: BatchLimits,
        scanned: i64,
        now: Instant,
    ) -> RawBatch {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        self.queue.take(limits, &mut messages, &mut bytes);
        let behind = messages.last().map_or(self.position, |last| last.offset + 1);
        let end = if self.queue.is_empty() { scanned.max(behind) } else { behind };
        let range = OffsetRange { start: self.position, end };
        (self.position, self.moved, self.took, self.since, self.asks) = (end, now, now, now, None);
        RawBatch { partition: partition.clone(), range, messages, bytes }
    }

    /// Gives up the later half of the queue: it will be read again.
    pub(super) fn cut(&mut self) {
        self.scanned = self.queue.cut().unwrap_or(self.scanned);
    }
}
