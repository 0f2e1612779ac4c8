//! Whose turn is next: weighted fair queueing of what parties wait for, where the cost of a turn is known only behind it.
//!
//! Each party (a tenant) has a virtual time, which grows by what its turns cost, divided by its weight. Of those that wait and
//! may go, the one with the least virtual time goes next: so those that always wait get parts of the whole by weight,
//! whatever the number and length of their turns. A party that was idle begins at the present, the virtual time of the turn that
//! was given last: time that it did not use is not saved up, and a debt that nobody was held up by is forgiven.
//!
//! This is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), as Linux's CFS has it as well. Where several turns
//! are under way at a time, each is charged with what the party's turns have cost lately until its own cost is known: else
//! a party would be given all of them at once. A *cap* is a token bucket of one second: a party may not cost more than that part
//! of the time, even if nobody else waits.
//!
//! Nothing here knows threads or clocks: times are given, so tests are exact.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A capped party may use its part of so much time in one go.
const WINDOW: Duration = Duration::from_secs(1);
/// A party above its cap is looked at again after at least this long.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// What a party may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Beside the weights of others that want something at the same time; at least 1.
    pub weight: u32,
    /// Most cost in a second, in seconds: of CPU time, the number of cores. None: whatever others leave.
    pub cap: Option<f64>,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1, cap: None }
    }
}

/// A party's place in its queue, for ever the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Party(usize);

impl Party {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Nanoseconds of cost, divided by a weight. 584 years of a party of weight 1.
type Virtual = u64;

/// What was given a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted<W> {
    pub(crate) party: Party,
    pub(crate) what: W,
    /// What the turn is charged with until its cost is known.
    pub(crate) expected: Duration,
}

/// Those who wait.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    members: Vec<Member<W>>,
    names: HashMap<Arc<str>, Party>,
    /// Those who wait and may go.
    ready: BTreeSet<(Virtual, Party)>,
    /// Those who wait and are above their caps, by the time at which they may go.
    capped: BTreeSet<(Duration, Party)>,
    present: Virtual,
}

#[derive(Debug)]
struct Member<W> {
    name: Arc<str>,
    share: Share,
    time: Virtual,
    /// What a turn costs, of late.
    usual: Duration,
    waiting: VecDeque<W>,
    /// Turns under way.
    turns: usize,
    /// Reasons to give it no turn.
    holds: usize,
    bucket: Bucket,
    /// Its place among the capped.
    capped: Option<Duration>,
}

/// What a capped party may still cost; below zero: what it has to wait for.
#[derive(Debug, Default)]
struct Bucket {
    seconds: f64,
    filled: Duration,
}

impl Bucket {
    fn fill(&mut self, cap: f64, at: Duration) {
        let passed = at.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(at);
        self.seconds = (self.seconds + passed * cap).min(cap * WINDOW.as_secs_f64());
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { members: Vec::new(), names: HashMap::new(), ready: BTreeSet::new(), capped: BTreeSet::new(), present: 0 }
    }
}

impl<W> Queue<W> {
    /// The party of this name, which begins with a share of weight 1.
    pub(crate) fn party(&mut self, name: &str) -> Party {
        if let Some(party) = self.names.get(name) {
            return *party;
        }
        let (party, name) = (Party(self.members.len()), Arc::<str>::from(name));
        self.names.insert(name.clone(), party);
        self.members.push(Member {
            name,
            share: Share::default(),
            time: self.present,
            usual: Duration::ZERO,
            waiting: VecDeque::new(),
            turns: 0,
            holds: 0,
            bucket: Bucket::default(),
            capped: None,
        });
        party
    }

    /// Sets what a party may have from now on.
    pub(crate) fn share(&mut self, party: Party, share: Share, at: Duration) {
        self.change(party, at, |member| {
            if member.share.cap.is_none() {
                member.bucket = Bucket { seconds: share.cap.unwrap_or_default() * WINDOW.as_secs_f64(), filled: at };
            }
            member.share = Share { weight: share.weight.max(1), ..share };
        });
    }

    /// Something waits, behind what waits of its party.
    pub(crate) fn push(&mut self, party: Party, what: W, at: Duration) {
        let present = self.present;
        self.change(party, at, |member| {
            if member.turns == 0 && member.waiting.is_empty() {
                member.time = member.time.max(present);
            }
            member.waiting.push_back(what);
        });
    }

    /// Something waits again that has had a turn: before what waits of its party, so that what is begun comes to its end.
    pub(crate) fn push_first(&mut self, party: Party, what: W, at: Duration) {
        self.change(party, at, |member| member.waiting.push_front(what));
    }

    /// Gives the next turn, if anything waits that may go.
    pub(crate) fn next(&mut self, at: Duration) -> Option<Granted<W>> {
        while let Some(&(until, party)) = self.capped.first()
            && until <= at
        {
            self.change(party, at, |_| {});
        }
        let &(time, party) = self.ready.first()?;
        self.present = self.present.max(time);
        let (what, expected) = self.change(party, at, |member| {
            member.turns += 1;
            member.time += member.of_weight(member.usual);
            (member.waiting.pop_front(), member.usual)
        });
        Some(Granted { party, what: what.expect("who is ready waits for something"), expected })
    }

    /// A turn is over.
    pub(crate) fn ended(&mut self, party: Party) {
        let member = &mut self.members[party.0];
        member.turns = member.turns.saturating_sub(1);
    }

    /// Charges a party with a cost, in place of what it was charged with before for the same.
    pub(crate) fn charge(&mut self, party: Party, cost: Duration, charged: Duration, at: Duration) {
        self.change(party, at, |member| {
            let (cost_of_weight, charged) = (member.of_weight(cost), member.of_weight(charged));
            member.time = (member.time + cost_of_weight).saturating_sub(charged);
            member.bucket.seconds -= cost.as_secs_f64();
        });
    }

    /// Notes what a turn has cost as a whole, for what is expected of the next.
    pub(crate) fn learn(&mut self, party: Party, cost: Duration) {
        let usual = &mut self.members[party.0].usual;
        *usual = (*usual * 7 + cost) / 8;
    }

    /// Gives a party no turns until it is released as many times as it was held.
    pub(crate) fn hold(&mut self, party: Party, at: Duration) {
        self.change(party, at, |member| member.holds += 1);
    }

    /// Takes back one [`Self::hold`].
    pub(crate) fn release(&mut self, party: Party, at: Duration) {
        self.change(party, at, |member| member.holds = member.holds.saturating_sub(1));
    }

    /// Whether somebody else should go before a party that has a turn.
    pub(crate) fn is_before(&mut self, party: Party, at: Duration) -> bool {
        let time = self.members[party.0].time;
        let others = |&&(_, other): &&(Virtual, Party)| other != party;
        self.is_above_cap(party, at) || self.ready.iter().find(others).is_some_and(|(other, _)| *other < time)
    }

    /// Whether a party has to wait although nobody else may want anything.
    pub(crate) fn is_above_cap(&mut self, party: Party, at: Duration) -> bool {
        self.members[party.0].may_go_at(at).is_some()
    }

    /// When somebody who is above a cap may go.
    pub(crate) fn next_release(&self) -> Option<Duration> {
        self.capped.first().map(|(at, _)| *at)
    }

    /// What waits of a party.
    pub(crate) fn waiting(&self, party: Party) -> impl Iterator<Item = &W> {
        self.members[party.0].waiting.iter()
    }

    pub(crate) fn name(&self, party: Party) -> &Arc<str> {
        &self.members[party.0].name
    }

    /// All parties that there ever were.
    pub(crate) fn parties(&self) -> impl Iterator<Item = (Party, &Arc<str>, Share)> {
        (0..).map(Party).zip(&self.members).map(|(party, member)| (party, &member.name, member.share))
    }

    /// Changes a member, and puts it where it belongs then.
    fn change<T>(&mut self, party: Party, at: Duration, change: impl FnOnce(&mut Member<W>) -> T) -> T {
        let member = &mut self.members[party.0];
        self.ready.remove(&(member.time, party));
        if let Some(until) = member.capped.take() {
            self.capped.remove(&(until, party));
        }
        let changed = change(member);
        if !member.waiting.is_empty() && member.holds == 0 {
            member.capped = member.may_go_at(at);
            match member.capped {
                Some(until) => self.capped.insert((until, party)),
                None => self.ready.insert((member.time, party)),
            };
        }
        changed
    }
}

impl<W> Member<W> {
    fn of_weight(&self, cost: Duration) -> Virtual {
        u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX).div_ceil(u64::from(self.share.weight))
    }

    /// When it is below its cap again, if it is not.
    fn may_go_at(&mut self, at: Duration) -> Option<Duration> {
        let cap = self.share.cap?;
        self.bucket.fill(cap, at);
        if self.bucket.seconds > 0.0 {
            return None;
        }
        // A cap of nothing is never filled: looked at again in an hour.
        let wait = Duration::try_from_secs_f64(-self.bucket.seconds / cap).unwrap_or(Duration::from_secs(3_600));
        Some(at + wait.clamp(LEAST_PAUSE, Duration::from_secs(3_600)))
    }
}
