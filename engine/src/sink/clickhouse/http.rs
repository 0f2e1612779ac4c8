//! One request to ClickHouse's HTTP interface, and its answer read with distrust.
//!
//! **Promise.** `Ok` means: ClickHouse itself answered 200, the answer arrived whole, and it holds no exception.
//! Anything else is a [`Trouble`] with its cause. Nothing is repeated here, redirects are not followed.

use std::error::Error;
use std::time::Duration;

use arrow_schema::ArrowError;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Body, StatusCode, Url};

use super::trouble::{Cause, Trouble};
use super::{ClickHouseSettings, SinkError};
use crate::disposition::in_words;
use crate::tls::{self, Tls};

/// Most bytes read of an answer: those of a table with ten thousand columns take about 1 MB.
const MOST_ANSWER_BYTES: usize = 16 << 20;

/// Idle connections are left alone after this long: servers before 23.9 close them after 3 s, and a request that
/// meets the closing is an open question that a new connection never raises.
const IDLE: Duration = Duration::from_millis(2500);

/// A server to ask.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    url: Url,
    credentials: HeaderMap,
}

/// Name and value of a header.
pub(super) type Header<'a> = (&'static str, &'a str);

/// A whole answer without an exception.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Rows written, those of materialized views included.
    pub(super) written_rows: Option<u64>,
}

/// HTTP clients by how long they take to connect, and by certificates: each has authorities and connections of its own, some MB
/// of them.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<(Duration, Tls, reqwest::Client)>);

impl Clients {
    fn with(&mut self, settings: &ClickHouseSettings) -> Result<reqwest::Client, reqwest::Error> {
        let ClickHouseSettings { connect_timeout, tls, .. } = settings;
        if let Some((.., client)) = self.0.iter().find(|(timeout, of, _)| timeout == connect_timeout && of == tls) {
            return Ok(client.clone());
        }
        let client =
            tls.client()?.connect_timeout(*connect_timeout).pool_idle_timeout(IDLE).tcp_nodelay(true).build()?;
        self.0.push((*connect_timeout, tls.clone(), client.clone()));
        Ok(client)
    }
}

impl Http {
    pub(super) fn new(clients: &mut Clients, settings: &ClickHouseSettings) -> Result<Self, SinkError> {
        let denied = |message: String| SinkError::Denied { message };
        let url = Url::parse(&settings.url).map_err(|error| denied(format!("`{}`: {error}", settings.url)))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(denied(format!("`{}` is not an address like http://host:8123", settings.url)));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(denied("the address holds a user or password; they have settings of their own".into()));
        }
        let mut credentials = HeaderMap::new();
        for (name, text) in [("x-clickhouse-user", &settings.user), ("x-clickhouse-key", &settings.password.0)] {
            let value = HeaderValue::from_bytes(text.as_bytes());
            let mut value = value.map_err(|_| denied(format!("{name} holds a character that HTTP can't carry")))?;
            value.set_sensitive(true);
            credentials.insert(name, value);
        }
        let client = clients.with(settings).map_err(|error| denied(format!("no HTTP client: {}", in_words(&error))))?;
        Ok(Self { client, url, credentials })
    }

    /// Sends one request. `query` goes into the address if there is a body of rows, else into the body. Rows come with the
    /// header that says how they are written, where they need one.
    pub(super) async fn post(
        &self,
        query: &str,
        settings: &[(&str, String)],
        rows: Option<(Body, Option<Header<'_>>)>,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(settings);
        let mut request = self.client.post(Url::clone(&url)).headers(self.credentials.clone()).timeout(timeout);
        request = match rows {
            None => request.body(query.to_owned()),
            Some((body, header)) => {
                url.query_pairs_mut().append_pair("query", query);
                let request = self.client.post(url).headers(self.credentials.clone()).timeout(timeout).body(body);
                match header {
                    Some((name, value)) => request.header(name, value),
                    None => request,
                }
            }
        };
        let response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = read_whole(response).await?;
        judge(status, &headers, text)
    }
}

async fn read_whole(mut response: reqwest::Response) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if bytes.len() + chunk.len() > MOST_ANSWER_BYTES {
            let message = format!("the answer is longer than {MOST_ANSWER_BYTES} bytes");
            return Err(Trouble { cause: Cause::NoVerdict, code: 0, message });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What an answer means that arrived whole.
fn judge(status: StatusCode, headers: &HeaderMap, text: String) -> Result<Answer, Trouble> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-clickhouse-exception-code").and_then(|code| code.parse().ok()).or_else(|| exception(&text));
    if let Some(code) = code {
        let message = shortened(&text);
        return Err(Trouble { cause: Cause::of_code(code, &message), code, message });
    }
    let trouble = |cause, message: String| Err(Trouble { cause, code: 0, message });
    let summary = header("x-clickhouse-summary");
    match status.as_u16() {
        // Every ClickHouse that knows tokens sends a summary; without it something else answered.
        200 if summary.is_none() => trouble(Cause::NoVerdict, "the answer is not ClickHouse's".into()),
        200 => Ok(Answer { written_rows: summary.and_then(written_rows), text }),
        300..=399 => {
            let to = header("location").unwrap_or("elsewhere");
            trouble(Cause::Redirect, format!("the address redirects to {to}: use that one"))
        }
        401 | 403 => trouble(Cause::Login, format!("HTTP {status}: {}", shortened(&text))),
        429 | 503 => trouble(Cause::Unavailable, format!("HTTP {status}: {}", shortened(&text))),
        _ => trouble(Cause::NoVerdict, format!("HTTP {status}: {}", shortened(&text))),
    }
}

/// The code of an exception in a body, where a header was lost on the way or came too early.
fn exception(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let (code, rest) = rest.split_once('.')?;
    rest.trim_start().starts_with("DB::Exception").then(|| code.parse().ok())?
}

fn written_rows(summary: &str) -> Option<u64> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    summary.get("written_rows")?.as_str()?.parse().ok()
}

/// ClickHouse's words without what only its developers need, and never long: some hold pieces of the input.
fn shortened(text: &str) -> String {
    let text = text.trim().split("\nStack trace").next().unwrap_or_default();
    let text = text.split_once("DB::Exception: ").map_or(text, |(_, message)| message);
    text.chars().take(500).collect()
}

/// What it means that there is no whole answer.
fn no_answer(error: reqwest::Error) -> Trouble {
    // Without the address: it holds the whole query.
    let error = error.without_url();
    let message = in_words(&error);
    if let Some(remedy) = tls::remedy(&message, "clickhouse") {
        return Trouble { cause: Cause::Certificate, code: 0, message: format!("{message}; {remedy}") };
    }
    let cause = if find::<ArrowError>(&error).is_some() {
        Cause::Encode
    } else if error.is_connect() {
        Cause::Connect
    } else if error.is_timeout() {
        Cause::Timeout
    } else {
        Cause::Broken
    };
    Trouble { cause, code: 0, message }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
