//! A part of a record as JSON: the fields that are looked for, and the names of the others.

use std::collections::HashMap;
use std::sync::Arc;

use super::body::Body;
use super::json;
use super::schema::{Field, Kind, Schema, TypeId};
use super::skip::Skips;
use super::{CUT_FRAME, NO_REGISTRY, NOT_AVRO, Registered, Registry, UNKNOWN_SCHEMA, framed, read};
use crate::reject::Read;

/// Schemas planned at a time; beyond them planning begins anew.
const MAX_PLANNED: usize = 256;

/// Writes parts of records in the wire format.
#[derive(Debug, Default)]
pub(crate) struct Views {
    registry: Option<Arc<Registry>>,
    planned: HashMap<u32, Arc<Planned>>,
}

/// A schema, and how to skip its values.
#[derive(Debug)]
struct Planned {
    schema: Arc<Schema>,
    skips: Skips,
}

impl Views {
    /// What the registry says from now on. A schema id never stands for another schema.
    pub(crate) fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.registry = Some(registry.clone());
    }

    /// Writes the fields that are wanted, of the record and of its `before` and `after`, as JSON behind `out`; the record's
    /// other fields are null there.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>, wanted: impl Fn(&str) -> bool) -> Read<()> {
        let (id, datum) = framed(bytes).ok_or(CUT_FRAME)??;
        let planned = self.planned(id)?;
        let mut body = Body::new(datum);
        View { planned: &planned, length: datum.len(), wanted }.root(&mut body, out)
    }

    fn planned(&mut self, id: u32) -> Read<Arc<Planned>> {
        if let Some(planned) = self.planned.get(&id) {
            return Ok(planned.clone());
        }
        let registry = self.registry.as_ref().ok_or(NO_REGISTRY)?;
        let schema = match registry.get(&id) {
            Some(Registered::Schema(schema)) => schema.clone(),
            Some(Registered::NotAvro) => return Err(NOT_AVRO),
            Some(Registered::Unknown) | None => return Err(UNKNOWN_SCHEMA),
        };
        if self.planned.len() >= MAX_PLANNED {
            self.planned.clear();
        }
        let planned = Arc::new(Planned { skips: Skips::new(&schema), schema });
        self.planned.insert(id, planned.clone());
        Ok(planned)
    }
}

struct View<'v, W> {
    planned: &'v Planned,
    length: usize,
    wanted: W,
}

impl<W: Fn(&str) -> bool> View<'_, W> {
    fn root(&self, body: &mut Body<'_>, out: &mut Vec<u8>) -> Read<()> {
        let schema = &self.planned.schema;
        let (of, _) = read::branch(schema, schema.root(), body)?;
        let Some(fields) = schema.fields(of) else { return self.whole(of, body, out) };
        self.record(fields, body, out, |field, body, out| {
            if matches!(&*field.name, "before" | "after") {
                return self.image(field.of, body, out);
            }
            if &*field.name == "op" || (self.wanted)(&field.name) {
                return self.whole(field.of, body, out);
            }
            self.nothing(field.of, body, out)
        })
    }

    fn image(&self, of: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>) -> Read<()> {
        let (of, _) = read::branch(&self.planned.schema, of, body)?;
        let Kind::Record(fields) = self.planned.schema.kind(of) else { return self.whole(of, body, out) };
        self.record(fields, body, out, |field, body, out| {
            if (self.wanted)(&field.name) {
                return self.whole(field.of, body, out);
            }
            self.nothing(field.of, body, out)
        })
    }

    fn record(
        &self,
        fields: &[Field],
        body: &mut Body<'_>,
        out: &mut Vec<u8>,
        write: impl Fn(&Field, &mut Body<'_>, &mut Vec<u8>) -> Read<()>,
    ) -> Read<()> {
        for (index, field) in fields.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend(json::key(&field.name));
            write(field, body, out)?;
        }
        out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }

    fn whole(&self, of: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>) -> Read<()> {
        json::write(&self.planned.schema, of, body, self.length, out)
    }

    fn nothing(&self, of: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>) -> Read<()> {
        self.planned.skips.skip(of, body)?;
        out.extend_from_slice(b"null");
        Ok(())
    }
}
