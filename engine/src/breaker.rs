//! The breaker of a lane: on how much its plugin may fail before the lane no longer calls it, and when it tries again.
//!
//! **Promise.** A plugin that fails on single rows costs these rows. One that fails on more than its budget is not called
//! but for a probe now and then; the lane comes back by itself at the first probe that succeeds, and at once when another
//! version or other settings come. Each lane has its own: other partitions, plugins and tenants notice nothing.
//! **After a crash** it is closed; what was parked is in the intents.
//!
//! | the breaker is | because | the lane |
//! |---|---|---|
//! | closed | failures are left of the budget | each epoch is made by the plugin; rows on which it fails become dead letters |
//! | open | an epoch could not be made within it | *pause*: ends what is under way and stops; *park*: its messages become dead letters, which a replay makes rows of |
//! | half open | the pause is over | the next epoch is a probe. Made: closed. Not made: open again, for twice as long |
//!
//! **The budget.** In one epoch the plugin may fail on `max_failures` rows, less those of the epochs before; one of these is
//! forgotten for each [`GOOD_ROWS`] rows that went well. So a share of one row in a hundred goes on for ever, and a plugin that
//! fails on everything is found out at the same row, however few come at a time. A probe has the whole budget, and yet less
//! than half of its messages: letters that come one by one are not to pass for a plugin that works.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::{Failure, FailurePolicy};
use crate::deploy::VersionId;
use crate::transform::{Budget, Transformed};

/// Rows without a failure for each failure that is forgotten: the share of which `/health` warns.
pub const GOOD_ROWS: usize = 100;
/// First and longest time until a probe.
pub const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// A plugin that worked this long before it failed again is given the first pause again.
const STEADY: Duration = Duration::from_secs(60);
/// So much of the failure stands in each letter: a hundred thousand may be parked at a time.
const REASON_CHARS: usize = 200;

/// The breaker of one lane.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whose failures are counted, and by which rules.
    of: Option<(VersionId, Failure)>,
    /// Failures that are not forgotten.
    spent: usize,
    /// Rows that went well since the last one was.
    good: usize,
    open: Option<Open>,
    /// When it was closed last, and the pause before.
    closed: Option<(Instant, Duration)>,
    /// How often it was opened, probes that failed not counted.
    opened: u64,
}

#[derive(Clone, Debug)]
struct Open {
    why: String,
    policy: FailurePolicy,
    since: Instant,
    pause: Duration,
    /// When it is half open.
    until: Instant,
    probing: bool,
}

/// What a lane does with its next epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Calls the plugin, which may fail on so much.
    Call(Budget),
    /// Parks its messages, for this reason.
    Park(String),
}

/// A breaker that is not closed, for those who look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakerView {
    /// `open` or `half_open`.
    pub state: String,
    /// `pause` or `park`.
    pub policy: String,
    /// The failure that opened it, or the last probe's.
    pub why: String,
    /// How long it has not been closed, in seconds.
    pub open_seconds: f64,
    /// When the plugin is called again, in seconds from now.
    pub next_probe_seconds: f64,
}

impl Breaker {
    /// What the lane runs from now on: other code, settings or rules begin with a closed breaker.
    pub fn concerns(&self, version: &VersionId, rules: Failure) {
        self.lock().concerns(version, rules);
    }

    /// What to do with an epoch of so many messages.
    pub fn turn(&self, version: &VersionId, rules: Failure, messages: usize) -> Turn {
        let mut state = self.lock();
        state.concerns(version, rules);
        let left = rules.max_failures.saturating_sub(state.spent);
        let Some(open) = &mut state.open else { return Turn::Call(Budget { failures: left }) };
        if open.parks() {
            let first = open.why.lines().next().unwrap_or_default();
            return Turn::Park(first.chars().take(REASON_CHARS).collect());
        }
        open.probing = true;
        Turn::Call(Budget { failures: rules.max_failures.min(messages.saturating_sub(1) / 2) })
    }

    /// Whether messages are parked now, so that nothing else is to be done either.
    #[must_use]
    pub fn parks(&self) -> bool {
        self.lock().open.as_ref().is_some_and(Open::parks)
    }

    /// Counts an epoch that was made.
    pub fn made(&self, made: &Transformed) {
        if made.intent.parked.is_some() {
            return;
        }
        let entries = made.intent.expired.as_ref().map_or(0, |expired| expired.poison.len());
        let failures = made.intent.poison.len() + entries;
        let mut state = self.lock();
        if let Some(open) = state.open.take() {
            tracing::info!(after_ms = open.since.elapsed().as_millis(), "the plugin works again: the breaker closes");
            (state.closed, state.spent, state.good) = (Some((Instant::now(), open.pause)), 0, 0);
        }
        let good = state.good + made.tally.rows_in.saturating_sub(made.intent.poison.len());
        state.spent = (state.spent + failures).saturating_sub(good / GOOD_ROWS);
        state.good = good % GOOD_ROWS;
    }

    /// Opens it, or leaves it open for longer: the plugin failed. Gives the time of the next probe.
    pub fn open(&self, rules: Failure, why: String) -> Instant {
        let now = Instant::now();
        let mut state = self.lock();
        let former = state.open.take();
        let until = former.as_ref().map(|open| open.until).filter(|until| *until > now);
        let recent = state.closed.filter(|(closed, _)| closed.elapsed() < STEADY).map(|(_, pause)| pause);
        let pause = match (former.as_ref().map(|open| open.pause).or(recent), until) {
            (Some(pause), Some(_)) => pause, // it was no probe
            (Some(pause), None) => (pause * 2).min(PAUSES.1),
            (None, _) => PAUSES.0,
        };
        state.opened += u64::from(former.is_none());
        let (since, until) = (former.map_or(now, |open| open.since), until.unwrap_or(now + pause));
        state.open = Some(Open { why, policy: rules.policy, since, pause, until, probing: false });
        until
    }

    /// As it stands, where it is not closed.
    #[must_use]
    pub fn view(&self) -> Option<BreakerView> {
        let state = self.lock();
        let open = state.open.as_ref()?;
        Some(BreakerView {
            state: if open.probing { "half_open" } else { "open" }.to_owned(),
            policy: open.policy.as_str().to_owned(),
            why: open.why.clone(),
            open_seconds: open.since.elapsed().as_secs_f64(),
            next_probe_seconds: open.until.saturating_duration_since(Instant::now()).as_secs_f64(),
        })
    }

    /// How often it was opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.lock().opened
    }

    /// Each change is made whole, so it is right also after a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn concerns(&mut self, version: &VersionId, rules: Failure) {
        if self.of.as_ref().is_some_and(|(of, by)| of == version && *by == rules) {
            return;
        }
        *self = Self { of: Some((version.clone(), rules)), opened: self.opened, ..Self::default() };
    }
}

impl Open {
    fn parks(&self) -> bool {
        self.policy == FailurePolicy::Park && Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests;
