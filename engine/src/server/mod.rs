//! HTTP: metrics and health, to be read; and the control API, which listens to an operator.

pub mod control;
mod threads;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::FailurePolicy;
use crate::engine::Lanes;
use crate::lane_status::{LaneState, LaneStatus, LaneView};
use crate::metrics::{Counts, InsertTotals, Metrics, WINDOW};
use crate::plan::drift::Change;
use crate::sink::ClickHouse;
use crate::verify::watch::Seen;

use control::Control;
use threads::cpu_seconds;

/// What the server shows.
#[derive(Clone)]
pub struct Shown {
    /// The lanes.
    pub lanes: Lanes,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The sink, for its counters.
    pub clickhouse: Arc<ClickHouse>,
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
    let routes = Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(shown);
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
pub fn thread_stages(clickhouse: &ClickHouse) -> Vec<(&'static str, f64)> {
    let encode = clickhouse.stats().encode_time().as_secs_f64();
    let mut stages = cpu_seconds();
    if let Some((_, insert)) = stages.iter_mut().find(|(stage, _)| *stage == "insert") {
        *insert = (*insert - encode).max(0.0);
    }
    stages.push(("encode", encode));
    stages
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let text =
        shown.metrics.render(&shown.lanes.all(), &insert_totals(&shown.clickhouse), &thread_stages(&shown.clickhouse));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

fn insert_totals(clickhouse: &ClickHouse) -> InsertTotals {
    let stats = clickhouse.stats();
    let totals = stats.totals();
    InsertTotals {
        inserts: totals.inserts,
        rows: totals.rows,
        bytes: totals.bytes,
        waiting: totals.waiting,
        failures: stats.failures().map(|(cause, count)| (cause.as_str(), count)).collect(),
    }
}

/// 200 when every lane does its work, 503 when one waits or has stopped; the body says which and why. What goes on but
/// wants somebody's eyes is a warning.
async fn health(State(shown): State<Shown>) -> Response {
    let lanes = shown.lanes.all();
    let views: Vec<_> = lanes.iter().map(|lane| (lane.id.to_string(), lane.view())).collect();
    let troubled = views.iter().any(|(_, view)| {
        let LaneView { state, trouble, .. } = view;
        matches!(state, LaneState::Waiting { .. } | LaneState::Failing { .. } | LaneState::Halted { .. })
            || trouble.is_some()
    });
    let waiting = shown.clickhouse.stats().totals().waiting;
    let lanes: Vec<_> = views
        .iter()
        .map(|(id, view)| {
            json!({
                "lane": id,
                "state": view.state.as_str(),
                "error": view.state.error().or(view.trouble.as_deref()),
                "epoch": view.epoch,
                "committed": view.committed,
                "end": view.lag.map(|lag| lag.end),
                "in_flight": view.in_flight,
                "breaker": view.breaker,
            })
        })
        .collect();
    let healthy = !troubled && waiting == 0;
    let body = json!({
        "status": if healthy { "ok" } else { "degraded" },
        "inserts_waiting_for_clickhouse": waiting,
        "warnings": warnings(&shown),
        "schema_changes": schema_changes(&shown),
        "lanes": lanes,
    });
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The last change of each topic's rows.
fn schema_changes(shown: &Shown) -> Vec<serde_json::Value> {
    let change = |Change { lane, range, findings }: Change| {
        let findings: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
        json!({ "lane": lane.to_string(), "offsets": [range.start, range.end], "changes": findings })
    };
    shown.lanes.drift().changes().into_iter().map(change).collect()
}

fn warnings(shown: &Shown) -> Vec<String> {
    let failing = |(plugin, counts): (String, Counts)| {
        format!(
            "plugin {plugin} set {} of {} messages aside in the last {} s: engine dlq list --plugin {plugin}",
            counts.dead,
            counts.messages,
            WINDOW.as_secs()
        )
    };
    let wrong = |(plugin, seen): (String, Seen)| {
        format!(
            "of the committed rows of plugin {plugin}, {} are not in their tables and {} are there more than once: \
             engine verify {plugin}",
            seen.missing, seen.double
        )
    };
    let parks = |lane: Arc<LaneStatus>| {
        let breaker = lane.view().breaker.filter(|breaker| breaker.policy == FailurePolicy::Park.as_str())?;
        let (id, plugin, why) = (&lane.id, &lane.id.plugin, breaker.why);
        Some(format!(
            "lane {id} parks its messages, as the plugin fails: {why}. When it works again: engine dlq replay --plugin \
             {plugin} --code parked"
        ))
    };
    let parked = shown.lanes.all().into_iter().filter_map(parks);
    let warnings = shown.metrics.failing().into_iter().map(failing).chain(shown.metrics.wrong().into_iter().map(wrong));
    warnings.chain(parked).chain(shown.lanes.warnings()).chain(shown.control.deployments.warnings()).collect()
}
