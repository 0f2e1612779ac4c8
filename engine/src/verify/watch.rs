//! The continuous audit of a running engine: rows of committed epochs, counted in their tables.
//!
//! **Promise.** Once a minute (of more than a hundred tenants, two each second), for each lane, the last [`EPOCHS`] epochs that
//! were committed since the last look (all of them, where a lane commits less often) are looked for in their append tables:
//! each row that an intent planned is to be there, once. What is not is counted, logged and named in `/health`. An epoch is
//! looked at once, so the counters never fall, and a fault is never counted twice.
//! **Cost.** One query a table and look, over the parts that changed since: a row inserted since lies in one of those,
//! merged or not. Only what differs is asked again over the whole table before it is believed, because a merge may have
//! taken a part away between its listing and its reading.
//! **Limits.** Rows are counted, not compared, and those of current-state tables not at all, as newer changes replace them:
//! for that there is `engine verify`. Rows that somebody deletes before they are looked for count as missing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde::Deserialize;
use tokio::time::{sleep_until, timeout};

use crate::deploy::{Plugins, Versions};
use crate::engine::Lanes;
use crate::journal::Intent;
use crate::metrics::Metrics;
use crate::offsets::LaneId;
use crate::sink::{ClickHouse, ClickHouses, SinkError, epoch_column};
use crate::table::{Table, TableKind};

/// How often tables are looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// And what passes for each tenant at least: the queries are theirs.
const EACH_TENANT: Duration = Duration::from_millis(500);
/// Epochs of each lane that wait to be looked for: bounds the memory of a thousand lanes by some MB.
pub const EPOCHS: usize = 16;
/// Epochs in one query, which stays far below ClickHouse's `max_query_size` so.
const ASKED_AT_ONCE: usize = 2_000;
/// Tenants whose tables are looked at at a time.
const TENANTS_AT_ONCE: usize = 4;
/// How long a tenant's server may take for all its tables.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much older than its commit a part may be: an insert takes that long at most, or is found by the second look.
const INSERT_TIME: Duration = Duration::from_secs(300);

/// An epoch that was committed.
#[derive(Clone, Debug)]
pub struct Committed {
    epoch: u64,
    at: Instant,
    /// Quoted names of its tables, and their rows.
    blocks: Vec<(String, u64)>,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rows that were planned.
    pub rows: u64,
    /// Of those, rows that are not there.
    pub missing: u64,
    /// Rows that are there more than once.
    pub double: u64,
}

/// A lane's epoch in a table.
struct Planned {
    lane: LaneId,
    number: u64,
    epoch: u64,
    rows: u64,
}

#[derive(Deserialize)]
struct Counted {
    lane: u64,
    epoch: u64,
    rows: u64,
    names: u64,
}

impl Committed {
    /// What an intent planned.
    #[must_use]
    pub fn of(intent: &Intent) -> Self {
        let blocks = intent.blocks.iter().map(|block| (block.table.clone(), block.rows as u64)).collect();
        Self { epoch: epoch_column(intent.generation, intent.epoch), at: Instant::now(), blocks }
    }
}

/// What a tenant runs, and what its lanes have committed.
#[derive(Default)]
struct OfTenant {
    plugins: Vec<Arc<Versions>>,
    committed: Vec<(LaneId, Vec<Committed>)>,
}

/// Looks for as long as the engine runs.
pub async fn watch(clickhouses: ClickHouses, lanes: Lanes, metrics: Arc<Metrics>, plugins: Plugins) {
    let mut next = Instant::now();
    loop {
        sleep_until(next.into()).await;
        let mut tenants: BTreeMap<String, OfTenant> = BTreeMap::new();
        for versions in plugins.all() {
            tenants.entry(versions.tenant().to_owned()).or_default().plugins.push(versions);
        }
        for lane in lanes.all() {
            let committed = (lane.id.clone(), lane.take_committed());
            tenants.entry(lane.id.tenant.clone()).or_default().committed.push(committed);
        }
        let all = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        next = Instant::now() + EACH_TENANT.saturating_mul(all).max(INTERVAL);
        // Side by side: one whose server is slow holds up nobody else's look.
        let looks = tenants.into_iter().map(|(tenant, of)| look_at_tenant(&clickhouses, &metrics, tenant, of));
        futures::stream::iter(looks).buffer_unordered(TENANTS_AT_ONCE).collect::<()>().await;
    }
}

async fn look_at_tenant(
    clickhouses: &ClickHouses,
    metrics: &Metrics,
    tenant: String,
    OfTenant { plugins, committed }: OfTenant,
) {
    let Some(settings) = plugins.first().map(|versions| versions.current().file.tenant.clone()) else { return };
    let looked = match clickhouses.of(&settings) {
        Ok(clickhouse) => timeout(PATIENCE, seen(&clickhouse, &tables(&plugins), committed)).await,
        Err(error) => Ok(Err(error)),
    };
    let error = match looked {
        Ok(Ok(seen)) => return seen.iter().for_each(|(lane, seen)| metrics.verified(lane, *seen)),
        Ok(Err(error)) => crate::disposition::in_words(&error),
        Err(_) => format!("ClickHouse does not answer within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(tenant, error, "rows of committed epochs could not be counted in their tables");
}

/// The tables of all versions that run, each once.
fn tables(plugins: &[Arc<Versions>]) -> Vec<Arc<Table>> {
    let versions = plugins.iter().flat_map(|versions| [Some(versions.current()), versions.newcomer()]);
    let tables = versions.flatten().flat_map(|version| version.transform.tables());
    let tables: BTreeMap<_, _> = tables.map(|table| (table.quoted(), table)).collect();
    tables.into_values().collect()
}

/// Counts the rows of committed epochs in their tables.
///
/// # Errors
/// The server can't be asked.
pub async fn seen(
    clickhouse: &ClickHouse,
    tables: &[Arc<Table>],
    committed: Vec<(LaneId, Vec<Committed>)>,
) -> Result<Vec<(LaneId, Seen)>, SinkError> {
    let mut of_lanes: BTreeMap<LaneId, Seen> = BTreeMap::new();
    let oldest = committed.iter().flat_map(|(_, epochs)| epochs).map(|epoch| epoch.at.elapsed()).max();
    for table in tables.iter().filter(|table| table.kind == TableKind::Append) {
        let name = table.quoted();
        let mut planned = Vec::new();
        for (lane, epochs) in &committed {
            for epoch in epochs {
                let rows = epoch.blocks.iter().filter(|(table, _)| *table == name).map(|(_, rows)| rows).sum();
                if rows > 0 {
                    planned.push(Planned { lane: lane.clone(), number: lane.number(), epoch: epoch.epoch, rows });
                }
            }
        }
        for asked in planned.chunks(ASKED_AT_ONCE) {
            let all: Vec<&Planned> = asked.iter().collect();
            let first = count(clickhouse, table, &all, Some(oldest.unwrap_or_default() + INSERT_TIME)).await?;
            let differ: Vec<&Planned> = all.iter().copied().filter(|it| !is_right(it, &first)).collect();
            let second =
                if differ.is_empty() { HashMap::new() } else { count(clickhouse, table, &differ, None).await? };
            for it in all {
                let counted = if is_right(it, &first) { &first } else { &second };
                let (rows, names) = counted.get(&key(it)).copied().unwrap_or_default();
                let (missing, double) = (it.rows.saturating_sub(names), rows.saturating_sub(names));
                let found = Seen { rows: it.rows, missing, double };
                say(it, &name, found);
                let seen = of_lanes.entry(it.lane.clone()).or_default();
                seen.rows += found.rows;
                seen.missing += found.missing;
                seen.double += found.double;
            }
        }
    }
    Ok(of_lanes.into_iter().collect())
}

fn key(planned: &Planned) -> (u64, u64) {
    (planned.number, planned.epoch)
}

fn is_right(planned: &Planned, counted: &HashMap<(u64, u64), (u64, u64)>) -> bool {
    counted.get(&key(planned)) == Some(&(planned.rows, planned.rows))
}

fn say(planned: &Planned, table: &str, found: Seen) {
    let Seen { rows, missing, double } = found;
    if missing > 0 || double > 0 {
        let (lane, epoch) = (&planned.lane, planned.epoch & 0xffff_ffff_ffff);
        tracing::error!(%lane, epoch, table, rows, missing, double, "a committed epoch's rows are not in its table as they should be");
    }
}

/// Rows, and different ordinals among them, by lane and epoch: in the parts that changed in this time, or in all.
async fn count(
    clickhouse: &ClickHouse,
    table: &Table,
    planned: &[&Planned],
    changed: Option<Duration>,
) -> Result<HashMap<(u64, u64), (u64, u64)>, SinkError> {
    let pairs: Vec<String> = planned.iter().map(|it| format!("({},{})", it.number, it.epoch)).collect();
    let parts = changed.map_or(String::new(), |changed| {
        format!(
            " AND _part IN (SELECT name FROM system.parts WHERE active AND database = {{database:String}} AND \
             table = {{table:String}} AND modification_time >= now() - INTERVAL {} SECOND)",
            changed.as_secs()
        )
    });
    let sql = format!(
        "SELECT _lane AS lane, _epoch AS epoch, count() AS rows, uniqExact(_row) AS names FROM {} \
         WHERE (_lane, _epoch) IN ({}){parts} GROUP BY lane, epoch",
        table.quoted(),
        pairs.join(",")
    );
    let parameters = [("database", table.database.to_string()), ("table", table.name.to_string())];
    let counted: Vec<Counted> = clickhouse.select(table, &sql, &parameters).await?;
    Ok(counted.into_iter().map(|it| ((it.lane, it.epoch), (it.rows, it.names))).collect())
}
