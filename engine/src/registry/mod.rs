//! The schema registry: what schema a message's id stands for.
//!
//! **Promise.** A lane gets the answers for all ids of a batch before the batch is decoded, each the registry's own word:
//! a schema, or that there is none. While the registry can't be asked the lane waits; nothing is guessed and nothing is
//! set aside for it. Every schema is kept durably before it is first used (see [`Artifacts`]), so that an epoch is made
//! again without a registry, and a lane goes on without one as long as it meets no new id.
//! **Assumed.** A registry never gives an id to another schema. A registry that was wiped or exchanged does: what it says
//! is compared with what was kept, and the lane stops where they differ.
//! **After a crash** nothing here needs recovery: what is kept is asked for first.

mod client;
mod kept;
mod recorded;
mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use debezium_decode::avro::{self, Registered, schema_id};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::batch::RawBatch;
use crate::disposition::in_words;

use client::{Client, Trouble};
use recorded::Recorded;

pub use kept::KeptSchema;
pub use settings::RegistrySettings;

/// Pauses between attempts on a registry that does not answer: the first, doubled with each failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A registry's follower may not have heard yet of a schema that was registered just before its first message: only the
/// second no is believed.
const SECOND_ASKING: Duration = Duration::from_secs(1);
/// How long an answer is believed: after it the registry is asked again, to notice that it was wiped under a running
/// engine, or that an id was restored.
const BELIEVED: Duration = Duration::from_secs(600);

/// The schemas of a batch.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// For the decoder; none: there is no registry.
    pub answers: Option<Arc<avro::Registry>>,
    /// For the intent: the digest of each schema, by id; `None` where the registry had no schema of that id.
    pub digests: Option<BTreeMap<u32, Option<String>>>,
}

/// A schema registry, with what it has said so far.
#[derive(Debug)]
pub struct Registry {
    origin: Origin,
    artifacts: Artifacts,
    known: Mutex<HashMap<u32, Known>>,
    /// Held while the registry is asked: lanes that need the same schema ask once.
    asking: tokio::sync::Mutex<Health>,
}

/// Who answers.
#[derive(Debug)]
enum Origin {
    Server(Box<Client>),
    File(Recorded),
}

/// An answer, as it is remembered.
#[derive(Clone, Debug)]
struct Known {
    answer: Registered,
    digest: Option<String>,
    /// When the registry said so; none: it could not be asked, and the answer is the kept one.
    said: Option<Instant>,
}

/// How the registry does.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    /// Until when it is not asked again, and why.
    down: Option<(Instant, String)>,
}

/// Why a batch's schemas can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings make no client.
    #[error("registry: {message}")]
    Settings {
        /// In words.
        message: String,
    },
    /// It has another schema under an id than the one that was kept.
    #[error(
        "the schema registry {registry} has another schema under id {id} than before: it was wiped or exchanged. Messages \
         of both may lie in the topic, and nothing in them tells which is meant. If no message of the old registry is left \
         to be read, delete {file} and start again; otherwise read those first, with the old registry's schemas"
    )]
    Replaced {
        /// Its address.
        registry: String,
        /// The id.
        id: u32,
        /// What says which schema was kept.
        file: String,
    },
    /// It can't be asked, and whoever wants to know does not wait for ever.
    #[error("{why}")]
    Away {
        /// In words.
        why: String,
    },
    /// A schema can't be kept.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// What one attempt comes to.
enum Attempt {
    All(Schemas),
    /// The registry can't be asked, in words, until then.
    Down(String, Instant),
}

impl Registry {
    /// A registry that was not asked yet. What it says is kept in `artifacts`.
    ///
    /// # Errors
    /// The settings make no client.
    pub fn new(settings: &RegistrySettings, artifacts: Artifacts) -> Result<Self, RegistryError> {
        let origin = match settings.url.strip_prefix("file:") {
            Some(path) => Origin::File(Recorded::read(path)?),
            None => Origin::Server(Box::new(Client::new(settings)?)),
        };
        Ok(Self { origin, artifacts, known: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// The schemas of all keys and values of a batch. Waits for as long as the registry can't be asked for one that is
    /// not kept, and says to `waits_for` why; `None`: no more.
    ///
    /// # Errors
    /// The registry was exchanged, or the disk fails.
    pub async fn schemas_of(
        &self,
        raw: &RawBatch,
        mut waits_for: impl FnMut(Option<String>),
    ) -> Result<Schemas, RegistryError> {
        let ids = ids_of(raw);
        if ids.is_empty() {
            return Ok(Schemas::default());
        }
        loop {
            match self.attempt(&ids).await? {
                Attempt::All(schemas) => {
                    waits_for(None);
                    return Ok(schemas);
                }
                Attempt::Down(words, until) => {
                    waits_for(Some(words));
                    sleep_until(until).await;
                }
            }
        }
    }

    /// The same for a person, who does not wait for ever.
    ///
    /// # Errors
    /// [`RegistryError::Away`] after so long, or as [`Registry::schemas_of`].
    pub async fn schemas_within(&self, raw: &RawBatch, patience: Duration) -> Result<Schemas, RegistryError> {
        let mut why = String::new();
        let schemas = self.schemas_of(raw, |words| why = words.unwrap_or_default());
        match timeout(patience, schemas).await {
            Ok(schemas) => schemas,
            Err(_) => Err(RegistryError::Away { why }),
        }
    }

    /// One schema, asked for once: for looking at messages.
    pub async fn schema(&self, id: u32) -> Option<Arc<avro::Schema>> {
        let schemas = match self.attempt(&BTreeSet::from([id])).await {
            Ok(Attempt::All(schemas)) => schemas,
            Ok(Attempt::Down(..)) | Err(_) => return None,
        };
        match schemas.answers?.get(&id)? {
            Registered::Schema(schema) => Some(schema.clone()),
            Registered::NotAvro | Registered::Unknown => None,
        }
    }

    async fn attempt(&self, ids: &BTreeSet<u32>) -> Result<Attempt, RegistryError> {
        if let Some(schemas) = self.remembered(ids, |known| known.said.is_some_and(|said| said.elapsed() < BELIEVED)) {
            return Ok(Attempt::All(schemas));
        }
        let mut health = self.asking.lock().await;
        let mut down = health.down.clone().filter(|(until, _)| Instant::now() < *until);
        for id in ids {
            let fresh = |known: &Known| known.said.is_some_and(|said| said.elapsed() < BELIEVED);
            if self.known().get(id).is_some_and(fresh) {
                continue;
            }
            if down.is_none() {
                match self.ask(*id).await {
                    Ok(answer) => {
                        *health = Health::default();
                        self.believe(*id, answer)?;
                        continue;
                    }
                    Err(trouble) => down = Some(self.note(&mut health, *id, &trouble)),
                }
            }
            if !self.known().contains_key(id)
                && let Some((digest, kept)) = self.artifacts.kept_schema(self.origin.name(), *id)?
            {
                self.remember(*id, kept.parse(*id), Some(digest), None);
            }
        }
        match (self.remembered(ids, |_| true), down) {
            (Some(schemas), _) => Ok(Attempt::All(schemas)),
            (None, Some((until, words))) => Ok(Attempt::Down(words, until)),
            (None, None) => unreachable!("each id was answered, or the registry is down"),
        }
    }

    /// All answers, where each is there and good enough.
    fn remembered(&self, ids: &BTreeSet<u32>, good: impl Fn(&Known) -> bool) -> Option<Schemas> {
        let known = self.known();
        let (mut answers, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for id in ids {
            let known = known.get(id).filter(|known| good(known))?;
            answers.insert(*id, known.answer.clone());
            digests.insert(*id, known.digest.clone());
        }
        Some(Schemas { answers: Some(Arc::new(answers)), digests: Some(digests) })
    }

    async fn ask(&self, id: u32) -> Result<Option<KeptSchema>, Trouble> {
        let client = match &self.origin {
            Origin::Server(client) => client,
            Origin::File(recorded) => return Ok(recorded.schema(id)),
        };
        let first = client.schema(id).await?;
        if first.is_some() || self.known().contains_key(&id) {
            return Ok(first);
        }
        sleep(SECOND_ASKING).await;
        client.schema(id).await
    }

    /// Compares what the registry says with what was kept, and keeps it.
    fn believe(&self, id: u32, answer: Option<KeptSchema>) -> Result<(), RegistryError> {
        let kept = self.artifacts.kept_schema(self.origin.name(), id)?;
        let said = Some(Instant::now());
        match (answer, kept) {
            (None, None) => self.remember(id, Registered::Unknown, None, said),
            (None, Some((digest, kept))) => {
                tracing::warn!(
                    id,
                    registry = self.origin.url(),
                    "the registry has lost a schema; the kept one is used"
                );
                self.remember(id, kept.parse(id), Some(digest), said);
            }
            (Some(schema), Some((digest, _))) if digest != schema.digest() => {
                let file = self.artifacts.schema_index(self.origin.name(), id).display().to_string();
                return Err(RegistryError::Replaced { registry: self.origin.url().to_owned(), id, file });
            }
            (Some(schema), _) => {
                self.artifacts.keep_schema(self.origin.name(), id, &schema)?;
                self.remember(id, schema.parse(id), Some(schema.digest()), said);
            }
        }
        Ok(())
    }

    fn remember(&self, id: u32, answer: Registered, digest: Option<String>, said: Option<Instant>) {
        let mut known = self.known();
        // The same schema is not parsed and planned anew because the registry was asked again.
        let answer = known.get(&id).filter(|old| old.digest == digest).map_or(answer, |old| old.answer.clone());
        known.insert(id, Known { answer, digest, said });
    }

    /// Notes a failed attempt, and says until when there is no other.
    fn note(&self, health: &mut Health, id: u32, trouble: &Trouble) -> (Instant, String) {
        let words = format!("the schema registry can't be asked for schema {id}: {}", in_words(trouble));
        let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(health.failures)).min(PAUSES.1);
        health.failures = health.failures.saturating_add(1);
        tracing::warn!(registry = self.origin.url(), id, pause_ms = pause.as_millis(), error = %in_words(trouble), "the schema registry can't be asked");
        let down = (Instant::now() + pause, words);
        health.down = Some(down.clone());
        down
    }

    /// Entries are inserted whole, so a panic elsewhere leaves none half-made.
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// Its address.
    fn url(&self) -> &str {
        match self {
            Self::Server(client) => client.url(),
            Self::File(recorded) => recorded.url(),
        }
    }

    /// A name for files.
    fn name(&self) -> &str {
        match self {
            Self::Server(client) => client.name(),
            Self::File(recorded) => recorded.name(),
        }
    }
}

impl Schemas {
    /// The schemas that an epoch was decided with, from the artifacts.
    ///
    /// # Errors
    /// One is not there.
    pub fn of_intent(
        artifacts: &Artifacts,
        digests: Option<&BTreeMap<u32, Option<String>>>,
    ) -> Result<Self, ArtifactError> {
        let Some(digests) = digests else { return Ok(Self::default()) };
        let mut answers = BTreeMap::new();
        for (id, digest) in digests {
            let answer = match digest {
                Some(digest) => artifacts.schema(digest)?.parse(*id),
                None => Registered::Unknown,
            };
            answers.insert(*id, answer);
        }
        Ok(Self { answers: Some(Arc::new(answers)), digests: Some(digests.clone()) })
    }
}

/// The schema ids of a batch's keys and values.
fn ids_of(raw: &RawBatch) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut last = None;
    for message in &raw.messages {
        for bytes in [message.value(), message.key()].into_iter().flatten() {
            let id = schema_id(bytes);
            if id.is_some() && id != last {
                ids.extend(id);
                last = id;
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests;
