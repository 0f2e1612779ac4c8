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
    /// Whether they are MongoDB's, and the rows have an `_id`.
    of_documents: bool,
    avro: Avro,
}

impl Keys {
    /// For rows of columns that are read from these fields.
    pub(super) fn new(fields: &[String]) -> Self {
        Self {
            schemas: Schemas::new(Shape::Row, fields, &[]),
            members: Members::new(),
            of_documents: false,
            avro: Avro::new(Shape::Row),
        }
    }

    /// Says whether the next keys are MongoDB's, and their `id` is the rows' `_id`.
    pub(super) fn of_documents(&mut self, of_documents: bool) {
        self.of_documents = of_documents;
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
            let is_document = rows.has(b"_id") && !rows.has(b"id");
            return match self.avro.json(key).filter(|_| is_document) {
                Some(json) => self.json(rows, &json),
                None => self.avro.key(rows, &self.schemas, key),
            };
        }
        self.json(rows, key)
    }

    fn json(&mut self, rows: &mut Rows, key: &[u8]) -> Result<bool, Refused> {
        if Cursor::new(key, 0).peek() != Some(b'{') {
            return Ok(false);
        }
        let mut payload = self.schemas.open(key)?;
        if payload.cursor.peek() != Some(b'{') {
            return Ok(false);
        }
        if self.of_documents {
            let start = payload.cursor;
            if let Some(read) = document_id(rows, start)? {
                return Ok(read);
            }
        }
        rows.read(&mut self.members, &mut payload.cursor, &payload.wires.row, |_| None, |(), _| Ok(()))?;
        payload.end()?;
        Ok(true)
    }
}

/// MongoDB's keys: `{"id": "…"}`, extended JSON of the document's `_id` in a string. None: the key is none of these.
fn document_id(rows: &mut Rows, mut cursor: Cursor<'_>) -> Result<Option<bool>, Refused> {
    let mut scratch = Vec::new();
    cursor.expect(b'{')?;
    if cursor.take(b'}') || cursor.raw_string()?.text(&mut scratch)? != b"id" {
        return Ok(None);
    }
    cursor.expect(b':')?;
    if !cursor.at_string() {
        return Ok(None);
    }
    let text = cursor.raw_string()?.text(&mut scratch)?;
    if !cursor.take(b'}') {
        return Ok(None);
    }
    rows.read_extended(b"_id", text).map(Some)
}
