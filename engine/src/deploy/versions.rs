//! What the lanes of a plugin run: one version, or a newcomer on trial beside it. Shared by its lanes, which ask before
//! each epoch, and whoever publishes versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::shadow::Shadow;
use super::trial::{Figures, Trial, TrialView};
use super::version::{Version, VersionId};
use crate::config::{PluginFile, Rollout, Tenant};
use crate::journal::Intent;
use crate::offsets::{LaneId, PluginKey};
use crate::transform::{Tally, Transformed};

/// Whether an epoch may be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Keep,
    /// Its version is withdrawn: the epoch is to be forgotten, with what the plugin remembers of it.
    Withdraw {
        /// Why.
        reason: String,
    },
}

/// What happened to versions, each told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A newcomer is withdrawn; all lanes go back to the version before.
    Withdrawn {
        /// The newcomer.
        version: VersionId,
        /// Why.
        reason: String,
        /// The lane in which it showed, and the first offset of the epoch.
        at: Option<(LaneId, i64)>,
    },
    /// A newcomer was watched for long enough: it is the current version.
    Passed {
        /// The newcomer.
        version: VersionId,
    },
    /// A lane has committed its first epoch by a version since it ran another or began.
    Moved {
        /// The lane.
        lane: LaneId,
        /// What it runs now.
        version: VersionId,
        /// The first offset of that epoch.
        offset: i64,
    },
}

/// The versions of one plugin.
#[derive(Debug)]
pub struct Versions {
    key: PluginKey,
    state: Mutex<State>,
    /// Rung when another version runs.
    changed: Notify,
    /// Of [`super::Plugins`], once it is one of them.
    bells: OnceLock<Arc<Bells>>,
}

/// Rung for any of the plugins.
#[derive(Debug, Default)]
pub(super) struct Bells {
    pub changed: Notify,
    pub news: Notify,
}

#[derive(Debug)]
struct State {
    current: Arc<Version>,
    /// What the current version made since it began.
    baseline: Figures,
    trial: Option<Trial>,
    shadow: Option<Arc<Shadow>>,
    /// By which version the last committed epoch of each lane is.
    committed: BTreeMap<LaneId, VersionId>,
    /// At most one of each lane for each change, where nobody takes them.
    news: Vec<News>,
}

impl Versions {
    /// One version, on all lanes.
    #[must_use]
    pub fn new(first: Arc<Version>) -> Self {
        let key = first.file.key();
        let state = State {
            current: first,
            baseline: Figures::default(),
            trial: None,
            shadow: None,
            committed: BTreeMap::new(),
            news: Vec::new(),
        };
        Self { key, state: Mutex::new(state), changed: Notify::new(), bells: OnceLock::new() }
    }

    /// The plugin.
    #[must_use]
    pub fn key(&self) -> &PluginKey {
        &self.key
    }

    /// The plugin's tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.key.tenant
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// What the next epoch of a lane is made with.
    #[must_use]
    pub fn of(&self, lane: &LaneId) -> Arc<Version> {
        self.lock().of(lane)
    }

    /// The version that is not on trial: where there is a trial, the one before.
    #[must_use]
    pub fn current(&self) -> Arc<Version> {
        self.lock().current.clone()
    }

    /// The version on trial.
    #[must_use]
    pub fn newcomer(&self) -> Option<Arc<Version>> {
        self.lock().trial.as_ref().map(|trial| trial.newcomer.clone())
    }

    /// The newcomer that is given copies of the lanes' batches.
    #[must_use]
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.lock().shadow.clone()
    }

    /// Lets a newcomer follow the lanes from their next epochs on, in place of the one that did; none: nobody.
    pub fn set_shadow(&self, shadow: Option<Arc<Shadow>>) {
        self.lock().shadow = shadow;
    }

    /// Topics of the versions that lanes may run.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let state = self.lock();
        let newcomer = state.trial.iter().flat_map(|trial| &trial.newcomer.file.topics);
        let mut topics: Vec<_> = state.current.file.topics.iter().chain(newcomer).cloned().collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Whether a topic may be one of the tenant's.
    #[must_use]
    pub fn may_read(&self, topic: &str) -> bool {
        let state = self.lock();
        let newcomer = state.trial.iter().map(|trial| &trial.newcomer);
        [&state.current].into_iter().chain(newcomer).any(|version| version.file.tenant.topics.holds(topic))
    }

    /// Begins a trial, in place of one that runs.
    pub fn try_out(&self, newcomer: Arc<Version>, rules: Rollout) {
        let mut state = self.lock();
        if let Some(former) = state.trial.take_if(|former| former.no_way_back) {
            (state.current, state.baseline) = (former.newcomer, former.made);
        }
        state.trial = Some(newcomer).filter(|it| it.id() != state.current.id()).map(|it| Trial::new(it, rules));
        drop(state);
        self.ring();
    }

    /// The trial goes on that a process before this one had begun, where lanes keep state, or will when their open epochs are
    /// ended, in these versions of it: there is no way back from what only the newcomer reads.
    pub fn trial_goes_on(&self, written: &[u32]) {
        let mut state = self.lock();
        let State { current, trial, .. } = &mut *state;
        if let Some(trial) = trial {
            let its_alone = |version: u32| trial.newcomer.reads(&[version]) && !current.reads(&[version]);
            trial.no_way_back |= written.iter().any(|version| its_alone(*version));
        }
    }

    /// Its tenant's file says something else now: who it is at the server, its weight. All versions in the same database
    /// follow.
    pub fn of_tenant(&self, tenant: &Arc<Tenant>) {
        let mut state = self.lock();
        let State { current, trial, .. } = &mut *state;
        let newcomer = trial.as_mut().map(|trial| &mut trial.newcomer);
        for version in [current].into_iter().chain(newcomer) {
            if version.file.tenant != *tenant && version.file.settings.database == tenant.database {
                let file = PluginFile { tenant: tenant.clone(), ..version.file.clone() };
                *version = Arc::new(Version::new(file, version.transform.clone()));
            }
        }
        drop(state);
        self.ring();
    }

    /// Makes a version the current one, without a trial: by an operator's word.
    pub fn replace(&self, version: Arc<Version>) {
        let mut state = self.lock();
        let trial = state.trial.take().filter(|trial| trial.newcomer.id() == version.id());
        state.baseline = trial.map_or_else(Figures::default, |trial| trial.made);
        state.current = version;
        drop(state);
        self.ring();
    }

    /// Judges an epoch before it is written down. A newcomer that is found wanting is withdrawn with this. A version that
    /// was taken back while the epoch was made, by whomever, writes nothing more: nobody watches it, and its state may be one
    /// that no version that runs reads.
    #[must_use]
    pub fn judge(&self, lane: &LaneId, version: &VersionId, made: &Transformed) -> Verdict {
        let mut state = self.lock();
        let State { current, baseline, trial, .. } = &mut *state;
        if current.id() == version {
            *baseline = baseline.plus(Figures::of(made));
            return Verdict::Keep;
        }
        let Some(trial) = trial.as_mut().filter(|trial| trial.newcomer.id() == version) else {
            return Verdict::Withdraw { reason: format!("version {version} does not run any more") };
        };
        if let Some(reason) = trial.complaint(baseline, made) {
            let at = Some((lane.clone(), made.intent.range.start));
            drop(state);
            if self.withdraw(version, reason.clone(), at) {
                return Verdict::Withdraw { reason };
            }
            return Verdict::Keep;
        }
        trial.made = trial.made.plus(Figures::of(made));
        trial.no_way_back |= made.intent.state_version.is_some_and(|version| !current.reads(&[version]));
        Verdict::Keep
    }

    /// Whether one fault is enough to withdraw a version.
    #[must_use]
    pub fn takes_no_fault_of(&self, version: &VersionId) -> bool {
        let state = self.lock();
        let trial = state.trial.as_ref().filter(|trial| trial.newcomer.id() == version);
        trial.is_some_and(|trial| !trial.no_way_back) && state.baseline.faults == 0
    }

    /// Counts a committed epoch.
    pub fn committed(&self, lane: &LaneId, intent: &Intent, tally: &Tally) {
        let version = VersionId::of_intent(intent);
        let mut state = self.lock();
        if let Some(trial) = state.trial.as_mut().filter(|trial| *trial.newcomer.id() == version) {
            trial.committed += tally.messages as u64;
        }
        let moved = state.committed.get(lane) != Some(&version);
        if moved {
            state.committed.insert(lane.clone(), version.clone());
            state.news.push(News::Moved { lane: lane.clone(), version, offset: intent.range.start });
        }
        if state.pass() {
            self.ring();
        } else if moved {
            self.tell();
        }
    }

    /// Takes a newcomer back, in all lanes; says whether it does not run any more: it was on trial, and the version before
    /// reads all that it keeps, or it had been taken back before.
    pub fn withdraw(&self, version: &VersionId, reason: String, at: Option<(LaneId, i64)>) -> bool {
        let mut state = self.lock();
        let Some(trial) = state.trial.as_ref().filter(|trial| trial.newcomer.id() == version) else {
            return state.current.id() != version;
        };
        if trial.no_way_back {
            tracing::warn!(tenant = self.tenant(), plugin = self.name(), %version, reason, "the version stays, as what it keeps can't be read by the one before");
            return false;
        }
        tracing::error!(tenant = self.tenant(), plugin = self.name(), %version, reason, current = %state.current.id(), "the new version is withdrawn");
        state.trial = None;
        state.news.push(News::Withdrawn { version: version.clone(), reason, at });
        self.ring();
        true
    }

    /// A lane begins, with state that was written in these versions of it. Where only the newcomer reads it, the lane runs
    /// the newcomer, and there is no way back: so it is after a restart in the midst of a trial.
    pub fn keeps(&self, lane: &LaneId, written: &[u32]) {
        let mut state = self.lock();
        let State { current, trial, .. } = &mut *state;
        if let Some(trial) = trial
            && !current.reads(written)
            && trial.newcomer.reads(written)
        {
            trial.must_have(lane);
        }
    }

    /// Waits until a lane is to run another version than this one, or this one by other rules, at another server or as another
    /// user: also what does not shape rows stands in files.
    pub async fn other_than(&self, lane: &LaneId, version: &Version) {
        loop {
            let changed = self.changed.notified(); // before the look, so that nothing is missed between the two
            let runs = self.of(lane);
            if !runs.is_same(version) || runs.file.failure != version.file.failure {
                return;
            }
            changed.await;
        }
    }

    /// What has happened since the last time.
    #[must_use]
    pub fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.lock().news)
    }

    /// The trial that runs.
    #[must_use]
    pub fn trial(&self) -> Option<TrialView> {
        let state = self.lock();
        state.trial.as_ref().map(|trial| trial.view(&state.current, state.baseline))
    }

    pub(super) fn belongs_to(&self, bells: &Arc<Bells>) {
        self.bells.set(bells.clone()).ok(); // once it is one of them, it stays so
    }

    /// Another version runs.
    fn ring(&self) {
        self.changed.notify_waiters();
        if let Some(bells) = self.bells.get() {
            bells.changed.notify_one();
        }
        self.tell();
    }

    /// There is news.
    fn tell(&self) {
        if let Some(bells) = self.bells.get() {
            bells.news.notify_one();
        }
    }

    /// As it is now: a trial whose time has come is over. Changes are made whole, so it is also after a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pass() {
            self.ring();
        }
        state
    }
}

impl State {
    fn of(&mut self, lane: &LaneId) -> Arc<Version> {
        let newcomer = self.trial.as_mut().and_then(|trial| trial.has(lane).then(|| trial.newcomer.clone()));
        newcomer.unwrap_or_else(|| self.current.clone())
    }

    /// Ends the trial if it is over; the newcomer is the current version then.
    fn pass(&mut self) -> bool {
        let Some(trial) = self.trial.take_if(|trial| trial.is_over()) else { return false };
        tracing::info!(version = %trial.newcomer.id(), messages = trial.made.messages, "the new version has passed its trial");
        self.news.push(News::Passed { version: trial.newcomer.id().clone() });
        (self.current, self.baseline) = (trial.newcomer, trial.made);
        true
    }
}
