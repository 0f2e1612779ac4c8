//! Metrics of tenants: how each stands, and what an operator knows it by.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::tenants::status::TenantStatus;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    tenant: String,
    state: &'static str,
}

/// By the tenant's name and its labels, whose names are an operator's.
type InfoLabels = Vec<(String, String)>;

/// The metrics of all tenants.
#[derive(Debug, Default)]
pub(super) struct TenantMetrics {
    state: Family<StateLabels, Gauge>,
    info: Family<InfoLabels, Gauge>,
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

    pub(super) fn register(&self, registry: &mut Registry) {
        let help =
            "How each tenant stands: running, mistaken (its file is wrong, it runs as before), paused, or waiting";
        registry.register("tenant_state", help, self.state.clone());
        let help = "The labels of each tenant's file";
        registry.register("tenant_info", help, self.info.clone());
    }
}
