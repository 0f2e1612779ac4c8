//! The trial of a new version: what it did beside what the version before did, and what it is withdrawn for.
//!
//! | what | withdrawn when | how much it takes to say so |
//! |---|---|---|
//! | rows on which it faults | there is one, and the version before had none; else a larger share than that one's, by more than `max_dead_letters` | one row; else 100 messages of each |
//! | dead letters | their share is larger by more than `max_dead_letters` | 100 messages of each; or five, where that many are no accident |
//! | CPU time per message | more than `max_cost` times as much | 100,000 messages of each |
//!
//! Messages that differ from version to version only by when they came are all that is compared, so small numbers say
//! little; a fault says something at once. Five dead letters or more among few messages say that the version rejects what it
//! should not, if so many would come of the share that is allowed less than once in [`ACCIDENT`]; where the version before
//! has made little, that share is taken to be large, and where it has made nothing, only a version without one good row is
//! taken back. So a version that rejects everything is found out at its fifth message, or at its fourteenth where there is
//! nothing to compare it with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::version::{Version, VersionId};
use crate::config::{Mode, Promote, Rollout};
use crate::offsets::LaneId;
use crate::transform::{Tally, Transformed};

/// Messages of each version below which shares of them are not compared.
const FEWEST: u64 = 100;
/// Dead letters of a newcomer below which they may be anything.
const FEWEST_DEAD_LETTERS: u64 = 5;
/// How unlikely it is that what is taken for a bad version is a good one with bad luck: one in so many.
const ACCIDENT: f64 = 10_000.0;
/// Messages of each version below which their cost is not compared: some seconds of CPU time at least.
const FEWEST_FOR_COST: u64 = 100_000;

/// What a version did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Messages of its epochs.
    pub messages: u64,
    /// Messages, and entries that expired, on which it faulted: trap, time, memory, output.
    pub faults: u64,
    /// What was set aside, faults among it.
    pub dead_letters: u64,
    /// CPU time of decoding, of the plugin and of assembling.
    pub cpu: Duration,
}

impl Figures {
    /// Of one epoch.
    pub(super) fn of(made: &Transformed) -> Self {
        let Tally { messages, dead, times, .. } = &made.tally;
        let entries = made.intent.expired.as_ref().map_or(0, |expired| expired.poison.len());
        Self {
            messages: *messages as u64,
            faults: (made.intent.poison.len() + entries) as u64,
            dead_letters: dead.values().sum::<usize>() as u64,
            cpu: times.decode.0 + times.plugin.0 + times.assemble.0,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            faults: self.faults + other.faults,
            dead_letters: self.dead_letters + other.dead_letters,
            cpu: self.cpu + other.cpu,
        }
    }

    /// CPU time per message, in seconds; 0 where there is none.
    #[must_use]
    pub fn cost(&self) -> f64 {
        if self.messages == 0 { 0.0 } else { self.cpu.as_secs_f64() / self.messages as f64 }
    }

    /// Whether so many dead letters are no accident for a version whose share of them is at most that of these figures and a
    /// margin. Of few messages the share is Laplace's: one more with and one more without. How likely at least so many are
    /// has Chernoff's bound.
    fn explain(&self, margin: f64, newcomer: &Self) -> bool {
        let incomparable = self.messages == 0 && newcomer.dead_letters < newcomer.messages;
        if newcomer.dead_letters < FEWEST_DEAD_LETTERS || incomparable {
            return true;
        }
        let allowed = (self.dead_letters as f64 + 1.0) / (self.messages as f64 + 2.0) + margin;
        let (found, messages) = (newcomer.share(newcomer.dead_letters), newcomer.messages as f64);
        let entropy = |of: f64, beside: f64| if of > 0.0 { of * (of / beside).ln() } else { 0.0 };
        found <= allowed || messages * (entropy(found, allowed) + entropy(1.0 - found, 1.0 - allowed)) < ACCIDENT.ln()
    }

    fn share(&self, of: u64) -> f64 {
        if self.messages == 0 { 0.0 } else { of as f64 / self.messages as f64 }
    }
}

/// On what an epoch's version faulted first, in words.
fn first_fault(epoch: &Transformed) -> Option<String> {
    let entry = epoch.intent.expired.iter().flat_map(|expired| &expired.poison).next();
    let of_entry = entry.map(|poison| format!("it failed on an entry of its state that expired: {}", poison.reason));
    let message = epoch.intent.poison.first();
    of_entry.or_else(|| message.map(|poison| format!("it failed on offset {}: {}", poison.offset, poison.reason)))
}

/// A newcomer that is watched.
#[derive(Debug)]
pub(super) struct Trial {
    pub newcomer: Arc<Version>,
    pub rules: Rollout,
    began: Instant,
    /// What it made so far.
    pub made: Figures,
    /// Messages of its committed epochs.
    pub committed: u64,
    /// Whether a lane runs it, where not all do: in the order in which they asked.
    chosen: BTreeMap<LaneId, bool>,
    /// It keeps what the version before can't read.
    pub no_way_back: bool,
}

/// A trial, for those who look at it.
#[derive(Clone, Debug)]
pub struct TrialView {
    /// The newcomer.
    pub version: VersionId,
    /// The version before, to which lanes go back.
    pub incumbent: VersionId,
    /// How it takes over.
    pub rules: Rollout,
    /// How long it has been on trial.
    pub age: Duration,
    /// Messages of its committed epochs.
    pub committed: u64,
    /// What it made so far.
    pub made: Figures,
    /// What the version before made since it began.
    pub baseline: Figures,
    /// The lanes that run it, where not all do.
    pub lanes: Vec<LaneId>,
    /// It keeps what the version before can't read: it is not withdrawn any more, whatever it does.
    pub no_way_back: bool,
}

impl Trial {
    pub(super) fn new(newcomer: Arc<Version>, rules: Rollout) -> Self {
        let (made, chosen) = (Figures::default(), BTreeMap::new());
        Self { newcomer, rules, began: Instant::now(), made, committed: 0, chosen, no_way_back: false }
    }

    /// Whether a lane runs the newcomer. Of the lanes that ask, in their order, a canary gets its share, the first among
    /// them.
    pub(super) fn has(&mut self, lane: &LaneId) -> bool {
        match self.rules.mode {
            Mode::Replace => true,
            Mode::Shadow => false,
            Mode::Canary => {
                let (asked, share) = (self.chosen.len() as f64, self.rules.share.clamp(0.0, 1.0));
                let next = ((asked + 1.0) * share).ceil() > (asked * share).ceil();
                *self.chosen.entry(lane.clone()).or_insert(next)
            }
        }
    }

    /// A lane goes on with the newcomer, as the version before can't read what it keeps.
    pub(super) fn must_have(&mut self, lane: &LaneId) {
        self.chosen.insert(lane.clone(), true);
        self.no_way_back = true;
    }

    /// Why the newcomer is to be withdrawn, if it is, once this epoch is counted.
    pub(super) fn complaint(&self, baseline: &Figures, epoch: &Transformed) -> Option<String> {
        let made = self.made.plus(Figures::of(epoch));
        let compared = made.messages >= FEWEST && baseline.messages >= FEWEST;
        let exceeds = |mine: f64, before: f64| compared && mine > before + self.rules.max_dead_letters;
        if let Some(fault) = first_fault(epoch) {
            let (faults, before) = (made.share(made.faults), baseline.share(baseline.faults));
            if baseline.faults == 0 || exceeds(faults, before) {
                return Some(fault);
            }
        }
        let (dead, before) = (made.share(made.dead_letters), baseline.share(baseline.dead_letters));
        if exceeds(dead, before) || !compared && !baseline.explain(self.rules.max_dead_letters, &made) {
            return Some(format!(
                "{} of {} messages became dead letters ({:.1} %), before it {:.1} %, and {:.1} % more are allowed",
                made.dead_letters,
                made.messages,
                dead * 100.0,
                before * 100.0,
                self.rules.max_dead_letters * 100.0
            ));
        }
        let measured = made.messages >= FEWEST_FOR_COST && baseline.messages >= FEWEST_FOR_COST;
        if measured && made.cost() > baseline.cost() * self.rules.max_cost {
            return Some(format!(
                "it takes {:.2} µs of CPU time per message, before it {:.2} µs, and {} times as much is allowed",
                made.cost() * 1e6,
                baseline.cost() * 1e6,
                self.rules.max_cost
            ));
        }
        None
    }

    /// Whether it was watched for long enough. A version that has made nothing has shown nothing; a canary takes over when
    /// an operator says so, or by rule.
    pub(super) fn is_over(&self) -> bool {
        let by_itself = self.rules.mode == Mode::Replace || self.rules.promote == Promote::WhenEqual;
        let enough = self.rules.probation_rows.is_some_and(|rows| self.committed >= rows);
        by_itself && self.committed > 0 && (enough || self.began.elapsed() >= self.rules.probation)
    }

    pub(super) fn view(&self, incumbent: &Version, baseline: Figures) -> TrialView {
        TrialView {
            version: self.newcomer.id().clone(),
            incumbent: incumbent.id().clone(),
            rules: self.rules.clone(),
            age: self.began.elapsed(),
            committed: self.committed,
            made: self.made,
            baseline,
            lanes: self.chosen.iter().filter(|(_, has)| **has).map(|(lane, _)| lane.clone()).collect(),
            no_way_back: self.no_way_back,
        }
    }
}
