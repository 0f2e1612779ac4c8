//! What a lane shows of itself: to `/health`, to the metrics, and to whoever waits until it is idle.

mod freshness;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::breaker::{Breaker, BreakerView};
use crate::deploy::{Version, VersionId};
use crate::journal::Intent;
use crate::metrics::LaneMetrics;
use crate::offsets::LaneId;
use crate::plan::drift::{Drift, LaneDrift};
use crate::source::{Lag, Reader};
use crate::state::State;
use crate::transform::{Tally, Transform};
use crate::verify::watch::{Committed, EPOCHS};

use freshness::Freshness;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Not begun yet.
    Starting,
    /// Ending epochs that were decided before a crash.
    Recovering,
    /// Running.
    Running,
    /// Waiting after an error, to try again.
    Waiting {
        /// The error in words.
        error: String,
    },
    /// Stopped until its plugin is tried again: see [`LaneView::breaker`].
    Failing {
        /// The error in words.
        error: String,
    },
    /// It reads nothing more, until somebody or something says otherwise; nothing is open.
    Paused {
        /// Why, in words.
        why: String,
    },
    /// Stopped by an error that trying again can't mend.
    Halted {
        /// The error in words.
        error: String,
    },
    /// At the end of its source, or told to stop; everything committed.
    Ended,
}

impl LaneState {
    /// The word for metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Failing { .. } => "failing",
            Self::Paused { .. } => "paused",
            Self::Halted { .. } => "halted",
            Self::Ended => "ended",
        }
    }

    /// The error, where there is one; why it is paused, where it is.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Waiting { error } | Self::Failing { error } | Self::Halted { error } => Some(error),
            Self::Paused { why } => Some(why),
            Self::Starting | Self::Recovering | Self::Running | Self::Ended => None,
        }
    }
}

/// A lane as it stands.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// What it is doing.
    pub state: LaneState,
    /// Offset after the last committed message, if any was committed by this process.
    pub committed: Option<i64>,
    /// The source's end and the reader's position, once known.
    pub lag: Option<Lag>,
    /// Epochs decided and not committed.
    pub in_flight: usize,
    /// The last committed epoch.
    pub epoch: u64,
    /// What keeps messages from coming, while the lane waits for them.
    pub trouble: Option<String>,
    /// The watermark behind the last committed epoch, ms since 1970-01-01 UTC.
    pub watermark_ms: Option<i64>,
    /// Bytes of what the plugin remembers, if it keeps state.
    pub state_bytes: Option<usize>,
    /// What its next epoch is made with.
    pub version: VersionId,
    /// The breaker, where it is not closed.
    pub breaker: Option<BreakerView>,
}

impl LaneView {
    /// The offset before which everything is committed, once known. Where nothing is under way, there are others' messages and
    /// holes alone between the last commit and the end.
    pub(crate) fn done(&self, lag: Lag) -> Option<i64> {
        let at_end = self.in_flight == 0 && lag.position >= lag.end;
        if at_end { Some(lag.position) } else { self.committed.map(|committed| committed.min(lag.position)) }
    }
}

/// What an epoch waits for, as others of its tenant, or other tenants, have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A turn: its tenant has used its share of CPU time for now.
    Cpu,
    /// Memory: its tenant holds its part of the pool.
    Memory,
}

impl Wait {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "for its tenant's share of CPU time",
            Self::Memory => "for its tenant's part of memory",
        }
    }
}

/// Shared by a lane and those who look at it.
#[derive(Debug)]
pub struct LaneStatus {
    /// The lane's name.
    pub id: LaneId,
    /// Whether its plugin is called.
    pub breaker: Breaker,
    metrics: LaneMetrics,
    drift: Mutex<Looking>,
    view: Mutex<LaneView>,
    freshness: Mutex<Freshness>,
    /// Why the schema registry can't be asked, while the lane waits for it.
    registry: Mutex<Option<String>>,
    /// What its next epoch waits for, and since when.
    waits: Mutex<Option<(Wait, Instant)>>,
    /// The last committed epochs whose rows nobody has counted in their tables yet.
    uncounted: Mutex<VecDeque<Committed>>,
}

/// What looks at a lane's rows, for one version of its plugin.
#[derive(Debug)]
struct Looking {
    version: VersionId,
    drift: LaneDrift,
}

impl LaneStatus {
    /// The status of a lane that has not begun.
    #[must_use]
    pub fn new(id: LaneId, metrics: LaneMetrics, drift: &Drift, version: &Version) -> Self {
        let looking = Looking { version: version.id().clone(), drift: drift.lane(&id, &version.transform) };
        let view = LaneView {
            state: LaneState::Starting,
            committed: None,
            lag: None,
            in_flight: 0,
            epoch: 0,
            trouble: None,
            watermark_ms: None,
            state_bytes: None,
            version: version.id().clone(),
            breaker: None,
        };
        let (registry, waits, uncounted) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (breaker, drift, view) = (Breaker::default(), Mutex::new(looking), Mutex::new(view));
        let freshness = Mutex::new(Freshness::new(Instant::now()));
        Self { id, breaker, metrics, drift, view, freshness, registry, waits, uncounted }
    }

    /// A copy of what it shows.
    #[must_use]
    pub fn view(&self) -> LaneView {
        LaneView { breaker: self.breaker.view(), ..self.lock().clone() }
    }

    /// Everything there is to read is committed. A lane that has halted is not idle: its messages wait.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let view = self.lock();
        match view.state {
            LaneState::Ended => true,
            LaneState::Running => view.in_flight == 0 && view.lag.is_some_and(|lag| lag.position >= lag.end),
            LaneState::Starting
            | LaneState::Recovering
            | LaneState::Waiting { .. }
            | LaneState::Failing { .. }
            | LaneState::Paused { .. }
            | LaneState::Halted { .. } => false,
        }
    }

    /// What the plugin remembers, as it is now.
    pub(crate) fn remembers(&self, state: &State) {
        if !state.tables().is_empty() {
            self.lock().state_bytes = Some(state.bytes());
        }
    }

    pub(crate) fn set_state(&self, state: LaneState) {
        self.lock().state = state;
    }

    pub(crate) fn show_progress(&self, reader: &dyn Reader, in_flight: usize) {
        let (lag, trouble) = (reader.lag(), self.registry_trouble().or_else(|| reader.trouble()));
        let mut view = self.lock();
        (view.lag, view.trouble, view.in_flight) = (lag, trouble, in_flight);
        // A source in trouble does not know its end; in recovery, what was read again is not under way as far as is seen here.
        let knows = view.trouble.is_none() && view.state == LaneState::Running;
        let Some(lag) = lag.filter(|_| knows) else { return };
        let done = view.done(lag);
        drop(view);
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        freshness.saw(Instant::now(), lag.end);
        done.into_iter().for_each(|done| freshness.committed(done));
    }

    /// How long ago the tables had all that the partition held; none once the lane has ended.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let ended = self.lock().state == LaneState::Ended;
        let freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        (!ended).then(|| freshness.age(Instant::now()))
    }

    /// The lane waits for the schema registry, for this reason; none: no more.
    pub(crate) fn waits_for_registry(&self, why: Option<String>) {
        *self.registry.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What the next epoch waits for from now on.
    pub(crate) fn waits_for(&self, what: Option<Wait>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = what.map(|what| (what, Instant::now()));
    }

    /// What the next epoch waits for, and for how long it has.
    #[must_use]
    pub fn waits(&self) -> Option<(Wait, Duration)> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).map(|(what, since)| (what, since.elapsed()))
    }

    fn registry_trouble(&self) -> Option<String> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Epochs from now on are made with this version.
    pub(crate) fn runs(&self, version: &Version) {
        self.breaker.concerns(version.id(), version.file.failure);
        let mut view = self.lock();
        view.version = version.id().clone();
        if version.transform.empty_state().tables().is_empty() {
            view.state_bytes = None;
        }
    }

    pub(crate) fn committed(&self, made_by: &Transform, intent: &Intent, tally: &Tally) {
        self.metrics.committed(tally);
        self.metrics.rows_changed(self.look(made_by, intent, tally));
        let mut view = self.lock();
        (view.committed, view.epoch) = (Some(intent.range.end), intent.epoch);
        view.watermark_ms = intent.next_watermark_ms;
        drop(view);
        let mut uncounted = self.uncounted.lock().unwrap_or_else(PoisonError::into_inner);
        if !intent.blocks.is_empty() {
            uncounted.push_back(Committed::of(intent));
        }
        if uncounted.len() > EPOCHS {
            uncounted.pop_front();
        }
    }

    /// Looks at the rows of an epoch, with the eyes of the version that made it. Says how many changes there are.
    fn look(&self, made_by: &Transform, intent: &Intent, tally: &Tally) -> usize {
        let mut looking = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        let version = VersionId::of_intent(intent);
        if looking.version != version {
            *looking = Looking { version, drift: looking.drift.through(made_by) };
        }
        looking.drift.look(intent.range, &tally.rows)
    }

    /// The last committed epochs, each given out once.
    pub(crate) fn take_committed(&self) -> Vec<Committed> {
        self.uncounted.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    pub(crate) fn inserted(&self, time: Duration) {
        self.metrics.inserted(time);
    }

    pub(crate) fn restarted(&self, kind: &'static str) {
        self.metrics.restarted(kind);
    }

    /// A view is only ever assigned field by field, so it is whole even if a panic interrupted somebody.
    fn lock(&self) -> MutexGuard<'_, LaneView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
