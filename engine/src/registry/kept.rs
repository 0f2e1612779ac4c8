//! A schema as it is kept: all that is needed to read it again, in one text.

use std::sync::Arc;

use debezium_decode::avro::{Registered, Schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A schema with the schemas that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSchema {
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub kind: String,
    /// Its text.
    pub schema: String,
    /// The texts of the schemas that it refers to, those first that others refer to.
    pub references: Vec<String>,
}

impl KeptSchema {
    /// The text that is kept.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts are plain data")
    }

    /// SHA-256 of that text, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        Sha256::digest(self.to_json()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// For the decoder.
    pub(super) fn parse(&self, id: u32) -> Registered {
        if self.kind != "AVRO" {
            tracing::warn!(id, kind = self.kind, "a schema is not Avro: its messages can't be read");
            return Registered::NotAvro;
        }
        match Schema::parse(&self.schema, &self.references) {
            Ok(schema) => Registered::Schema(Arc::new(schema)),
            Err(error) => {
                tracing::warn!(id, %error, "a schema can't be read");
                Registered::NotAvro
            }
        }
    }
}
