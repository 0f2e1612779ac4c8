//! What is known of a shared partition's lanes and streams, and how lanes go from one stream to another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::member::Member;
use super::routes::{MemberId, Routes};
use crate::source::Lag;
use crate::source::budget::COMES_BACK;

/// What was at the partition's end so long ago is at its end: while messages come without a pause, nothing ever quite is.
const LIVE: Duration = Duration::from_secs(2);
/// How often a stream looks for members who are slow. They are so after a second.
const SLOW_LOOK: Duration = Duration::from_millis(200);
/// Where there is no room for more, the longest queues are given out that make up this part of all, and the next ones not before
/// those were worked on.
const HURRIED: usize = 4;

#[derive(Default)]
pub(super) struct State {
    pub(super) names: u64,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(super) streams: BTreeMap<u64, Stream>,
    /// Members that ask and are in no stream, in the order in which they came.
    pub(super) waiting: VecDeque<MemberId>,
    /// There is no room for more: queues that cost so much are given out as they are.
    pub(super) hurry: Option<usize>,
    /// When that was decided.
    hurried: Option<Instant>,
    /// How often a stream has failed: the partition's bounds may be others since.
    pub(super) failures: u64,
}

pub(super) struct Stream {
    /// Up to here its messages were given to its members; none: it has not begun.
    pub(super) position: Option<i64>,
    pub(super) lag: Option<Lag>,
    pub(super) trouble: Option<String>,
    pub(super) routes: Routes,
    pub(super) members: BTreeSet<MemberId>,
    pub(super) began: Instant,
    pub(super) live: Live,
    /// When its members were looked at for slow ones, and whether some were not.
    looked: Option<(Instant, bool)>,
    pub(super) task: AbortHandle,
}

/// When everything that there was had been read.
#[derive(Default)]
pub(super) struct Live {
    /// The partition's end as it was then.
    mark: Option<(Instant, i64)>,
    as_of: Option<Instant>,
}

impl State {
    pub(super) fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Up to where nothing is missing of what is a member's.
    pub(super) fn scanned(&self, id: MemberId) -> i64 {
        let Some(member) = self.members.get(&id) else { return 0 };
        let stream = member.stream.and_then(|stream| self.streams.get(&stream)?.position);
        member.scanned.max(stream.unwrap_or(member.scanned))
    }

    pub(super) fn attach(&mut self, id: MemberId, name: u64) {
        let (Some(member), Some(stream)) = (self.members.get_mut(&id), self.streams.get_mut(&name)) else { return };
        debug_assert!(stream.position.is_some_and(|position| position <= member.scanned), "it would miss messages");
        stream.members.insert(id);
        stream.routes.add(id, &member.part);
        member.stream = Some(name);
    }

    pub(super) fn detach(&mut self, id: MemberId) {
        let scanned = self.scanned(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        member.scanned = scanned;
        if let Some(stream) = member.stream.take().and_then(|name| self.streams.get_mut(&name)) {
            stream.members.remove(&id);
            stream.routes.remove(id, &member.part);
        }
    }

    /// Gives those who wait at these positions to a stream.
    pub(super) fn adopt(&mut self, name: u64, positions: RangeInclusive<i64>) {
        for id in std::mem::take(&mut self.waiting) {
            if positions.contains(&self.scanned(id)) {
                self.attach(id, name);
            } else {
                self.waiting.push_back(id);
            }
        }
    }

    /// Ends a stream: those of its members who ask wait for another.
    pub(super) fn close(&mut self, name: u64) -> Vec<MemberId> {
        let members = self.streams.get(&name).map_or_else(Vec::new, |stream| stream.members.iter().copied().collect());
        for id in &members {
            self.detach(*id);
            if self.members.get(id).is_some_and(|member| member.asks.is_some()) {
                self.waiting.push_back(*id);
            }
        }
        self.streams.remove(&name);
        members
    }

    /// Another stream that stands where this one has just been.
    pub(super) fn meets(&self, name: u64, been: RangeInclusive<i64>) -> Option<u64> {
        let there = |stream: &Stream| stream.position.is_some_and(|position| been.contains(&position));
        self.streams.iter().find(|(other, stream)| **other != name && there(stream)).map(|(other, _)| *other)
    }

    /// Ends a stream in favour of another one that is not ahead of it.
    pub(super) fn go_over(&mut self, name: u64, other: u64) {
        let members = self.streams.get(&name).map_or_else(Vec::new, |stream| stream.members.iter().copied().collect());
        for id in members {
            self.detach(id);
            self.attach(id, other);
        }
        self.streams.remove(&name);
    }

    /// Lets members go who leave more than `share` where it is, unless all of the stream do: then it waits for them. While some
    /// are quick the stream's members, who may be hundreds, are looked at now and then.
    pub(super) fn sheds_the_slow(&mut self, name: u64, share: usize, now: Instant) -> bool {
        let Some(stream) = self.streams.get_mut(&name) else { return true };
        if matches!(stream.looked, Some((then, true)) if now - then < SLOW_LOOK) {
            return true;
        }
        let is_slow = |id: &MemberId| {
            self.members.get(id).is_some_and(|member| member.is_stuck(now) && member.queue.cost() > share)
        };
        let slow: Vec<MemberId> = stream.members.iter().copied().filter(is_slow).collect();
        let some_are_quick = slow.len() < stream.members.len();
        stream.looked = Some((now, some_are_quick));
        if !some_are_quick {
            return false;
        }
        slow.into_iter().for_each(|id| self.detach(id));
        true
    }

    /// Lets those who ask and have the longest queues have what there is: a part of all that waits, as each batch is an epoch,
    /// and whose queue is given out last is the fullest. What was given out is to come back before more is.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.hurried.is_some_and(|then| now - then < COMES_BACK) {
            return;
        }
        let asking = || self.members.values().filter(|member| member.asks.is_some() && !member.is_empty());
        let mut queues: Vec<usize> = asking().map(|member| member.queue.cost()).collect();
        queues.sort_unstable();
        let (part, mut taken) = (queues.iter().sum::<usize>() / HURRIED, 0);
        let reaches = |held: &&usize| {
            taken += **held;
            taken >= part
        };
        let least = queues.iter().rev().find(reaches).copied().unwrap_or(0);
        asking().filter(|member| member.queue.cost() >= least).for_each(|member| member.wake.notify_one());
        (self.hurry, self.hurried) = (Some(least), Some(now));
    }

    /// Cuts the longest queue of those that nobody takes from, of whichever stream; not for a stream that nobody takes from.
    pub(super) fn cut_the_longest(&mut self, name: u64, now: Instant) -> bool {
        let asks = |id: &MemberId| self.members.get(id).is_some_and(|member| member.asks.is_some());
        if !self.streams.get(&name).is_some_and(|stream| stream.members.iter().any(asks)) {
            return false;
        }
        let stuck = self.members.iter().filter(|(_, member)| member.is_stuck(now) && !member.is_empty());
        let Some((_, id)) = stuck.map(|(id, member)| (member.queue.cost(), *id)).max() else { return false };
        self.detach(id);
        if let Some(member) = self.members.get_mut(&id) {
            member.cut();
        }
        true
    }
}

impl Stream {
    pub(super) fn new(task: AbortHandle) -> Self {
        Self {
            position: None,
            lag: None,
            trouble: None,
            routes: Routes::default(),
            members: BTreeSet::new(),
            began: Instant::now(),
            live: Live::default(),
            looked: None,
            task,
        }
    }

    pub(super) fn show(&mut self, lag: Option<Lag>, trouble: Option<String>) {
        (self.lag, self.trouble) = (lag.or(self.lag), trouble);
        if let (Some(lag), Some(position)) = (self.lag, self.position) {
            self.live.note(lag.position.max(position), lag.end);
        }
    }
}

impl Live {
    pub(super) fn note(&mut self, scanned: i64, end: i64) {
        let now = Instant::now();
        if let Some((then, _)) = self.mark.take_if(|(_, end)| scanned >= *end) {
            self.as_of = Some(then);
        }
        if scanned >= end {
            self.as_of = Some(now);
        }
        self.mark.get_or_insert((now, end));
    }

    pub(super) fn is(&self, now: Instant) -> bool {
        self.as_of.is_some_and(|then| now - then < LIVE)
    }
}
