//! Metrics of tenants: how each stands, what an operator knows it by, and what it has used.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Seconds, raise_to};
use crate::memory::Memory;
use crate::tenants::shares::TenantUse;
use crate::tenants::status::TenantStatus;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    tenant: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLabels {
    tenant: String,
    of: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TenantLabels {
    tenant: String,
}

/// By the tenant's name and its labels, whose names are an operator's.
type InfoLabels = Vec<(String, String)>;

/// The metrics of all tenants.
#[derive(Debug, Default)]
pub(super) struct TenantMetrics {
    state: Family<StateLabels, Gauge>,
    info: Family<InfoLabels, Gauge>,
    cpu: Family<OfLabels, Seconds>,
    cpu_wait: Family<TenantLabels, Seconds>,
    memory: Family<OfLabels, Gauge>,
    memory_waits: Family<TenantLabels, Gauge>,
    held: Gauge,
    limit: Gauge,
}

impl TenantMetrics {
    /// Shows the tenants that there are now, and no others.
    pub(super) fn show(&self, tenants: &[TenantStatus]) {
        self.state.clear();
        self.info.clear();
        for TenantStatus { tenant, state, settings, .. } in tenants {
            self.state.get_or_create(&StateLabels { tenant: tenant.clone(), state: state.as_str() }).set(1);
            if let Some(settings) = settings {
                let name = [("tenant".to_owned(), tenant.clone())].into_iter();
                let labels = settings.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
                self.info.get_or_create(&name.chain(labels).collect()).set(1);
            }
        }
    }

    /// Shows what they have used. CPU time of one that is gone stays: it was spent.
    pub(super) fn show_use(&self, used: &BTreeMap<String, TenantUse>, memory: &Memory) {
        for (tenant, used) in used.iter().filter(|(tenant, _)| !tenant.is_empty()) {
            for &(of, seconds) in &used.cpu_by {
                raise_to(&self.cpu.get_or_create(&OfLabels { tenant: tenant.clone(), of }), seconds);
            }
            for (&of, &bytes) in &used.memory_bytes {
                self.memory.get_or_create(&OfLabels { tenant: tenant.clone(), of }).set(bounded(bytes));
            }
            let labels = TenantLabels { tenant: tenant.clone() };
            raise_to(&self.cpu_wait.get_or_create(&labels), used.cpu_wait_seconds);
            self.memory_waits.get_or_create(&labels).set(bounded(used.lanes_waiting_for_memory));
        }
        self.held.set(bounded(memory.held()));
        self.limit.set(bounded(memory.limit()));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help =
            "How each tenant stands: running, mistaken (its file is wrong, it runs as before), paused, or waiting";
        registry.register("tenant_state", help, self.state.clone());
        let help = "The labels of each tenant's file";
        registry.register("tenant_info", help, self.info.clone());
        let help = "CPU time of each tenant's work, by what it was for, also where nothing came of it";
        registry.register_with_unit("tenant_cpu", help, Unit::Seconds, self.cpu.clone());
        let help = "How long each tenant's work has waited for its turn to run, over all its lanes";
        registry.register_with_unit("tenant_cpu_wait", help, Unit::Seconds, self.cpu_wait.clone());
        let help = "What each tenant holds of the engine's memory, by what it is for";
        registry.register_with_unit("tenant_memory", help, Unit::Bytes, self.memory.clone());
        let help = "Lanes that wait for memory, as their tenant holds its part of it";
        registry.register("tenant_memory_waits", help, self.memory_waits.clone());
        let help = "Memory that is booked, of all tenants and for messages that were fetched";
        registry.register_with_unit("memory_held", help, Unit::Bytes, self.held.clone());
        let help = "Most memory that lanes begin epochs with (memory_mib)";
        registry.register_with_unit("memory_limit", help, Unit::Bytes, self.limit.clone());
    }
}

fn bounded(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
