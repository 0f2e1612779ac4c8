//! What tenants share by weight (CPU time, memory, inserts), and what of it each has used.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Tenant;
use crate::cpu::{Cpu, Share};
use crate::lane::Surroundings;
use crate::memory::Memory;

impl Surroundings {
    /// Sets what a tenant may have, from now on, as its file says.
    pub fn share(&self, tenant: &Tenant) {
        let Tenant { name, weight, limits, .. } = tenant;
        self.cpu.share(name, Share { weight: *weight, cap: limits.cpu_share.map(|share| share * cores()) });
        self.memory.share(name, *weight);
        if let Ok(sink) = self.sinks.of(tenant) {
            sink.share(name, *weight, limits.inserts_per_second); // else its lanes say what is wrong with it
        }
    }
}

fn cores() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    f64::from(u32::try_from(cores).unwrap_or(u32::MAX))
}

/// What a tenant has used, and waits for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TenantUse {
    /// CPU time of all its work, s.
    pub cpu_seconds: f64,
    /// The same by what it was for.
    #[serde(skip)]
    pub cpu_by: Vec<(&'static str, f64)>,
    /// How long its work has waited for a turn, s, summed up over its lanes.
    pub cpu_wait_seconds: f64,
    /// How long the work has waited that waits now, ms; absent: none waits. More than some hundreds: others, or its cap, leave
    /// it less than it wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for_cpu_ms: Option<u64>,
    /// Bytes that it holds, by what they are for.
    pub memory_bytes: BTreeMap<&'static str, usize>,
    /// Its lanes that wait for memory.
    pub lanes_waiting_for_memory: usize,
}

/// What all tenants have used that have had anything.
#[must_use]
pub fn used(cpu: &Cpu, memory: &Memory) -> BTreeMap<String, TenantUse> {
    let mut all: BTreeMap<String, TenantUse> = BTreeMap::new();
    for used in cpu.used() {
        let of = all.entry(used.tenant.to_string()).or_default();
        of.cpu_seconds = used.cpu.as_secs_f64();
        of.cpu_by = used.by.into_iter().map(|(of, time)| (of, time.as_secs_f64())).collect();
        of.cpu_wait_seconds = used.waited.as_secs_f64();
        of.waits_for_cpu_ms = used.waits.map(|waits| u64::try_from(waits.as_millis()).unwrap_or(u64::MAX));
    }
    for held in memory.tenants() {
        let of = all.entry(held.tenant.to_string()).or_default();
        of.memory_bytes = held.bytes.into_iter().collect();
        of.lanes_waiting_for_memory = held.waiting;
    }
    all
}
