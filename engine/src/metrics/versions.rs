//! What became of versions of plugins: which run, and how those fared that came.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::PluginLabels;
use crate::deploy::difference::TableDifference;
use crate::deploy::shadow::ShadowView;
use crate::offsets::PluginKey;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabels {
    tenant: String,
    plugin: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabels {
    tenant: String,
    plugin: String,
    step: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InfoLabels {
    tenant: String,
    plugin: String,
    version: String,
    digest: String,
    settings: String,
    role: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShadowLabels {
    tenant: String,
    plugin: String,
    of: &'static str,
}

/// A version that runs, as `engine_plugin_info` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningVersion {
    /// What its author calls it.
    pub version: String,
    /// SHA-256 of the plugin, in hex.
    pub digest: String,
    /// SHA-256 of its settings, in hex.
    pub settings: String,
    /// `current` or `trial`.
    pub role: &'static str,
}

/// Metrics of versions of plugins.
#[derive(Debug)]
pub struct VersionMetrics {
    swaps: Family<PluginLabels, Counter>,
    withdrawals: Family<PluginLabels, Counter>,
    refusals: Family<CauseLabels, Counter>,
    loads: Family<StepLabels, Histogram>,
    info: Family<InfoLabels, Gauge>,
    shadow: Family<ShadowLabels, Gauge>,
    shown: Mutex<BTreeMap<PluginLabels, Vec<InfoLabels>>>,
}

/// From 1 ms, as code that is kept takes, to about a minute of compiling.
fn load_times() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Default for VersionMetrics {
    fn default() -> Self {
        Self {
            swaps: Family::default(),
            withdrawals: Family::default(),
            refusals: Family::default(),
            loads: Family::new_with_constructor(load_times),
            info: Family::default(),
            shadow: Family::default(),
            shown: Mutex::default(),
        }
    }
}

impl VersionMetrics {
    /// Counts a version that was given to lanes in place of another.
    pub fn swapped(&self, plugin: &PluginKey) {
        self.swaps.get_or_create(&labels(plugin)).inc();
    }

    /// Counts a version that was taken back for what it did.
    pub fn withdrawn(&self, plugin: &PluginKey) {
        self.withdrawals.get_or_create(&labels(plugin)).inc();
    }

    /// Counts a version that was not let in.
    pub fn refused(&self, plugin: &PluginKey, cause: &'static str) {
        let PluginLabels { tenant, plugin } = labels(plugin);
        self.refusals.get_or_create(&CauseLabels { tenant, plugin, cause }).inc();
    }

    /// Notes how long a step of loading a version took: `read`, `compile` or `cached`, `prepare`.
    pub fn loaded(&self, plugin: &PluginKey, step: &'static str, took: Duration) {
        let PluginLabels { tenant, plugin } = labels(plugin);
        self.loads.get_or_create(&StepLabels { tenant, plugin, step }).observe(took.as_secs_f64());
    }

    /// Shows which versions of a plugin run.
    pub fn running(&self, plugin: &PluginKey, versions: Vec<RunningVersion>) {
        let key = labels(plugin);
        let PluginLabels { tenant, plugin } = &key;
        let info = |RunningVersion { version, digest, settings, role }| InfoLabels {
            tenant: tenant.clone(),
            plugin: plugin.clone(),
            version,
            digest,
            settings,
            role,
        };
        let infos: Vec<_> = versions.into_iter().map(info).collect();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.remove(&key).unwrap_or_default();
        for gone in before.iter().filter(|info| !infos.contains(info)) {
            self.info.remove(gone);
        }
        for info in &infos {
            self.info.get_or_create(info).set(1);
        }
        shown.insert(key, infos);
    }

    /// Shows how the newcomer in the shadow differs; none: there is none any more.
    pub fn shadowed(&self, plugin: &PluginKey, shadow: Option<&ShadowView>) {
        let difference = shadow.map(|shadow| &shadow.difference);
        let rows = |of: fn(&TableDifference) -> u64| difference.map(|it| it.tables.values().map(of).sum());
        let figures = [
            ("messages", difference.map(|it| it.messages)),
            ("messages_left_out", shadow.map(|shadow| shadow.skipped_messages)),
            ("rows_changed", rows(|table| table.changed)),
            ("rows_gone", rows(|table| table.gone)),
            ("rows_new", rows(|table| table.new)),
            ("dead_letters_differing", difference.map(|it| it.letters.differing())),
        ];
        for (of, figure) in figures {
            let labels = ShadowLabels { tenant: plugin.tenant.clone(), plugin: plugin.name.clone(), of };
            match figure {
                Some(figure) => drop(self.shadow.get_or_create(&labels).set(i64::try_from(figure).unwrap_or(i64::MAX))),
                None => drop(self.shadow.remove(&labels)),
            }
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "What the newcomer in the shadow was given, and how what it makes differs from what the running version makes";
        registry.register("plugin_shadow", help, self.shadow.clone());
        let help = "Versions of plugins that run, with the digests of their bytes and settings";
        registry.register("plugin_info", help, self.info.clone());
        let help = "Versions of plugins that were given to lanes while the engine runs";
        registry.register("plugin_swaps", help, self.swaps.clone());
        let help = "Versions of plugins that were taken back for what they did";
        registry.register("plugin_withdrawals", help, self.withdrawals.clone());
        let help = "Versions of plugins that were not let in, by cause";
        registry.register("plugin_refusals", help, self.refusals.clone());
        let help = "Time from a changed file to a version that may run, by step";
        registry.register_with_unit("plugin_load", help, Unit::Seconds, self.loads.clone());
    }
}

fn labels(plugin: &PluginKey) -> PluginLabels {
    PluginLabels { tenant: plugin.tenant.clone(), plugin: plugin.name.clone() }
}
