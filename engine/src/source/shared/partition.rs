//! A shared partition: its lanes, the streams that bring their messages, and who is brought by which.
//!
//! *Invariant:* a member of a stream has in its queue, or was given, each message of its part from where it began up to the
//! stream's position, or up to its own `scanned` if that is further.
//! *Invariant:* a stream is at most [`NEAR`] offsets behind where each of its members goes on.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::member::{Member, Ready};
use super::routes::MemberId;
use super::state::{State, Stream};
use super::stream;
use crate::batch::{Message, RawBatch};
use crate::registry::{Registry, Schemas};
use crate::source::budget::{Account, Budget};
use crate::source::chunk::Filling;
use crate::source::{BatchLimits, Found, Lag, Part, Source, SourceError, Start};

/// Streams of one partition at a time. Each needs a position of its own at the source, and lanes that are far apart are few.
const MAX_STREAMS: usize = 4;
/// How far a lane may be ahead of the stream that it is given to, in offsets: half a second's reading.
const NEAR: i64 = 500_000;
/// Who leaves more than this part of what is free where it is holds up the others.
const SLOW: usize = 4;
/// How long a stream is let be that others wait for.
const SLICE: Duration = Duration::from_secs(10);
/// How long the partition's bounds are good for: many lanes begin at a time.
const BOUNDS_AGE: Duration = Duration::from_secs(1);

/// A partition that lanes share.
pub(super) struct Partition {
    pub(super) found: Found,
    pub(super) source: Arc<dyn Source>,
    pub(super) registry: Option<Arc<Registry>>,
    account: Arc<Account>,
    state: Mutex<State>,
    /// Rung when a stream that waits may have something to do: somebody asks, or took what it had.
    pub(super) rung: Notify,
    bounds: tokio::sync::Mutex<Option<Bounds>>,
    handle: Handle,
}

#[derive(Clone, Copy)]
struct Bounds {
    asked: Instant,
    failures: u64,
    earliest: i64,
    end: i64,
}

/// What a stream is to do.
pub(super) enum Turn {
    /// Read on, for so many.
    Read { members: u32 },
    /// Wait until it is rung for, or for a while.
    Wait,
    /// End: nobody needs it.
    End,
}

/// What there is for a member.
pub(super) enum Taken {
    Batch(RawBatch),
    Failed(SourceError),
    /// The source's end.
    End,
    /// Whether the partition still holds this position has to be found out first.
    Check(i64),
    /// Nothing yet; then there may be something.
    Wait(Option<Instant>),
}

impl Partition {
    pub(super) fn new(
        found: Found,
        source: Arc<dyn Source>,
        budget: Arc<Budget>,
        registry: Option<Arc<Registry>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            found,
            source,
            registry,
            account: Account::new(budget),
            state: Mutex::default(),
            rung: Notify::new(),
            bounds: tokio::sync::Mutex::default(),
            handle: Handle::current(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic under this lock would leave in doubt who has which messages")
    }

    // ---- For members.

    /// Where a member begins.
    pub(super) async fn position_of(&self, start: Start) -> Result<i64, SourceError> {
        match start {
            Start::Earliest => Ok(self.bounds(|_| true).await?.earliest),
            Start::Latest => Ok(self.bounds(|_| false).await?.end),
            Start::Offset(offset) => {
                self.check(offset).await?;
                Ok(offset)
            }
        }
    }

    /// Whether an offset is not behind the partition's end: a stream that is not there yet would go past it silently, once
    /// others have written up to it. One that is gone is noticed by the stream that is opened there.
    pub(super) async fn check(&self, offset: i64) -> Result<(), SourceError> {
        let Bounds { end, .. } = self.bounds(|known| offset <= known.end).await?;
        if offset <= end {
            return Ok(());
        }
        Err(SourceError::OffsetAhead { partition: self.found.partition.clone(), wanted: offset, end })
    }

    /// The partition's bounds: those known, if they are fresh and will do.
    async fn bounds(&self, will_do: impl FnOnce(&Bounds) -> bool) -> Result<Bounds, SourceError> {
        let mut known = self.bounds.lock().await;
        let failures = self.state().failures;
        let fresh = |it: &Bounds| it.asked.elapsed() < BOUNDS_AGE && it.failures == failures;
        if let Some(bounds) = known.filter(fresh).filter(will_do) {
            return Ok(bounds);
        }
        let (earliest, end) = self.source.bounds(&self.found.partition).await?;
        Ok(*known.insert(Bounds { asked: Instant::now(), failures, earliest, end }))
    }

    pub(super) fn join(&self, part: Part, position: i64) -> (MemberId, Arc<Notify>) {
        let mut state = self.state();
        let id = state.name();
        let member = Member::new(part, position, id);
        let wake = member.wake.clone();
        state.members.insert(id, member);
        (id, wake)
    }

    pub(super) fn leave(self: &Arc<Self>, id: MemberId) {
        let mut state = self.state();
        let stream = state.members.get(&id).and_then(|member| member.stream);
        state.detach(id);
        state.members.remove(&id);
        state.waiting.retain(|it| *it != id);
        let empty = |name: &u64| state.streams.get(name).is_some_and(|stream| stream.members.is_empty());
        if let Some(stream) = stream.filter(empty).and_then(|name| state.streams.remove(&name)) {
            stream.task.abort();
        }
        self.open_another(&mut state);
        drop(state);
        self.rung.notify_waiters();
    }

    pub(super) fn checked(&self, id: MemberId) {
        if let Some(member) = self.state().members.get_mut(&id) {
            member.checked = true;
        }
    }

    /// What there is for a member that asks.
    pub(super) fn take(self: &Arc<Self>, id: MemberId, limits: BatchLimits) -> Taken {
        let mut state = self.state();
        let (now, scanned, hurry) = (Instant::now(), state.scanned(id), state.hurry);
        let Some(member) = state.members.get_mut(&id) else { return Taken::End };
        let asks_again = member.asks.replace(limits).is_some();
        if let Some(failure) = member.failure.take() {
            member.asks = None;
            return Taken::Failed(failure);
        }
        if !member.checked {
            return Taken::Check(member.scanned);
        }
        let alone = member.stream.is_none();
        let hurry = alone || hurry.is_some_and(|least| member.queue.cost() >= least);
        let taken = match member.ready(limits, scanned, hurry, now) {
            Ready::Now => Taken::Batch(member.give_out(&self.found.partition, limits, scanned, now)),
            Ready::At(_) if member.ended => Taken::End,
            Ready::At(at) => Taken::Wait(at),
        };
        // Also one that was just given what it had asked for: it lives, and what it will ask for next can come meanwhile.
        if alone && !member.ended && !state.waiting.contains(&id) {
            self.place(&mut state, id);
        }
        drop(state);
        // Lanes ask again each time they look up. To the stream that is news only where it may change what it does.
        if !asks_again || alone || matches!(taken, Taken::Batch(_)) {
            self.rung.notify_waiters();
        }
        taken
    }

    pub(super) fn lag(&self, id: MemberId) -> Option<Lag> {
        let state = self.state();
        let member = state.members.get(&id)?;
        let stream = member.stream.and_then(|stream| state.streams.get(&stream));
        let lags = state.streams.values().filter_map(|stream| stream.lag);
        let end = lags.map(|lag| lag.end).chain(member.ended.then_some(member.scanned)).max()?;
        if !member.is_empty() || member.failure.is_some() {
            return Some(Lag { end: end.max(member.position), position: member.position });
        }
        let Some((stream, at)) = stream.and_then(|stream| Some((stream, stream.position?))) else {
            return Some(Lag { end: end.max(member.scanned), position: member.scanned });
        };
        let position = match stream.lag {
            Some(lag) if at >= member.scanned => lag.position.max(at),
            Some(_) | None => at.max(member.scanned),
        };
        // To its own messages, a stream of others' without a pause is the end.
        let end = if stream.live.is(Instant::now()) && at >= member.scanned { position } else { end.max(position) };
        Some(Lag { end, position })
    }

    pub(super) fn trouble(&self, id: MemberId) -> Option<String> {
        let state = self.state();
        let own = state.members.get(&id)?.stream.and_then(|stream| state.streams.get(&stream));
        own.or(state.streams.values().next())?.trouble.clone()
    }

    // ---- Who is brought by which stream.

    /// Gives a member that asks to the stream that comes to its position first.
    fn place(self: &Arc<Self>, state: &mut State, id: MemberId) {
        let Some(at) = state.members.get(&id).map(|member| member.scanned) else { return };
        let near = |stream: &Stream| stream.position.filter(|position| *position <= at && at - position <= NEAR);
        let best = state.streams.iter().filter_map(|(name, stream)| Some((near(stream)?, *name))).max();
        if let Some((_, stream)) = best {
            return state.attach(id, stream);
        }
        state.waiting.push_back(id);
        self.open_another(state);
    }

    /// Opens a stream for those who wait, if there is a place for one.
    fn open_another(self: &Arc<Self>, state: &mut State) {
        let opening = state.streams.values().any(|stream| stream.position.is_none());
        if state.waiting.is_empty() || opening || state.streams.len() >= MAX_STREAMS {
            return;
        }
        let name = state.name();
        let task = self.handle.spawn(stream::run(self.clone(), name)).abort_handle();
        state.streams.insert(name, Stream::new(task));
    }

    // ---- For streams.

    /// A stream begins: with the one that waits the longest, and all who are near it. Gives its position, if anybody waits.
    pub(super) fn begin(self: &Arc<Self>, name: u64) -> Option<i64> {
        let mut state = self.state();
        let positions: Vec<(MemberId, i64)> = state.waiting.iter().map(|id| (*id, state.scanned(*id))).collect();
        let Some((_, first)) = positions.first().copied() else {
            state.streams.remove(&name);
            return None;
        };
        let below = positions.iter().map(|(_, at)| *at).filter(|at| (first - NEAR..=first).contains(at));
        let start = below.min().unwrap_or(first);
        if let Some(stream) = state.streams.get_mut(&name) {
            (stream.position, stream.began) = (Some(start), Instant::now());
        }
        state.adopt(name, start..=start.saturating_add(NEAR));
        self.open_another(&mut state);
        Some(start)
    }

    /// What a stream is to do next.
    pub(super) fn turn(self: &Arc<Self>, name: u64, step: usize) -> Turn {
        let mut state = self.state();
        let now = Instant::now();
        let Some(stream) = state.streams.get(&name) else { return Turn::End };
        let makes_room = !state.waiting.is_empty()
            && state.streams.len() >= MAX_STREAMS
            && stream.began.elapsed() >= SLICE
            && state.streams.values().any(|other| other.position > stream.position);
        if stream.members.is_empty() || makes_room {
            state.close(name);
            self.open_another(&mut state);
            return Turn::End;
        }
        let members = u32::try_from(stream.members.len()).unwrap_or(u32::MAX);
        let (free, read) = (self.account.free(), Turn::Read { members });
        // All members are looked at only where one of them may have so much.
        if self.account.held() > free / SLOW && !state.sheds_the_slow(name, free / SLOW, now) {
            Turn::Wait
        } else if self.account.admits(0, step) {
            state.hurry = None;
            read
        } else {
            state.hurry(now);
            if state.cut_the_longest(name, now) { read } else { Turn::Wait }
        }
    }

    /// Whether a stream needs schemas to look at messages in Avro.
    pub(super) fn reads_columns(&self, name: u64) -> bool {
        self.state().streams.get(&name).is_some_and(|stream| stream.routes.reads_columns())
    }

    /// What keeps messages from coming, as of now.
    pub(super) fn show(&self, name: u64, lag: Option<Lag>, trouble: Option<String>) {
        if let Some(stream) = self.state().streams.get_mut(&name) {
            stream.show(lag, trouble);
        }
    }

    /// Gives messages to the members that they are for. Says whether the stream goes on.
    pub(super) fn split(self: &Arc<Self>, name: u64, batch: &RawBatch, schemas: &Schemas, lag: Option<Lag>) -> bool {
        let mut state = self.state();
        let State { members, streams, .. } = &mut *state;
        let Some(stream) = streams.get_mut(&name) else { return false };
        if let Some(answers) = &schemas.answers {
            stream.routes.set_registry(answers);
        }
        // Whose each message is, first of all: those of the same lanes are copied, booked and queued together.
        let (mut wanted, mut found) = (Vec::with_capacity(batch.messages.len()), Vec::new());
        for (index, message) in batch.messages.iter().enumerate() {
            stream.routes.of(message, &mut found);
            wanted.extend(found.drain(..).map(|group| (group, index)));
        }
        wanted.sort_unstable();
        let now = Instant::now();
        for wanted in wanted.chunk_by(|(one, _), (other, _)| one == other) {
            let [(group, _), ..] = wanted else { continue };
            let group = stream.routes.members(*group);
            let scanned = group.iter().filter_map(|id| members.get(id)).map(|member| member.scanned);
            let Some(least) = scanned.min() else { continue };
            let had = wanted.partition_point(|(_, index)| batch.messages[*index].offset < least);
            if had == wanted.len() {
                continue;
            }
            let messages = wanted[had..].iter().map(|(_, index)| &batch.messages[*index]);
            let mut filling = Filling::new(messages.len(), messages.clone().map(Message::bytes).sum());
            messages.for_each(|message| filling.copy(message));
            let chunk = filling.done(&self.account);
            for id in group {
                if let Some(member) = members.get_mut(id) {
                    member.push(&chunk, now);
                }
            }
        }
        let (before, at) = (batch.range.start, batch.range.end);
        stream.position = Some(at);
        stream.show(lag, None);
        if let Some(other) = state.meets(name, before..=at) {
            state.go_over(name, other);
            self.open_another(&mut state);
            return false;
        }
        state.adopt(name, at..=at.saturating_add(NEAR));
        true
    }

    /// The source's end.
    pub(super) fn ended(self: &Arc<Self>, name: u64) {
        let mut state = self.state();
        for id in state.close(name) {
            if let Some(member) = state.members.get_mut(&id) {
                member.ended = true;
                member.wake.notify_one();
            }
        }
        let State { waiting, members, .. } = &mut *state;
        waiting.retain(|id| members.get(id).is_some_and(|member| !member.ended));
        self.open_another(&mut state);
    }

    /// A stream's task is gone. Where it has not said so before, that is a bug, and its members are not to wait for ever.
    pub(super) fn gone(self: &Arc<Self>, name: u64) {
        let there = self.state.lock().is_ok_and(|state| state.streams.contains_key(&name));
        if there {
            self.failed(name, SourceError::Unavailable { message: "its reader ended unexpectedly".to_owned() });
        }
    }

    /// A stream has failed: the first of its members hears why, the others find out by themselves where they stand.
    pub(super) fn failed(self: &Arc<Self>, name: u64, error: SourceError) {
        let mut state = self.state();
        state.failures += 1;
        let mut members = state.close(name);
        members.sort_by_key(|id| state.scanned(*id));
        let mut error = Some(error);
        for id in members {
            state.waiting.retain(|it| *it != id);
            let Some(member) = state.members.get_mut(&id) else { continue };
            member.checked = false;
            member.failure = error.take();
            member.wake.notify_one();
        }
        self.open_another(&mut state);
    }
}
