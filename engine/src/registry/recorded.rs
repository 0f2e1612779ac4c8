//! A registry's answers in a file: recordings of messages outlive the registry that they were made with.
//!
//! ```text
//! {"7": {"schema": "<its text>", "references": []}, …}
//! ```
//! The key is the schema's id, `schema` and `schemaType` are those of `GET /schemas/ids/{id}`, and `references` are the texts
//! of the schemas that it refers to, those first that others refer to.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{KeptSchema, RegistryError};

/// A file of answers.
#[derive(Debug)]
pub(super) struct Recorded {
    url: String,
    name: String,
    answers: BTreeMap<u32, Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<String>,
}

impl Recorded {
    pub(super) fn read(path: &str) -> Result<Self, RegistryError> {
        let wrong = |message: String| RegistryError::Settings { message: format!("{path}: {message}") };
        let bytes = std::fs::read(path).map_err(|error| wrong(format!("can't be read: {error}")))?;
        let answers = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("no answers of a schema registry, by the schemas' ids: {error}")))?;
        let name = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { url: format!("file:{path}"), name, answers })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A name for files: with other answers it is another registry.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The schema of an id; `None`: there is none.
    pub(super) fn schema(&self, id: u32) -> Option<KeptSchema> {
        let Answer { schema, kind, references } = self.answers.get(&id)?;
        let kind = kind.clone().unwrap_or_else(|| "AVRO".to_owned());
        Some(KeptSchema { kind, schema: schema.clone(), references: references.clone() })
    }
}
