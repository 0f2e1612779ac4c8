//! The control API: what runs, and an operator's word.
//!
//! | request | |
//! |---|---|
//! | `GET /plugins` | each plugin's version, its newcomer with figures or differences, what was refused: [`PluginStatus`] |
//! | `GET /plugins/NAME/history` | what ran when, oldest first: [`crate::deploy::Entry`] |
//! | `POST /plugins/NAME/rollback`, `pin`, `unpin`, `promote` | `{"to": "DIGEST"}` says to which version, where there is a choice |
//! | `GET /tenants` | how each tenant stands, and what is wrong in its file: [`TenantStatus`] |
//! | `POST /tenants/NAME/pause`, `resume` | its lanes end what is open, and its rows wait in Kafka; or they go on |
//!
//! A plugin of a tenant is `/plugins/TENANT/NAME/…`.
//!
//! **Who may.** Without a token, requests from this machine's own addresses alone: not such that come through a proxy, which
//! would be anybody's, nor from a web page. With a token in the environment variable [`TOKEN`], whoever gives it as
//! `Authorization: Bearer`, from anywhere; nobody else. Samples in answers are rows: whoever may ask may read them.
//! No answer holds a setting.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::deploy::status::PluginStatus;
use crate::deploy::{Command, Deployments, History, Order, OrderError, Plugins};
use crate::engine::Lanes;
use crate::lane_status::LaneStatus;
use crate::offsets::{DEFAULT_TENANT, PluginKey};
use crate::tenants::Tenants;
use crate::tenants::status::TenantStatus;

/// The environment variable with the token.
pub const TOKEN: &str = "ENGINE_CONTROL_TOKEN";

/// What the control API works on.
#[derive(Clone, Debug)]
pub struct Control {
    /// What runs.
    pub plugins: Plugins,
    /// What has become of what the folders hold.
    pub deployments: Deployments,
    /// What ran.
    pub history: History,
    /// To whom orders are given.
    pub orders: mpsc::Sender<Order>,
    /// Whose plugins they are.
    pub tenants: Tenants,
}

async fn plugins(State((control, lanes)): State<(Control, Lanes)>) -> Response {
    match control.statuses(&lanes) {
        Ok(all) => Json(all).into_response(),
        Err(error) => unreadable(&error),
    }
}

async fn history_of_default(state: State<(Control, Lanes)>, Path(name): Path<String>) -> Response {
    history(state, Path((DEFAULT_TENANT.to_owned(), name))).await
}

async fn history(
    State((control, _)): State<(Control, Lanes)>,
    Path((tenant, name)): Path<(String, String)>,
) -> Response {
    let key = PluginKey { tenant, name };
    if let Err(response) = control.runs(&key) {
        return response;
    }
    match control.history.of(&key) {
        Ok(entries) => Json(entries).into_response(),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &std::io::Error) -> Response {
    refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("the history of plugins can't be read: {error}"))
}

async fn command_of_default(
    state: State<(Control, Lanes)>,
    Path((name, verb)): Path<(String, String)>,
    body: Option<Json<CommandBody>>,
) -> Response {
    command(state, Path((DEFAULT_TENANT.to_owned(), name, verb)), body).await
}

async fn command(
    State((control, _)): State<(Control, Lanes)>,
    Path((tenant, name, verb)): Path<(String, String, String)>,
    body: Option<Json<CommandBody>>,
) -> Response {
    let CommandBody { to } = body.map(|Json(body)| body).unwrap_or_default();
    let command = match (verb.as_str(), to) {
        ("rollback", to) => Command::Rollback { to },
        ("pin", to) => Command::Pin { to },
        ("unpin", None) => Command::Unpin,
        ("promote", None) => Command::Promote,
        ("unpin" | "promote", Some(_)) => {
            return refused(StatusCode::BAD_REQUEST, &format!("{verb} has no choice of versions: leave \"to\" out"));
        }
        _ => {
            let why = format!("there is no {verb}: one of rollback, pin, unpin, promote");
            return refused(StatusCode::NOT_FOUND, &why);
        }
    };
    let plugin = PluginKey { tenant, name };
    if let Err(response) = control.runs(&plugin) {
        return response;
    }
    let (answer, answered) = oneshot::channel();
    let order = Order { plugin, command, answer };
    if control.orders.send(order).await.is_err() {
        return stopping();
    }
    match answered.await {
        Ok(Ok(done)) => Json(json!({ "done": done })).into_response(),
        Ok(Err(error @ OrderError::UnknownPlugin { .. })) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Ok(Err(error @ OrderError::Refused(_))) => refused(StatusCode::CONFLICT, &error.to_string()),
        Err(_) => stopping(),
    }
}

async fn tenants(State((control, lanes)): State<(Control, Lanes)>) -> Response {
    Json(control.tenants(&lanes.all())).into_response()
}

async fn tenant_command(
    State((control, _)): State<(Control, Lanes)>,
    Path((name, verb)): Path<(String, String)>,
) -> Response {
    let tenants = control.tenants;
    if !tenants.knows(&name) {
        let names: Vec<_> = tenants.all().into_keys().collect();
        return refused(StatusCode::NOT_FOUND, &format!("there is no tenant {name}: {}", names.join(", ")));
    }
    let asked = name.clone();
    let done = tokio::task::spawn_blocking(move || {
        let paused = |new| if new { "is paused: its rows wait in Kafka" } else { "is paused already" };
        let resumed = |was| if was { "goes on" } else { "was not paused" };
        Some(match verb.as_str() {
            "pause" => tenants.pause(&asked, SystemClock.now_ms()).map(paused),
            "resume" => tenants.resume(&asked).map(resumed),
            _ => return None,
        })
    });
    match done.await {
        Ok(Some(Ok(done))) => {
            tracing::info!(tenant = name, "by an operator's word the tenant {done}");
            Json(json!({ "done": format!("tenant {name} {done}") })).into_response()
        }
        Ok(Some(Err(error))) => {
            let why = format!("it can't be written down, so nothing has changed: {error}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, &why)
        }
        Ok(None) => refused(StatusCode::NOT_FOUND, "there is no such command: one of pause, resume"),
        Err(_) => stopping(),
    }
}

fn stopping() -> Response {
    refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping")
}

impl Control {
    /// All plugins: those that run, and those of which a folder holds nothing that could.
    fn statuses(&self, lanes: &Lanes) -> std::io::Result<Vec<PluginStatus>> {
        let lanes = lanes.all();
        let deployed = self.deployments.all();
        let status = |key: PluginKey| {
            let versions = self.plugins.get(&key);
            let history = self.history.of(&key)?;
            let deployment = deployed.get(&key);
            Ok(PluginStatus::of(key, versions.as_deref(), deployment, &history, &lanes))
        };
        self.keys().into_iter().map(status).collect()
    }

    fn keys(&self) -> BTreeSet<PluginKey> {
        let running = self.plugins.all();
        self.deployments.all().into_keys().chain(running.iter().map(|versions| versions.key().clone())).collect()
    }

    /// How the tenants stand.
    pub(super) fn tenants(&self, lanes: &[Arc<LaneStatus>]) -> Vec<TenantStatus> {
        self.tenants.statuses(&self.keys().into_iter().collect::<Vec<_>>(), lanes)
    }

    /// Whether a plugin runs.
    #[expect(clippy::result_large_err, reason = "the answer to the request")]
    fn runs(&self, key: &PluginKey) -> Result<(), Response> {
        if self.plugins.get(key).is_some() {
            return Ok(());
        }
        let all: Vec<_> = self.plugins.all().iter().map(|versions| versions.key().to_string()).collect();
        let why = format!("no plugin {key} runs; those that run: {}", all.join(", "));
        Err(refused(StatusCode::NOT_FOUND, &why))
    }
}

/// The body of a command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandBody {
    /// How the version begins, as [`crate::deploy::VersionId`] is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The digest of the token, so that comparing takes the same time whatever is given; none: there is no token.
#[derive(Clone, Copy, Debug)]
struct Guard(Option<[u8; 32]>);

/// The routes; `token` is asked for with each request, if there is one.
pub(super) fn routes(control: Control, lanes: Lanes, token: Option<&str>) -> Router {
    let guard = Guard(token.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into()));
    let routes = Router::new()
        .route("/plugins", get(plugins))
        .route("/plugins/{name}/history", get(history_of_default))
        .route("/plugins/{name}/{verb}", post(command_of_default))
        .route("/plugins/{tenant}/{name}/history", get(history))
        .route("/plugins/{tenant}/{name}/{verb}", post(command))
        .route("/tenants", get(tenants))
        .route("/tenants/{name}/{verb}", post(tenant_command));
    routes.with_state((control, lanes)).layer(from_fn_with_state(guard, guarded))
}

async fn guarded(State(guard): State<Guard>, from: ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    match guard.refuses(from.0.ip(), request.headers()) {
        None => next.run(request).await,
        Some((status, why)) => refused(status, &why),
    }
}

impl Guard {
    /// Why a request is refused, if it is.
    fn refuses(self, from: IpAddr, headers: &HeaderMap) -> Option<(StatusCode, String)> {
        let Some(expected) = self.0 else {
            return from_elsewhere(from, headers).map(|why| (StatusCode::FORBIDDEN, why));
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        let given: [u8; 32] = Sha256::digest(given.unwrap_or_default().trim()).into();
        let differing = given.iter().zip(expected).fold(0, |sum, (given, expected)| sum | (given ^ expected));
        (differing != 0).then(|| {
            let why = format!("a token is wanted, as Authorization: Bearer; commands take it from {TOKEN}");
            (StatusCode::UNAUTHORIZED, why)
        })
    }
}

/// Why a request is not this machine's own, if it is not.
fn from_elsewhere(from: IpAddr, headers: &HeaderMap) -> Option<String> {
    let remedy = format!("set {TOKEN} for the engine, and for whoever asks");
    if !from.to_canonical().is_loopback() {
        return Some(format!("only requests from this machine itself are answered: {remedy}"));
    }
    let through =
        ["forwarded", "x-forwarded-for", "x-real-ip", "via"].into_iter().find(|name| headers.contains_key(*name));
    if let Some(through) = through {
        return Some(format!("the request has come through a proxy (it has the header {through}): {remedy}"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Some(format!("web pages are not answered: {remedy}"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    (!names_this_machine(host)).then(|| format!("the request is for another host: ask 127.0.0.1, or {remedy}"))
}

/// Whether a `Host` is a loopback address or `localhost`: any other name may be made to point here, by whoever owns it.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HERE: &str = "127.0.0.1";

    fn asked(token: Option<&str>, from: &str, headers: &[(&'static str, &str)]) -> Option<u16> {
        let guard = Guard(token.map(|token| Sha256::digest(token).into()));
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        guard.refuses(from.parse().unwrap(), &headers).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn without_a_token_this_machine_alone_is_answered() {
        let host = ("host", "127.0.0.1:8080");
        assert_eq!(asked(None, HERE, &[host]), None);
        assert_eq!(asked(None, "::1", &[("host", "[::1]:8080")]), None);
        assert_eq!(asked(None, "::ffff:127.0.0.1", &[("host", "localhost")]), None);
        assert_eq!(asked(None, "10.0.0.7", &[host]), Some(403));
        assert_eq!(asked(None, HERE, &[host, ("x-forwarded-for", "10.0.0.7")]), Some(403));
        assert_eq!(asked(None, HERE, &[host, ("origin", "https://example.org")]), Some(403));
        // A name that somebody else has made to point to this machine.
        assert_eq!(asked(None, HERE, &[("host", "rebound.example.org:8080")]), Some(403));
        assert_eq!(asked(None, HERE, &[]), Some(403));
    }

    #[test]
    fn with_a_token_whoever_has_it_is_answered_and_nobody_else() {
        let give = |value: &str| asked(Some("secret"), "10.0.0.7", &[("authorization", value)]);
        assert_eq!(give("Bearer secret"), None);
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret"] {
            assert_eq!(give(wrong), Some(401), "{wrong}");
        }
        assert_eq!(asked(Some("secret"), HERE, &[("host", HERE)]), Some(401));
    }
}
