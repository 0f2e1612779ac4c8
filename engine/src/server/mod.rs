//! HTTP: metrics and health, to be read; and the control API, which listens to an operator.

pub mod control;
mod threads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::FailurePolicy;
use crate::cpu::Cpu;
use crate::engine::Lanes;
use crate::lane_status::{LaneStatus, LaneView};
use crate::memory::Memory;
use crate::metrics::{Counts, InsertTotals, Metrics, WINDOW};
use crate::offsets::PluginKey;
use crate::plan::drift::Change;
use crate::sink::ClickHouses;
use crate::tenants::shares::used;
use crate::tenants::status::{TenantStatus, is_troubled};
use crate::verify::watch::Seen;

use control::Control;
use threads::cpu_seconds;

/// What a lane waits for is said after so long: before, it is nothing but its turn.
const LONG: Duration = Duration::from_secs(1);

/// What the server shows.
#[derive(Clone)]
pub struct Shown {
    /// The lanes.
    pub lanes: Lanes,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The sinks, for their counters.
    pub clickhouses: ClickHouses,
    /// Where transforms run, for what tenants have used.
    pub cpu: Cpu,
    /// What lanes hold.
    pub memory: Memory,
    /// What an operator works on.
    pub control: Control,
}

/// Serves until the process ends. With a token the control API asks for it.
///
/// # Errors
/// The address can't be bound.
pub async fn listen(address: SocketAddr, shown: Shown, token: Option<&str>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let control = control::routes(shown.control.clone(), shown.lanes.clone(), token);
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/health/{tenant}", get(health_of))
        .with_state(shown);
    let routes = routes.merge(control).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(bound)
}

/// CPU seconds of the stages that run on threads of their own: fetch, encode and insert. Encoding is done by the
/// threads that insert.
#[must_use]
pub fn thread_stages(clickhouses: &ClickHouses) -> Vec<(&'static str, f64)> {
    let encode: f64 = clickhouses.all().iter().map(|sink| sink.stats().encode_time().as_secs_f64()).sum();
    let mut stages = cpu_seconds();
    if let Some((_, insert)) = stages.iter_mut().find(|(stage, _)| *stage == "insert") {
        *insert = (*insert - encode).max(0.0);
    }
    stages.push(("encode", encode));
    stages
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let lanes = shown.lanes.all();
    shown.metrics.show_tenants(&shown.control.tenants(&lanes));
    shown.metrics.show_use(&used(&shown.cpu, &shown.memory), &shown.memory);
    let text = shown.metrics.render(&lanes, &insert_totals(&shown.clickhouses), &thread_stages(&shown.clickhouses));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// Those of all servers and users together.
fn insert_totals(clickhouses: &ClickHouses) -> InsertTotals {
    let mut all = InsertTotals::default();
    for sink in clickhouses.all() {
        let totals = sink.stats().totals();
        all.inserts += totals.inserts;
        all.rows += totals.rows;
        all.bytes += totals.bytes;
        all.waiting += totals.waiting;
        for (cause, count) in sink.stats().failures() {
            match all.failures.iter_mut().find(|(known, _)| *known == cause.as_str()) {
                Some((_, sum)) => *sum += count,
                None => all.failures.push((cause.as_str(), count)),
            }
        }
    }
    all
}

/// 200 when every lane does its work, 503 when one waits or has stopped; the body says which and why. What goes on but
/// wants somebody's eyes is a warning; so is a tenant whose file is wrong, as others go on.
async fn health(State(shown): State<Shown>) -> Response {
    let lanes = shown.lanes.all();
    let mut used = used(&shown.cpu, &shown.memory);
    let tenant = |tenant: TenantStatus| {
        let used = used.remove(&tenant.tenant).unwrap_or_default();
        let TenantStatus { tenant, state, why, lanes, lag, .. } = tenant;
        json!({ "tenant": tenant, "state": state, "why": why, "lanes": lanes, "lag": lag, "used": used })
    };
    let tenants: Vec<_> = shown.control.tenants(&lanes).into_iter().map(tenant).collect();
    let waiting: u64 = shown.clickhouses.all().iter().map(|sink| sink.stats().totals().waiting).sum();
    answer(&shown, &lanes, |_| true, waiting, json!({ "tenants": tenants, "memory": memory(&shown.memory) }))
}

fn memory(memory: &Memory) -> serde_json::Value {
    json!({ "held_bytes": memory.held(), "limit_bytes": memory.limit() })
}

/// The same of one tenant alone: 503 also where its file was never right, so that nothing of it runs.
async fn health_of(State(shown): State<Shown>, Path(name): Path<String>) -> Response {
    let lanes: Vec<_> = shown.lanes.all().into_iter().filter(|lane| lane.id.tenant == name).collect();
    let Some(tenant) = shown.control.tenants(&lanes).into_iter().find(|tenant| tenant.tenant == name) else {
        let body = json!({ "error": format!("there is no tenant {name}") });
        return (StatusCode::NOT_FOUND, Json(body)).into_response();
    };
    let sink = shown.control.tenants.get(&name).and_then(|tenant| shown.clickhouses.of(&tenant).ok());
    let waiting = sink.map_or(0, |sink| sink.stats().totals().waiting);
    let used = used(&shown.cpu, &shown.memory).remove(&name).unwrap_or_default();
    let body = json!({ "tenant": tenant, "used": used });
    let mut response = answer(&shown, &lanes, |of| of == name, waiting, body);
    if tenant.is_troubled() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

fn answer(
    shown: &Shown,
    lanes: &[Arc<LaneStatus>],
    of: impl Fn(&str) -> bool,
    waiting: u64,
    mut body: serde_json::Value,
) -> Response {
    let waits = |lane: &LaneStatus| lane.waits().filter(|(_, time)| *time >= LONG).map(|(what, _)| what.as_str());
    let views: Vec<_> = lanes.iter().map(|lane| (lane.id.to_string(), lane.view(), waits(lane))).collect();
    let troubled = views.iter().any(|(_, view, _)| is_troubled(&view.state, view.trouble.as_deref()));
    let lane = |(id, view, waits): &(String, LaneView, Option<&str>)| {
        json!({
            "lane": id,
            "state": view.state.as_str(),
            "error": view.state.error().or(view.trouble.as_deref()),
            "epoch": view.epoch,
            "committed": view.committed,
            "end": view.lag.map(|lag| lag.end),
            "in_flight": view.in_flight,
            "breaker": view.breaker,
            "waits": waits,
        })
    };
    let healthy = !troubled && waiting == 0;
    body["status"] = json!(if healthy { "ok" } else { "degraded" });
    body["inserts_waiting_for_clickhouse"] = json!(waiting);
    body["warnings"] = json!(warnings(shown, &of));
    body["schema_changes"] = json!(schema_changes(shown, &of));
    body["lanes"] = views.iter().map(lane).collect();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The last change of each topic's rows.
fn schema_changes(shown: &Shown, of: impl Fn(&str) -> bool) -> Vec<serde_json::Value> {
    let change = |Change { lane, range, findings }: Change| {
        let findings: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
        json!({ "lane": lane.to_string(), "offsets": [range.start, range.end], "changes": findings })
    };
    shown.lanes.drift().changes().into_iter().filter(|change| of(&change.lane.tenant)).map(change).collect()
}

fn warnings(shown: &Shown, of: impl Fn(&str) -> bool) -> Vec<String> {
    let failing = |(plugin, counts): (PluginKey, Counts)| {
        let words = format!(
            "plugin {plugin} set {} of {} messages aside in the last {} s: engine dlq list --plugin {plugin}",
            counts.dead,
            counts.messages,
            WINDOW.as_secs()
        );
        (plugin, words)
    };
    let wrong = |(plugin, seen): (PluginKey, Seen)| {
        let words = format!(
            "of the committed rows of plugin {plugin}, {} are not in their tables and {} are there more than once: \
             engine verify {plugin}",
            seen.missing, seen.double
        );
        (plugin, words)
    };
    let parks = |lane: Arc<LaneStatus>| {
        let breaker = lane.view().breaker.filter(|breaker| breaker.policy == FailurePolicy::Park.as_str())?;
        let (id, plugin, why) = (&lane.id, lane.id.key(), breaker.why);
        let words = format!(
            "lane {id} parks its messages, as the plugin fails: {why}. When it works again: engine dlq replay --plugin \
             {plugin} --code parked"
        );
        Some((plugin, words))
    };
    let parked = shown.lanes.all().into_iter().filter_map(parks);
    let warnings = shown.metrics.failing().into_iter().map(failing).chain(shown.metrics.wrong().into_iter().map(wrong));
    let warnings = warnings.chain(parked).chain(shown.lanes.warnings()).chain(shown.control.deployments.warnings());
    let warnings = warnings.map(|(plugin, words)| (plugin.tenant, words)).chain(shown.control.tenants.warnings());
    warnings.filter(|(tenant, _)| of(tenant)).map(|(_, words)| words).collect()
}
