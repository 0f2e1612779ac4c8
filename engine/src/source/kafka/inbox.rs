//! Where a partition's messages wait between the fetcher, which fills it, and the reader, which empties it.
//!
//! **Invariant:** messages lie in it in offset order, each once, and `next` is the offset behind the last one that ever
//! came in: wherever fetching is stopped, cut short or begun again, on whichever client, it goes on at `next`.

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::client::{Client, c_name};
use super::message::{self, Fetched, RawMessage};
use crate::batch::Message;
use crate::offsets::TopicPartition;
use crate::source::budget::{Account, Budget};
use crate::source::chunk::{self, Chunk, Messages, Queue};
use crate::source::{BatchLimits, Found};

/// Messages of many partitions are copied if they have no more bytes than this on average. Where larger ones lie makes little
/// difference to what they cost, and copying them some to how long it takes: with 5 KB each it doubles what an event costs.
const SMALL: usize = 2048;

/// Why nothing more comes in. The reader finds out more, and decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The broker has no such offset.
    OutOfRange,
    /// The client finds no such topic or partition.
    Missing,
    /// The topic's name stands for another topic now, with this id.
    Replaced(String),
    /// We may not read it.
    Refused(String),
}

/// What the fetcher is doing for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetch {
    /// Nothing: not begun, failed, or closed.
    Idle,
    /// Messages come in.
    Running,
    /// It holds its share of the budget; goes on when half of that is given back.
    Full,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Accepted {
    /// All are in, or were not wanted.
    All,
    /// Some did not fit. They must be fetched again, from `next` on.
    Part,
}

/// One opened partition.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) found: Found,
    pub(super) c_topic: CString,
    account: Arc<Account>,
    state: Mutex<State>,
    pub(super) arrived: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// What the reader wants to be woken for.
    wanted: Wanted,
    /// When the first message of the queue came.
    since: Instant,
    fetch: Fetch,
    next: i64,
    end: Option<i64>,
    /// The partition's end, where fetching has come to it: there is nothing but holes from `next` to here.
    reached: Option<i64>,
    failure: Option<Failure>,
    progress: Instant,
}

/// What a batch still has room for. A reader whose batch has begun wakes by itself when its time is over, and before only
/// for messages that fill it: hundreds of quiet partitions would else wake as many tasks for each message.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    messages: usize,
    bytes: usize,
}

impl Wanted {
    const ANY: Self = Self { messages: 1, bytes: 0 };
}

/// What a reader finds.
#[derive(Debug)]
pub(super) struct Taken {
    /// When the oldest of the taken messages came.
    pub(super) since: Option<Instant>,
    /// Nothing more comes, or little, until the reader's messages are gone: don't wait for more.
    pub(super) full: bool,
    /// Nothing comes any more; told when all messages before it are taken.
    pub(super) failure: Option<Failure>,
}

impl Inbox {
    pub(super) fn new(found: Found, budget: Arc<Budget>) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            queue: Queue::default(),
            wanted: Wanted::ANY,
            since: now,
            fetch: Fetch::Idle,
            next: 0,
            end: None,
            reached: None,
            failure: None,
            progress: now,
        };
        let c_topic = c_name(&found.partition.topic);
        Arc::new(Self {
            found,
            c_topic,
            account: Account::new(budget),
            state: Mutex::new(state),
            arrived: Notify::new(),
        })
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.found.partition
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic under this lock would leave the messages in doubt")
    }

    /// Where fetching is to begin.
    pub(super) fn position(&self, next: i64) {
        self.state().next = next;
    }

    /// Fetching begins; gives the offset where. A failure is forgotten: whoever begins again has looked into it.
    pub(super) fn begin(&self) -> i64 {
        let mut state = self.state();
        state.fetch = Fetch::Running;
        state.failure = None;
        state.progress = Instant::now();
        state.next
    }

    /// Fetching has stopped, for good.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.fetch = Fetch::Idle;
        state.queue = Queue::default();
    }

    /// May fetching go on that was stopped because the inbox was full?
    pub(super) fn may_resume(&self) -> bool {
        self.account.may_resume()
    }

    /// Takes messages of one fetch in, as many as the budget admits: those of one of `many` partitions as copies. Only the
    /// fetcher's thread does, so `next` stays what it is meanwhile.
    pub(super) fn accept(&self, run: Vec<RawMessage>, many: bool, client: &Arc<Client>, now: Instant) -> Accepted {
        let Some(mut next) = self.running().map(|state| state.next) else {
            return Accepted::All; // late ones of a stopped fetch
        };
        let fetched = run.len();
        let (chunk, admitted) = self.chunk(run, many, client, &mut next);
        let accepted = if admitted < fetched { Accepted::Part } else { Accepted::All };
        let end = client.known_end(&self.c_topic, self.partition().partition);
        let Some(mut state) = self.running() else { return Accepted::All };
        if state.queue.is_empty() {
            state.since = now;
        }
        state.queue.push(&chunk, 0);
        state.next = next;
        state.end = end.or(state.end).max(Some(next));
        state.reached = None;
        state.progress = now;
        if accepted == Accepted::Part {
            state.fetch = Fetch::Full;
        }
        let full = state.fetch == Fetch::Full || self.account.is_nearly_full();
        let enough = full || state.queue.has(state.wanted.messages, state.wanted.bytes);
        drop(state);
        if enough {
            self.arrived.notify_one();
        }
        accepted
    }

    /// As many of these messages as the budget admits, but for those before `next`, which moves on. Says how many were admitted.
    fn chunk(&self, mut run: Vec<RawMessage>, many: bool, client: &Arc<Client>, next: &mut i64) -> (Arc<Chunk>, usize) {
        let bytes: usize = run.iter().map(RawMessage::bytes).sum();
        let copies = many && bytes <= run.len() * SMALL;
        let (admitted, cost) = self.admitted(&run, if copies { chunk::cost } else { message::cost });
        run.truncate(admitted);
        run.retain(|raw| {
            let wanted = raw.offset() >= *next; // a compressed batch begins before the offset that was asked for
            *next = (raw.offset() + 1).max(*next);
            wanted
        });
        let fetched = Fetched::new(run, client.clone());
        self.account.fetched(fetched.bytes_from(0));
        let chunk = match copies {
            true => fetched.copy().done(&self.account),
            false => Chunk::new(fetched, self.account.lease(cost)),
        };
        (chunk, admitted)
    }

    /// What is there, if messages are to come in.
    fn running(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.state()).filter(|state| state.fetch == Fetch::Running)
    }

    /// How many of these messages the budget admits, and what they cost.
    fn admitted(&self, run: &[RawMessage], cost: fn(usize, usize) -> usize) -> (usize, usize) {
        let (mut bytes, mut taken) = (0, 0);
        for (count, raw) in run.iter().enumerate() {
            bytes += raw.bytes();
            let with = cost(count + 1, bytes);
            if !self.account.admits(taken, with - taken) {
                return (count, taken);
            }
            taken = with;
        }
        (run.len(), taken)
    }

    /// All messages up to `end` have come in.
    pub(super) fn reached(&self, end: i64, now: Instant) {
        let mut state = self.state();
        if state.fetch == Fetch::Running {
            state.end = Some(end);
            state.reached = Some(end);
            state.progress = now;
        }
    }

    /// Nothing comes in any more. The first failure stays: what follows is its consequence.
    pub(super) fn fail(&self, failure: Failure) {
        let mut state = self.state();
        state.fetch = Fetch::Idle;
        state.failure.get_or_insert(failure);
        drop(state);
        self.arrived.notify_one();
    }

    /// Moves messages to `batch` until it is full; `bytes` counts those of keys and values in it.
    pub(super) fn take(&self, limits: BatchLimits, batch: &mut Vec<Message>, bytes: &mut usize) -> Taken {
        let mut state = self.state();
        let since = (!state.queue.is_empty()).then_some(state.since);
        state.queue.take(limits, batch, bytes);
        state.wanted = match batch.len() {
            0 => Wanted::ANY,
            taken => Wanted {
                messages: limits.max_messages.saturating_sub(taken),
                bytes: limits.max_bytes.saturating_sub(*bytes),
            },
        };
        let emptied = state.queue.is_empty();
        if !emptied && since.is_some() {
            state.since = Instant::now();
        }
        let failure = if emptied { state.failure.clone() } else { None };
        let full = emptied && !batch.is_empty() && (state.fetch == Fetch::Full || self.account.is_nearly_full());
        if full {
            self.account.gives_out();
        }
        Taken { since, full, failure }
    }

    /// The partition's end, and how far a reader at `position` is, holes included.
    pub(super) fn lag(&self, position: i64) -> Option<(i64, i64)> {
        let state = self.state();
        let end = state.end?;
        let all_given_out = state.queue.is_empty() && position >= state.next;
        let position = if all_given_out { position.max(state.reached.unwrap_or(position)) } else { position };
        Some((end.max(position), position))
    }

    /// The offset that is waited for, if nothing has come since `before`.
    pub(super) fn stalled_at(&self, before: Instant) -> Option<i64> {
        let state = self.state();
        let waits = state.fetch == Fetch::Running && state.progress < before;
        waits.then_some(state.reached.unwrap_or(state.next).max(state.next))
    }

    /// Nothing has come, and nothing was to come.
    pub(super) fn excused(&self) {
        self.state().progress = Instant::now();
    }
}

/// Locks a value that no panic can leave half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
