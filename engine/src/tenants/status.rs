//! How the tenants of an engine stand: what `GET /tenants` answers and `engine tenant` shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Known, Tenants};
use crate::config::{Tenant, TopicScope};
use crate::input::SelectBy;
use crate::lane_status::{LaneState, LaneStatus};
use crate::offsets::PluginKey;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Its name.
    pub tenant: String,
    /// Whether its plugins run.
    pub state: TenantState,
    /// What is wrong in its tenant.toml, in words; or since when it is paused.
    pub why: Option<String>,
    /// What its tenant.toml says, or said when it was right.
    pub settings: Option<TenantSettings>,
    /// Its plugins.
    pub plugins: Vec<String>,
    /// Its lanes, counted by what they are doing.
    pub lanes: BTreeMap<String, usize>,
    /// Messages between what is committed and the topics' ends.
    pub lag: u64,
}

/// Whether a tenant's plugins run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// They do.
    Running,
    /// Its tenant.toml is wrong: they run as it was before.
    Mistaken,
    /// An operator has paused it: its rows wait.
    Paused,
    /// Its tenant.toml was never right: its rows wait.
    Waiting,
}

/// What a tenant.toml says. No password is among it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantSettings {
    /// The server of its tables.
    pub url: String,
    /// The database of its tables.
    pub database: String,
    /// Who it is at that server.
    pub user: String,
    /// Which messages are its own, in words.
    pub topics: String,
    /// Its part beside others', where they compete.
    pub weight: u32,
    /// What an operator knows it by.
    pub labels: BTreeMap<String, String>,
}

impl TenantState {
    /// The word for people and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Mistaken => "mistaken",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
        }
    }

    fn of(known: &Known) -> Self {
        match (&known.tenant, &known.mistakes, known.paused_ms) {
            (None, ..) => Self::Waiting,
            (Some(_), _, Some(_)) => Self::Paused,
            (Some(_), Some(_), None) => Self::Mistaken,
            (Some(_), None, None) => Self::Running,
        }
    }
}

impl Tenants {
    /// How all of them stand, with their plugins and lanes.
    #[must_use]
    pub fn statuses(&self, plugins: &[PluginKey], lanes: &[Arc<LaneStatus>]) -> Vec<TenantStatus> {
        let mut all = self.all();
        // The default tenant is one where something of it runs; the others, where they have a folder.
        let uses_default = plugins.iter().any(|plugin| plugin.tenant == crate::offsets::DEFAULT_TENANT);
        all.retain(|name, _| uses_default || name != crate::offsets::DEFAULT_TENANT);
        // Each plugin and lane is looked at once: there may be thousands.
        let (mut their_plugins, mut their_lanes) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        plugins.iter().for_each(|it| their_plugins.entry(it.tenant.as_str()).or_default().push(it.name.clone()));
        lanes.iter().for_each(|it| their_lanes.entry(it.id.tenant.as_str()).or_default().push(&**it));
        let status = |(name, known): (String, Known)| {
            let plugins = their_plugins.remove(name.as_str()).unwrap_or_default();
            let lanes = their_lanes.remove(name.as_str()).unwrap_or_default();
            TenantStatus::of(name, &known, plugins, &lanes)
        };
        all.into_iter().map(status).collect()
    }
}

impl TenantStatus {
    fn of(tenant: String, known: &Known, plugins: Vec<String>, lanes: &[&LaneStatus]) -> Self {
        let (mut counted, mut lag) = (BTreeMap::new(), 0);
        for lane in lanes {
            let view = lane.view();
            *counted.entry(view.state.as_str().to_owned()).or_default() += 1;
            let behind = view.lag.map(|lag| lag.end - view.committed.unwrap_or(lag.position).min(lag.position));
            lag += behind.and_then(|behind| u64::try_from(behind).ok()).unwrap_or_default();
        }
        let paused = known.paused_ms.map(|since| format!("paused by an operator at {}", crate::cell::utc(since)));
        let why = known.mistakes.as_ref().map(ToString::to_string).into_iter().chain(paused);
        let why = why.collect::<Vec<_>>().join("\n");
        Self {
            state: TenantState::of(known),
            why: (!why.is_empty()).then_some(why),
            settings: known.tenant.as_deref().map(TenantSettings::of),
            plugins,
            lanes: counted,
            lag,
            tenant,
        }
    }

    /// Whether something of it does not do its work, and nobody has said that it shall not.
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        let waiting = ["waiting", "failing", "halted"].into_iter().any(|state| self.lanes.contains_key(state));
        self.state == TenantState::Waiting || waiting
    }
}

impl TenantSettings {
    /// What a tenant's file says, to be shown.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Self {
        let topics = match &tenant.topics {
            TopicScope::All => "all that its plugins name".to_owned(),
            TopicScope::Prefix(prefix) => format!("those that begin with {prefix}"),
            TopicScope::Selected { selection, topics } => {
                let by = match &selection.by {
                    SelectBy::Column(column) => column.clone(),
                    SelectBy::Header(header) => format!("header {header}"),
                };
                format!("messages of {} with {by} = {}", topics.join(", "), selection.value)
            }
        };
        Self {
            url: tenant.clickhouse.url.clone(),
            database: tenant.database.clone(),
            user: tenant.clickhouse.user.clone(),
            topics,
            weight: tenant.weight,
            labels: tenant.labels.clone(),
        }
    }
}

/// Whether a lane wants somebody's eyes.
#[must_use]
pub fn is_troubled(state: &LaneState, trouble: Option<&str>) -> bool {
    let stopped = matches!(state, LaneState::Waiting { .. } | LaneState::Failing { .. } | LaneState::Halted { .. });
    stopped || trouble.is_some()
}
