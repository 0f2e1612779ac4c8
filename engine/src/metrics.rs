//! Counters of what went where, for `GET /metrics`.
//!
//! Rows are counted when their epoch is committed, so that the sums add up at any time: messages = rows in + no-ops +
//! messages that decoding set aside. A process counts from its own start.

mod plugin_counts;
mod tenants;
mod totals;
mod versions;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::lane_status::LaneStatus;
use crate::memory::Memory;
use crate::offsets::{LaneId, PluginKey};
use crate::source::Budget;
use crate::tenants::shares::TenantUse;
use crate::tenants::status::TenantStatus;
use crate::transform::Tally;
use crate::verify::watch::Seen;

use plugin_counts::PluginCounts;
use tenants::TenantMetrics;
pub use totals::Totals;
pub use versions::{RunningVersion, VersionMetrics};
use window::Window;
pub use window::{Counts, WINDOW};

/// A plugin that sets more than this part of its messages aside is named in `/health`: a hundred times what a sound topic
/// has, and little enough to be seen on the first day.
pub const MOST_DEAD_SHARE: f64 = 0.01;

type Fraction = Gauge<f64, AtomicU64>;
type Seconds = Counter<f64, AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TransformLabels {
    tenant: String,
    plugin: String,
    topic: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct PluginLabels {
    tenant: String,
    plugin: String,
}

impl PluginLabels {
    fn key(&self) -> PluginKey {
        PluginKey::new(&self.tenant, &self.plugin)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NoOpLabels {
    tenant: String,
    plugin: String,
    topic: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeadLabels {
    tenant: String,
    plugin: String,
    topic: String,
    stage: &'static str,
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    tenant: String,
    plugin: String,
    topic: String,
    error: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LaneLabels {
    tenant: String,
    plugin: String,
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BreakerLabels {
    tenant: String,
    plugin: String,
    state: String,
    policy: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

/// All metrics of an engine.
#[derive(Debug)]
pub struct Metrics {
    messages: Family<TransformLabels, Counter>,
    bytes: Family<TransformLabels, Counter>,
    source: Option<Arc<Budget>>,
    fetched: Counter,
    held: Gauge,
    rows_in: Family<TransformLabels, Counter>,
    rows_out: Family<TransformLabels, Counter>,
    no_ops: Family<NoOpLabels, Counter>,
    dead: Family<DeadLabels, Counter>,
    dead_share: Family<PluginLabels, Fraction>,
    dead_rate: Family<PluginLabels, Fraction>,
    raised: Family<TransformLabels, Gauge>,
    row_changes: Family<TransformLabels, Counter>,
    windows: Mutex<BTreeMap<PluginLabels, Window>>,
    epochs: Family<TransformLabels, Counter>,
    plugin_counts: PluginCounts,
    watermarks: Family<LaneLabels, Fraction>,
    remembered: Family<LaneLabels, Gauge>,
    errors: Family<ErrorLabels, Counter>,
    stages: Family<StageLabels, Seconds>,
    lag: Family<LaneLabels, Gauge>,
    ages: Family<LaneLabels, Fraction>,
    states: Family<StateLabels, Gauge>,
    breakers: Family<BreakerLabels, Gauge>,
    opened: Family<LaneLabels, Counter>,
    inserts: Counter,
    insert_rows: Counter,
    insert_bytes: Counter,
    insert_times: Family<TransformLabels, Histogram>,
    insert_failures: Family<CauseLabels, Counter>,
    inserts_waiting: Gauge,
    verified: Family<TransformLabels, Counter>,
    missing: Family<TransformLabels, Counter>,
    double: Family<TransformLabels, Counter>,
    wrong: Mutex<BTreeMap<PluginLabels, Seen>>,
    versions: VersionMetrics,
    tenants: TenantMetrics,
    totals: Mutex<Totals>,
}

/// What the sink has done so far.
#[derive(Clone, Debug, Default)]
pub struct InsertTotals {
    /// Successful inserts.
    pub inserts: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that wait for the server now.
    pub waiting: u64,
    /// Failed attempts, by cause.
    pub failures: Vec<(&'static str, u64)>,
}

/// The metrics of one lane.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    all: Arc<Metrics>,
    labels: TransformLabels,
}

/// From 1 ms to about 16 s: a good insert takes tens of milliseconds, a waiting one as long as the server is away.
fn insert_times() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            messages: Family::default(),
            bytes: Family::default(),
            source: None,
            fetched: Counter::default(),
            held: Gauge::default(),
            rows_in: Family::default(),
            rows_out: Family::default(),
            no_ops: Family::default(),
            dead: Family::default(),
            dead_share: Family::default(),
            dead_rate: Family::default(),
            raised: Family::default(),
            row_changes: Family::default(),
            windows: Mutex::default(),
            epochs: Family::default(),
            plugin_counts: PluginCounts::default(),
            watermarks: Family::default(),
            remembered: Family::default(),
            errors: Family::default(),
            stages: Family::default(),
            lag: Family::default(),
            ages: Family::default(),
            states: Family::default(),
            breakers: Family::default(),
            opened: Family::default(),
            inserts: Counter::default(),
            insert_rows: Counter::default(),
            insert_bytes: Counter::default(),
            insert_times: Family::new_with_constructor(insert_times),
            insert_failures: Family::default(),
            inserts_waiting: Gauge::default(),
            verified: Family::default(),
            missing: Family::default(),
            double: Family::default(),
            wrong: Mutex::default(),
            versions: VersionMetrics::default(),
            tenants: TenantMetrics::default(),
            totals: Mutex::default(),
        }
    }
}

impl Metrics {
    /// With what is known of a source's messages in memory.
    #[must_use]
    pub fn of_source(source: Option<Arc<Budget>>) -> Self {
        Self { source, ..Self::default() }
    }

    /// The metrics of a lane.
    #[must_use]
    pub fn lane(self: &Arc<Self>, lane: &LaneId) -> LaneMetrics {
        let labels =
            TransformLabels { tenant: lane.tenant.clone(), plugin: lane.plugin.clone(), topic: lane.topic.clone() };
        // From zero on: of a counter whose first sample is a 1 Prometheus sees no increase.
        for counter in [&self.messages, &self.rows_in, &self.rows_out, &self.epochs, &self.missing, &self.double] {
            drop(counter.get_or_create(&labels));
        }
        drop(self.raised.get_or_create(&labels));
        LaneMetrics { all: self.clone(), labels }
    }

    /// Shows the tenants as they stand.
    pub fn show_tenants(&self, tenants: &[TenantStatus]) {
        self.tenants.show(tenants);
    }

    /// Shows what tenants have used, and what they hold of the pool.
    pub fn show_use(&self, used: &BTreeMap<String, TenantUse>, memory: &Memory) {
        self.tenants.show_use(used, memory);
    }

    /// Those of plugins' versions.
    #[must_use]
    pub fn versions(&self) -> &VersionMetrics {
        &self.versions
    }

    /// In the text form that Prometheus reads.
    #[must_use]
    pub fn render(&self, lanes: &[Arc<LaneStatus>], inserts: &InsertTotals, stages: &[(&'static str, f64)]) -> String {
        self.show_lanes(lanes);
        self.show_dead();
        self.show_inserts(inserts);
        if let Some(source) = &self.source {
            raise(&self.fetched, source.fetched());
            self.held.set(i64::try_from(source.held()).unwrap_or(i64::MAX));
        }
        for &(stage, seconds) in stages {
            raise_to(&self.stages.get_or_create(&StageLabels { stage }), seconds);
        }
        let mut text = String::new();
        // Writing into a String can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        text
    }

    fn show_lanes(&self, lanes: &[Arc<LaneStatus>]) {
        self.states.clear();
        self.breakers.clear();
        for status in lanes {
            let (id, view) = (&status.id, status.view());
            self.states.get_or_create(&StateLabels { state: view.state.as_str() }).inc();
            let labels = LaneLabels {
                tenant: id.tenant.clone(),
                plugin: id.plugin.clone(),
                topic: id.topic.clone(),
                partition: id.partition,
            };
            if let Some(lag) = view.lag {
                let done = view.done(lag).unwrap_or(lag.position);
                self.lag.get_or_create(&labels).set((lag.end - done).max(0));
            }
            if let opened @ 1.. = status.breaker.opened() {
                raise(&self.opened.get_or_create(&labels), opened);
            }
            if let Some(breaker) = view.breaker {
                let (tenant, plugin) = (id.tenant.clone(), id.plugin.clone());
                let labels = BreakerLabels { tenant, plugin, state: breaker.state, policy: breaker.policy };
                self.breakers.get_or_create(&labels).inc();
            }
            match status.age() {
                Some(age) => drop(self.ages.get_or_create(&labels).set(age.as_secs_f64())),
                None => drop(self.ages.remove(&labels)),
            }
            if let Some(watermark) = view.watermark_ms {
                #[expect(clippy::cast_precision_loss, reason = "times of day have less than 53 bits of ms")]
                self.watermarks.get_or_create(&labels).set(watermark as f64 / 1e3);
            }
            if let Some(bytes) = view.state_bytes {
                self.remembered.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
    }

    fn show_dead(&self) {
        for (labels, counts) in self.lately() {
            self.dead_share.get_or_create(&labels).set(counts.share());
            self.dead_rate.get_or_create(&labels).set(counts.per_second());
        }
    }

    fn lately(&self) -> Vec<(PluginLabels, Counts)> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter_mut().map(|(labels, window)| (labels.clone(), window.counts(now))).collect()
    }

    /// Plugins that set aside more than [`MOST_DEAD_SHARE`] of their messages over the last [`WINDOW`].
    #[must_use]
    pub fn failing(&self) -> Vec<(PluginKey, Counts)> {
        let failing = self.lately().into_iter().filter(|(_, counts)| counts.share() > MOST_DEAD_SHARE);
        failing.map(|(labels, counts)| (labels.key(), counts)).collect()
    }

    /// Counts rows of committed epochs that were looked for in their tables.
    pub fn verified(&self, lane: &LaneId, seen: Seen) {
        let (tenant, plugin, topic) = (lane.tenant.clone(), lane.plugin.clone(), lane.topic.clone());
        let labels = TransformLabels { tenant, plugin, topic };
        self.verified.get_or_create(&labels).inc_by(seen.rows);
        self.missing.get_or_create(&labels).inc_by(seen.missing);
        self.double.get_or_create(&labels).inc_by(seen.double);
        if seen.missing > 0 || seen.double > 0 {
            let labels = PluginLabels { tenant: labels.tenant, plugin: labels.plugin };
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            let all = wrong.entry(labels).or_default();
            (all.missing, all.double) = (all.missing + seen.missing, all.double + seen.double);
        }
    }

    /// Plugins of whose committed rows some were missing or doubled.
    #[must_use]
    pub fn wrong(&self) -> Vec<(PluginKey, Seen)> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.iter().map(|(labels, seen)| (labels.key(), *seen)).collect()
    }

    /// Says whether a topic whose partitions were raised waits for an operator.
    pub fn partitions_raised(&self, tenant: &str, plugin: &str, topic: &str, waits: bool) {
        let (tenant, plugin, topic) = (tenant.to_owned(), plugin.to_owned(), topic.to_owned());
        self.raised.get_or_create(&TransformLabels { tenant, plugin, topic }).set(i64::from(waits));
    }

    fn show_inserts(&self, totals: &InsertTotals) {
        raise(&self.inserts, totals.inserts);
        raise(&self.insert_rows, totals.rows);
        raise(&self.insert_bytes, totals.bytes);
        self.inserts_waiting.set(i64::try_from(totals.waiting).unwrap_or(i64::MAX));
        for &(cause, count) in &totals.failures {
            raise(&self.insert_failures.get_or_create(&CauseLabels { cause }), count);
        }
    }

    /// Built for each scrape: families are handles, and a registry without state can't be out of step with them.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("engine");
        registry.register("messages", "Messages of committed epochs", self.messages.clone());
        registry.register_with_unit("input", "Bytes of those messages", Unit::Bytes, self.bytes.clone());
        let help = "Bytes of keys and values that have come from the brokers";
        registry.register_with_unit("fetched", help, Unit::Bytes, self.fetched.clone());
        let help = "Bytes of messages that wait for lanes or are being transformed, and what they cost beside";
        registry.register_with_unit("fetched_held", help, Unit::Bytes, self.held.clone());
        registry.register("rows_in", "Messages that became rows of a plugin or of bronze", self.rows_in.clone());
        registry.register("rows_out", "Rows in tables, dead letters not counted", self.rows_out.clone());
        registry.register("no_ops", "Messages without a row, by kind", self.no_ops.clone());
        registry.register("dead_letters", "Messages set aside, by stage and code", self.dead.clone());
        let help = "Part of the messages of the last five minutes that was set aside";
        registry.register("dead_letter_share", help, self.dead_share.clone());
        let help = "Messages set aside in a second, over the last five minutes";
        registry.register("dead_letter_rate", help, self.dead_rate.clone());
        let help = "1: the topic's partitions were raised and its keys have moved, see /health";
        registry.register("partitions_raised", help, self.raised.clone());
        let help =
            "Rows of committed epochs that were looked for in their append tables, the last of each lane every minute";
        registry.register("verify_rows", help, self.verified.clone());
        registry.register("verify_rows_missing", "Rows among those that were not there", self.missing.clone());
        registry.register("verify_rows_double", "Rows among those that were there more than once", self.double.clone());
        let help = "Changes of the columns in a topic's messages, see /health";
        registry.register("schema_changes", help, self.row_changes.clone());
        registry.register("epochs", "Committed epochs", self.epochs.clone());
        let help = "What plugins count, under their names, in committed epochs";
        registry.register("plugin_count", help, self.plugin_counts.family());
        let help = "Event time that the committed epochs have reached, since 1970";
        registry.register_with_unit("watermark", help, Unit::Seconds, self.watermarks.clone());
        let help = "Keys and values that plugins remember, and what is kept beside them";
        registry.register_with_unit("state", help, Unit::Bytes, self.remembered.clone());
        registry.register("lane_errors", "Errors that stopped a lane, by kind", self.errors.clone());
        registry.register_with_unit("stage_cpu", "CPU time of the stages", Unit::Seconds, self.stages.clone());
        registry.register("lag", "Messages at the source that are not committed yet", self.lag.clone());
        let help = "How long ago the tables had all that the partition held, as far as this process knows";
        registry.register_with_unit("staleness", help, Unit::Seconds, self.ages.clone());
        registry.register("lanes", "Lanes by state", self.states.clone());
        let help = "Lanes that do not call their plugin (open) or try it (half_open), as it failed on too much";
        registry.register("breakers", help, self.breakers.clone());
        registry.register("breaker_opened", "How often a lane's plugin failed on too much", self.opened.clone());
        registry.register("inserts", "Blocks inserted", self.inserts.clone());
        registry.register("insert_rows", "Rows of those blocks", self.insert_rows.clone());
        registry.register_with_unit("insert", "Bytes of those blocks", Unit::Bytes, self.insert_bytes.clone());
        let help = "Time from a block's first attempt to its success";
        registry.register_with_unit("insert_time", help, Unit::Seconds, self.insert_times.clone());
        registry.register("inserts_waiting", "Blocks that wait for the server now", self.inserts_waiting.clone());
        registry.register("insert_failures", "Failed attempts to insert, by cause", self.insert_failures.clone());
        self.versions.register(&mut registry);
        self.tenants.register(&mut registry);
        registry
    }

    /// CPU seconds of the stages that count their own.
    #[must_use]
    pub fn stage_seconds(&self) -> Vec<(&'static str, f64)> {
        let seconds = |stage| (stage, self.stages.get_or_create(&StageLabels { stage }).get());
        ["decode", "plugin", "assemble", "digest"].map(seconds).to_vec()
    }

    /// Everything together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Totals { counts: self.plugin_counts.totals(), ..totals }
    }
}

impl LaneMetrics {
    /// Counts an epoch that is committed.
    pub fn committed(&self, tally: &Tally) {
        let (all, labels) = (&self.all, &self.labels);
        let add = |family: &Family<TransformLabels, Counter>, count: usize| {
            family.get_or_create(labels).inc_by(count as u64);
        };
        add(&all.messages, tally.messages);
        add(&all.bytes, tally.bytes);
        add(&all.rows_in, tally.rows_in);
        add(&all.rows_out, tally.rows_out);
        add(&all.epochs, 1);
        for (kind, &count) in &tally.no_ops {
            let labels = NoOpLabels {
                tenant: labels.tenant.clone(),
                plugin: labels.plugin.clone(),
                topic: labels.topic.clone(),
                kind: kind.as_str(),
            };
            all.no_ops.get_or_create(&labels).inc_by(count as u64);
        }
        for ((stage, code), &count) in &tally.dead {
            let labels = DeadLabels {
                tenant: labels.tenant.clone(),
                plugin: labels.plugin.clone(),
                topic: labels.topic.clone(),
                stage: stage.as_str(),
                code: code.clone(),
            };
            all.dead.get_or_create(&labels).inc_by(count as u64);
        }
        let plugin = PluginLabels { tenant: labels.tenant.clone(), plugin: labels.plugin.clone() };
        all.plugin_counts.add(&plugin, &tally.counts);
        let now = Instant::now();
        let mut windows = all.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = tally.dead.values().sum();
        windows.entry(plugin).or_insert_with(|| Window::new(now)).add(now, tally.messages, dead);
        drop(windows);
        let times = &tally.times;
        let assembly = [("assemble", times.assemble), ("digest", times.digest)];
        for (stage, time) in [("decode", times.decode), ("plugin", times.plugin)].into_iter().chain(assembly) {
            all.stages.get_or_create(&StageLabels { stage }).inc_by(time.0.as_secs_f64());
        }
        all.totals.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    }

    /// Counts changes of what the topic's rows hold.
    pub fn rows_changed(&self, changes: usize) {
        if changes > 0 {
            self.all.row_changes.get_or_create(&self.labels).inc_by(changes as u64);
        }
    }

    /// Notes how long a block took until it was in its table.
    pub fn inserted(&self, time: Duration) {
        self.all.insert_times.get_or_create(&self.labels).observe(time.as_secs_f64());
    }

    /// Counts an error that stopped the lane.
    pub fn restarted(&self, error: &'static str) {
        let TransformLabels { tenant, plugin, topic } = self.labels.clone();
        self.all.errors.get_or_create(&ErrorLabels { tenant, plugin, topic, error }).inc();
    }
}

fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn raise_to(counter: &Seconds, to: f64) {
    counter.inc_by((to - counter.get()).max(0.0));
}
