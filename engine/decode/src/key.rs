//! The key of a message, read only where a delete's row needs it.

use std::sync::Arc;

use super::avro::{self, Avro, Registry};
use super::members::Members;
use super::reject::{Place, Refusal, Refused, RejectCode};
use super::rows::{Meaning, Rows};
use super::scan::Cursor;
use super::schema::{Schemas, Shape};

const INVALID_KEY: &Refusal = &Refusal {
    code: RejectCode::InvalidKey,
    reason: "the delete needs the message's key, which is neither a well-formed JSON object nor the Avro of its \
             schema",
};
const MISSING_KEY: &Refusal = &Refusal {
    code: RejectCode::MissingKey,
    reason: "the delete has no row before it, and the message's key is no JSON object or Avro record: nothing says \
             which row it deletes",
};

/// Reads keys, with or without their own embedded schema.
#[derive(Debug)]
pub(super) struct Keys {
    schemas: Schemas,
    members: Members<Meaning<()>>,
    avro: Avro,
}

impl Keys {
    /// For rows of columns that are read from these fields.
    pub(super) fn new(fields: &[String]) -> Self {
        Self { schemas: Schemas::new(Shape::Row, fields, &[]), members: Members::new(), avro: Avro::new(Shape::Row) }
    }

    /// What the schema registry says from now on.
    pub(super) fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.avro.set_registry(registry.clone());
    }

    /// Fills what the row has no value for from the key. False: there is no key, or it is no object and has no names
    /// (a connector with another key converter).
    pub(super) fn complete(&mut self, rows: &mut Rows, key: Option<&[u8]>) -> Result<bool, Refused> {
        self.read(rows, key.unwrap_or_default()).map_err(|refused| match (refused.place, refused.refusal.code) {
            (Place::Column(_), _) => refused,
            (_, RejectCode::UnknownSchema | RejectCode::NoRegistry) => Refused { place: Place::Key, ..refused },
            _ => Refused { place: Place::Key, refusal: INVALID_KEY },
        })
    }

    /// Fills a row from the key alone.
    pub(super) fn required(&mut self, rows: &mut Rows, key: Option<&[u8]>) -> Result<(), Refused> {
        if self.complete(rows, key)? {
            return Ok(());
        }
        Err(Refused { place: Place::Key, refusal: MISSING_KEY })
    }

    fn read(&mut self, rows: &mut Rows, key: &[u8]) -> Result<bool, Refused> {
        if avro::is_framed(key) {
            return self.avro.key(rows, &self.schemas, key);
        }
        if Cursor::new(key, 0).peek() != Some(b'{') {
            return Ok(false);
        }
        let mut payload = self.schemas.open(key)?;
        if payload.cursor.peek() != Some(b'{') {
            return Ok(false);
        }
        rows.read(&mut self.members, &mut payload.cursor, &payload.wires.row, |_| None, |(), _| Ok(()))?;
        payload.end()?;
        Ok(true)
    }
}
