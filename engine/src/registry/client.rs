//! Requests to a registry, in Confluent's REST interface ("Schema Registry API reference"), which Apicurio, Karapace and
//! Redpanda speak as well.
//!
//! **Promise.** An answer is a schema, or the registry's own word that there is none. A 404 of something else (another
//! server, a wrong path) is trouble, not an answer. Redirects are not followed: credentials go to the set address alone.

use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::settings::RegistrySettings;
use super::{KeptSchema, RegistryError};
use crate::disposition::in_words;
use crate::tls;

const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(15);
/// Most bytes of an answer: the widest tables' schemas are below 1 MiB.
const MOST_ANSWER_BYTES: usize = 16 << 20;
/// Most schemas that one may refer to.
const MOST_REFERENCES: usize = 1_000;
/// `Subject not found`, `Version not found`, `Schema not found`.
const NOT_FOUND: [u64; 3] = [40401, 40402, 40403];

/// A registry to ask.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: RegistrySettings,
    url: Url,
    name: String,
}

/// The registry can't be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer from {url}{remedy}")]
    Request {
        url: Url,
        remedy: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answers {status}: {hint}")]
    Status { url: Url, status: StatusCode, hint: &'static str },
    #[error("the answer of {url} is not a schema registry's")]
    Answer {
        url: Url,
        #[source]
        source: serde_json::Error,
    },
    #[error("the answer of {url} is longer than {MOST_ANSWER_BYTES} bytes")]
    TooLong { url: Url },
    #[error("schema {id} refers to more than {MOST_REFERENCES} others")]
    References { id: u32 },
    #[error("schema {id} refers to {subject}, version {version}, which the registry does not have")]
    Reference { id: u32, subject: String, version: u32 },
    #[error("the token file {path} can't be read")]
    Token {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// `GET /schemas/ids/{id}` and `GET /subjects/{subject}/versions/{version}`.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    subject: String,
    version: u32,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: u64,
}

/// References found so far.
#[derive(Default)]
struct Found {
    seen: HashSet<(String, u32)>,
    texts: Vec<String>,
}

impl Client {
    pub(super) fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let wrong = |message: String| RegistryError::Settings { message };
        let url = Url::parse(&settings.url).map_err(|error| wrong(format!("`{}`: {error}", settings.url)))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong(format!("`{}` is not an address like http://host:8081, nor file:PATH", settings.url)));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the address holds a user or password; they have settings of their own".into()));
        }
        let failed = |error: reqwest::Error| wrong(in_words(&error));
        let http = settings.tls.client().map_err(failed)?.connect_timeout(CONNECT).timeout(REQUEST);
        let name =
            Sha256::digest(url.as_str().trim_end_matches('/')).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(Self { http: http.build().map_err(failed)?, settings: settings.clone(), url, name })
    }

    /// The address.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// A name for files: another address is another registry, whose ids mean other schemas.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The schema of an id, with all that it refers to; `None`: there is none.
    pub(super) async fn schema(&self, id: u32) -> Result<Option<KeptSchema>, Trouble> {
        let Some(answer) = self.get(&["schemas", "ids", &id.to_string()]).await? else { return Ok(None) };
        let mut found = Found::default();
        self.references(id, answer.references.unwrap_or_default(), &mut found).await?;
        let kind = answer.kind.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Some(KeptSchema { kind, schema: answer.schema, references: found.texts }))
    }

    /// Adds what is referred to, those first that others refer to.
    fn references<'a>(
        &'a self,
        id: u32,
        references: Vec<Reference>,
        found: &'a mut Found,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            for Reference { subject, version } in references {
                if !found.seen.insert((subject.clone(), version)) {
                    continue;
                }
                if found.seen.len() > MOST_REFERENCES {
                    return Err(Trouble::References { id });
                }
                let answer = self.get(&["subjects", &subject, "versions", &version.to_string()]).await?;
                let answer = answer.ok_or(Trouble::Reference { id, subject, version })?;
                self.references(id, answer.references.unwrap_or_default(), found).await?;
                found.texts.push(answer.schema);
            }
            Ok(())
        }
        .boxed()
    }

    async fn get(&self, path: &[&str]) -> Result<Option<Answer>, Trouble> {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("checked: an address can be a base").pop_if_empty().extend(path);
        let failed = |source: reqwest::Error| {
            let source = source.without_url();
            let remedy = tls::remedy(&in_words(&source), "registry").map(|remedy| format!(" ({remedy})"));
            Trouble::Request { url: url.clone(), remedy: remedy.unwrap_or_default(), source }
        };
        let request = self.http.get(Url::clone(&url)).header("Accept", "application/vnd.schemaregistry.v1+json, */*");
        let mut response = self.with_credentials(request)?.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MOST_ANSWER_BYTES {
                return Err(Trouble::TooLong { url });
            }
            bytes.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK {
            return serde_json::from_slice(&bytes).map(Some).map_err(|source| Trouble::Answer { url, source });
        }
        let code = serde_json::from_slice::<Refusal>(&bytes).ok().map(|refusal| refusal.error_code);
        if status == StatusCode::NOT_FOUND && code.is_some_and(|code| NOT_FOUND.contains(&code)) {
            return Ok(None);
        }
        Err(Trouble::Status { url, status, hint: hint(status) })
    }

    fn with_credentials(&self, request: RequestBuilder) -> Result<RequestBuilder, Trouble> {
        if let Some(path) = &self.settings.token_file {
            let token = std::fs::read_to_string(path);
            let token = token.map_err(|source| Trouble::Token { path: path.display().to_string(), source })?;
            return Ok(request.bearer_auth(token.trim()));
        }
        Ok(match &self.settings.user {
            Some((user, password)) => request.basic_auth(user, Some(password.expose())),
            None => request,
        })
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check user, password or token below [registry]",
        StatusCode::NOT_FOUND => "no schema registry answers below this path: check registry.url",
        status if status.is_redirection() => "redirects are not followed: set the address itself as registry.url",
        _ => "it will be asked again",
    }
}
