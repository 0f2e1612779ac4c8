//! How the plugins of an engine stand: what `GET /plugins` answers and `engine status` shows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::deployments::{Deployment, Holds};
use super::history::{Entry, What};
use super::shadow::ShadowView;
use super::trial::{Figures, TrialView};
use super::{VersionId, Versions};
use crate::breaker::BreakerView;
use crate::config::Mode;
use crate::lane_status::LaneStatus;
use crate::offsets::PluginKey;

/// Refusals that are shown of each plugin, the newest.
const REFUSALS: usize = 5;

/// A plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub plugin: String,
    /// What runs; while there is a trial, the version before. None: nothing that could run is in its folder.
    pub version: Option<VersionId>,
    /// The version that its author gave it; empty for messages as they are.
    pub says: String,
    /// What has become of the version in its folder.
    pub folder: FolderStatus,
    /// The version that stays, whatever is in the folder.
    pub pinned: Option<VersionId>,
    /// The newcomer on trial.
    pub trial: Option<TrialStatus>,
    /// The newcomer in the shadow.
    pub shadow: Option<ShadowView>,
    /// Which version makes the next epoch of each lane.
    pub lanes: Vec<LaneVersion>,
    /// The newest versions that were refused or taken back, the newest first.
    pub refused: Vec<Refusal>,
}

/// The version in a plugin's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FolderStatus {
    /// What has become of it.
    pub state: FolderState,
    /// Which it is, where that is known and it does not run.
    pub version: Option<VersionId>,
    /// Why it does not run.
    pub why: Option<String>,
}

/// What has become of a version in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FolderState {
    /// It is compiled and compared.
    Preparing,
    /// It runs, is on trial or in the shadow.
    Running,
    /// Another one is pinned.
    Waiting,
    /// It is not let in.
    Refused,
    /// It was taken back.
    Withdrawn,
}

/// A lane's version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneVersion {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// What its next epoch is made with.
    pub version: VersionId,
    /// Offset after the last committed message.
    pub committed: Option<i64>,
    /// The breaker, where it is not closed: whether the plugin is called, since when not, why, and when again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerView>,
}

/// A version on trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialStatus {
    /// The newcomer.
    pub version: VersionId,
    /// `replace` or `canary`.
    pub mode: String,
    /// How long it has been on trial, in seconds.
    pub age_seconds: f64,
    /// How long it will be, in seconds.
    pub probation_seconds: f64,
    /// After how many messages it is over, if that comes first.
    pub probation_rows: Option<u64>,
    /// Messages of its committed epochs.
    pub committed: u64,
    /// What it made.
    pub made: FiguresStatus,
    /// What the version before made.
    pub baseline: FiguresStatus,
    /// Lanes that run it.
    pub lanes: usize,
    /// It keeps what the version before can't read.
    pub no_way_back: bool,
}

/// What a version did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FiguresStatus {
    /// Messages.
    pub messages: u64,
    /// Messages on which it faulted.
    pub faults: u64,
    /// Messages that were set aside.
    pub dead_letters: u64,
    /// CPU time per message, in microseconds.
    pub cost_us: f64,
}

/// A version that does not run, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// When, ms since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The version.
    pub version: VersionId,
    /// What became of it.
    pub what: What,
    /// Why.
    pub reason: String,
}

impl PluginStatus {
    /// Which plugin it is.
    #[must_use]
    pub fn key(&self) -> PluginKey {
        PluginKey::new(&self.tenant, &self.plugin)
    }

    /// Of a plugin with its history, oldest first, beside all lanes.
    #[must_use]
    pub fn of(
        key: PluginKey,
        versions: Option<&Versions>,
        deployment: Option<&Deployment>,
        history: &[Entry],
        lanes: &[Arc<LaneStatus>],
    ) -> Self {
        let current = versions.map(Versions::current);
        let own = lanes.iter().filter(|lane| lane.id.tenant == key.tenant && lane.id.plugin == key.name);
        let lanes: Vec<_> = own.map(|lane| LaneVersion::of(lane)).collect();
        let trial = versions.and_then(Versions::trial).map(|view| {
            let on_it = lanes.iter().filter(|lane| lane.version == view.version).count();
            TrialStatus::of(&view, on_it)
        });
        Self {
            tenant: key.tenant,
            plugin: key.name,
            version: current.as_ref().map(|version| version.id().clone()),
            says: current.map(|version| version.says().to_owned()).unwrap_or_default(),
            folder: FolderStatus::of(deployment.map(|deployment| &deployment.holds)),
            pinned: deployment.and_then(|deployment| deployment.pinned.clone()),
            trial,
            shadow: versions.and_then(Versions::shadow).map(|shadow| shadow.view()),
            lanes,
            refused: refused(history),
        }
    }
}

impl FolderStatus {
    fn of(holds: Option<&Holds>) -> Self {
        let (state, version, why) = match holds {
            None | Some(Holds::Preparing) => (FolderState::Preparing, None, None),
            Some(Holds::Running) => (FolderState::Running, None, None),
            Some(Holds::Waiting(version)) => (FolderState::Waiting, Some(version.clone()), None),
            Some(Holds::Refused(refusal)) => (FolderState::Refused, refusal.version.clone(), Some(refusal.to_string())),
            Some(Holds::Withdrawn { version, reason }) => {
                (FolderState::Withdrawn, Some(version.clone()), Some(reason.clone()))
            }
        };
        Self { state, version, why }
    }
}

impl LaneVersion {
    fn of(lane: &LaneStatus) -> Self {
        let view = lane.view();
        let (topic, partition) = (lane.id.topic.clone(), lane.id.partition);
        Self { topic, partition, version: view.version, committed: view.committed, breaker: view.breaker }
    }
}

impl TrialStatus {
    fn of(view: &TrialView, lanes: usize) -> Self {
        let mode = match view.rules.mode {
            Mode::Replace => "replace",
            Mode::Shadow => "shadow",
            Mode::Canary => "canary",
        };
        Self {
            version: view.version.clone(),
            mode: mode.to_owned(),
            age_seconds: view.age.as_secs_f64(),
            probation_seconds: view.rules.probation.as_secs_f64(),
            probation_rows: view.rules.probation_rows,
            committed: view.committed,
            made: FiguresStatus::of(&view.made),
            baseline: FiguresStatus::of(&view.baseline),
            lanes,
            no_way_back: view.no_way_back,
        }
    }
}

impl FiguresStatus {
    fn of(figures: &Figures) -> Self {
        let Figures { messages, faults, dead_letters, .. } = *figures;
        Self { messages, faults, dead_letters, cost_us: figures.cost() * 1e6 }
    }
}

fn refused(history: &[Entry]) -> Vec<Refusal> {
    let refused = history.iter().rev().filter(|entry| matches!(entry.what, What::Refused | What::Withdrawn));
    let refusal = |entry: &Entry| Refusal {
        at_ms: entry.at_ms,
        version: entry.version.clone(),
        what: entry.what,
        reason: entry.reason.clone(),
    };
    refused.take(REFUSALS).map(refusal).collect()
}
