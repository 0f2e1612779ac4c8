//! What plugins count themselves, under names of their own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::PluginLabels;

/// Most names of a plugin: each is a time series for whoever scrapes the engine, for good.
const MOST_NAMES: usize = 64;
/// Under which the names beyond them are counted together.
const OTHERS: &str = "others";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CountLabels {
    tenant: String,
    plugin: String,
    name: String,
}

/// The counters of all plugins.
#[derive(Debug, Default)]
pub(super) struct PluginCounts {
    family: Family<CountLabels, Counter>,
    known: Mutex<BTreeMap<PluginLabels, BTreeMap<String, u64>>>,
}

impl PluginCounts {
    /// Adds what the calls of an epoch counted.
    pub(super) fn add(&self, plugin: &PluginLabels, counts: &BTreeMap<String, u64>) {
        if counts.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(plugin.clone()).or_default();
        for (name, by) in counts {
            let fits = known.contains_key(name) || known.len() < MOST_NAMES;
            let name = if fits { name } else { OTHERS };
            *known.entry(name.to_owned()).or_default() += by;
            let (tenant, plugin) = (plugin.tenant.clone(), plugin.plugin.clone());
            self.family.get_or_create(&CountLabels { tenant, plugin, name: name.to_owned() }).inc_by(*by);
        }
    }

    /// All counters by name, of all plugins together.
    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, count) in known.values().flatten() {
            *totals.entry(name.clone()).or_default() += count;
        }
        totals
    }

    pub(super) fn family(&self) -> impl prometheus_client::registry::Metric {
        self.family.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted_together() {
        let counts = PluginCounts::default();
        let plugin = PluginLabels { tenant: "t".into(), plugin: "p".into() };
        let many: BTreeMap<_, _> = (0..100).map(|number| (format!("n{number:03}"), 2)).collect();
        counts.add(&plugin, &many);
        counts.add(&plugin, &BTreeMap::from([("n000".to_owned(), 1), ("n099".to_owned(), 1)]));
        let of = |name: &str| {
            let labels = CountLabels { tenant: "t".into(), plugin: "p".into(), name: name.into() };
            counts.family.get_or_create(&labels).get()
        };
        assert_eq!((of("n000"), of("n063"), of(OTHERS)), (3, 2, 2 * 36 + 1));
    }
}
