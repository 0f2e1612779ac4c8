//! How the plugins of an engine stand: what `GET /plugins` answers and `engine status` shows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::history::{Entry, Standing, What};
use super::shadow::ShadowView;
use super::trial::{Figures, TrialView};
use super::{VersionId, Versions};
use crate::config::Mode;
use crate::lane_status::LaneStatus;

/// Refusals that are shown of each plugin, the newest.
const REFUSALS: usize = 5;

/// A plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub plugin: String,
    /// What runs; while there is a trial, the version before.
    pub version: VersionId,
    /// The version that its author gave it; empty for messages as they are.
    pub says: String,
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
    /// Of a plugin with its history, oldest first, and all lanes.
    #[must_use]
    pub fn of(versions: &Versions, history: &[Entry], lanes: &[Arc<LaneStatus>]) -> Self {
        let current = versions.current();
        let of_plugin = |lane: &&Arc<LaneStatus>| {
            lane.id.tenant == versions.tenant() && lane.id.plugin == versions.name()
        };
        let lanes: Vec<_> = lanes.iter().filter(of_plugin).map(|lane| LaneVersion::of(lane)).collect();
        let trial = versions.trial().map(|view| {
            let on_it = lanes.iter().filter(|lane| lane.version == view.version).count();
            TrialStatus::of(&view, on_it)
        });
        Self {
            tenant: versions.tenant().to_owned(),
            plugin: versions.name().to_owned(),
            version: current.id().clone(),
            says: current.says().to_owned(),
            pinned: Standing::of(history).pinned,
            trial,
            shadow: versions.shadow().map(|shadow| shadow.view()),
            lanes,
            refused: refused(history),
        }
    }
}

impl LaneVersion {
    fn of(lane: &LaneStatus) -> Self {
        let view = lane.view();
        let (topic, partition) = (lane.id.topic.clone(), lane.id.partition);
        Self { topic, partition, version: view.version, committed: view.committed }
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
