//! The alert: the report, posted to a webhook.
//!
//! **Promise.** `Ok` means that the receiver has answered with success. Where nobody answers, or says that it is busy, it is told
//! again a little later, so a receiver may be told twice. The address is never in a message: it holds secrets.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde_json::json;

use super::Report;
use crate::disposition::in_words;
use crate::tls::{Tls, remedy};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// Pauses before it is told again.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// An alert that nobody has taken.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The address is none.
    #[error("the webhook's address is not one like https://host/path")]
    Address,
    /// There is no client of HTTP.
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
    /// There was no answer.
    #[error("the webhook does not answer: {0}")]
    NoAnswer(String),
    /// The receiver does not take it.
    #[error("the webhook answers HTTP {0}")]
    Refused(StatusCode),
}

/// Posts `{"text": what is wrong in words, "report": all of it}`.
///
/// # Errors
/// Nobody has taken it.
pub async fn send(webhook: &str, report: &Report) -> Result<(), AlertError> {
    let url = Url::parse(webhook).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or(AlertError::Address)?;
    let client = Tls::default().client().and_then(|client| client.connect_timeout(CONNECT).timeout(ANSWER).build());
    let client = client.map_err(AlertError::Client)?;
    let body = json!({ "text": report.summary(), "report": report }).to_string();
    let mut pauses = AGAIN.iter();
    loop {
        match attempt(&client, url.clone(), body.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => match pauses.next().filter(|_| error.may_pass()) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            },
        }
    }
}

async fn attempt(client: &reqwest::Client, url: Url, body: String) -> Result<(), AlertError> {
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.send().await.map_err(|error| {
        let words = in_words(&error.without_url());
        AlertError::NoAnswer(remedy(&words, "alert").map_or(words.clone(), |remedy| format!("{words}; {remedy}")))
    })?;
    if answer.status().is_success() { Ok(()) } else { Err(AlertError::Refused(answer.status())) }
}

impl AlertError {
    /// Whether it may be otherwise a moment later.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Address | Self::Client(_) => false,
        }
    }
}
