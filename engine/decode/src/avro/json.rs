//! Avro to JSON, as Kafka Connect's JSON converter would have written the same record: bytes as base64, unions as their
//! value, maps whose keys are no text as lists of pairs. What has no shorter way to its column takes this one, so that
//! it means what it means in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::body::Body;
use super::logical::{connect_kind, logical};
use super::schema::{Field, Kind, Schema, TypeId};
use super::skip::{MAX_DEPTH, NO_BRANCH, TOO_DEEP};
use crate::budget;
use crate::reject::{Read, Refusal, RejectCode, UTF8};

pub(super) const NO_SYMBOL: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "an Avro enum names a symbol that its schema does not have" };
const TOO_LARGE: &Refusal =
    &Refusal { code: RejectCode::TooLarge, reason: "the value is out of proportion to its bytes: many times as long" };

/// Levels of a schema that are written out as Connect's; beyond them the inside of a type is left out: half of what JSON readers take, as each type nests two.
const MAX_LEVELS: usize = 32;

/// Writes a value of this type behind `out`.
pub(super) fn write(schema: &Schema, id: TypeId, body: &mut Body<'_>, length: usize, out: &mut Vec<u8>) -> Read<()> {
    let end = out.len().saturating_add(budget::json_of(length));
    Writer { schema, end }.value(id, body, out, MAX_DEPTH)
}

struct Writer<'s> {
    schema: &'s Schema,
    /// Where the output must end.
    end: usize,
}

impl Writer<'_> {
    fn value(&self, id: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>, levels: usize) -> Read<()> {
        let levels = levels.checked_sub(1).ok_or(TOO_DEEP)?;
        if out.len() > self.end {
            return Err(TOO_LARGE);
        }
        match self.schema.kind(id) {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => out.extend_from_slice(if body.boolean()? { b"true" } else { b"false" }),
            Kind::Int => number(out, body.int()?),
            Kind::Long => number(out, body.long()?),
            Kind::Float => float(out, body.float()?),
            Kind::Double => float(out, body.double()?),
            Kind::Bytes => base64(out, body.bytes()?),
            Kind::Fixed(size) => base64(out, body.take(*size)?),
            Kind::String => text(out, body.bytes()?)?,
            Kind::Enum(symbols) => string(out, symbols.get(body.index()?).ok_or(NO_SYMBOL)?),
            Kind::Array(items) => self.array(*items, body, out, levels)?,
            Kind::Map(values) => self.map(*values, body, out, levels)?,
            Kind::Union(branches) => {
                let branch = *branches.get(body.index()?).ok_or(NO_BRANCH)?;
                self.value(branch, body, out, levels)?;
            }
            Kind::Record(fields) => self.record(fields, body, out, levels, self.schema.meaning(id).map_entry)?,
        }
        Ok(())
    }

    fn array(&self, items: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>, levels: usize) -> Read<()> {
        out.push(b'[');
        let start = out.len();
        while let Some(block) = body.block()? {
            for _ in 0..block.items {
                separate(out, start);
                self.value(items, body, out, levels)?;
            }
        }
        out.push(b']');
        Ok(())
    }

    fn map(&self, values: TypeId, body: &mut Body<'_>, out: &mut Vec<u8>, levels: usize) -> Read<()> {
        out.push(b'{');
        let start = out.len();
        while let Some(block) = body.block()? {
            for _ in 0..block.items {
                separate(out, start);
                text(out, body.bytes()?)?;
                out.push(b':');
                self.value(values, body, out, levels)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// A pair of a map is a list of two.
    fn record(&self, fields: &[Field], body: &mut Body<'_>, out: &mut Vec<u8>, levels: usize, pair: bool) -> Read<()> {
        out.push(if pair { b'[' } else { b'{' });
        let start = out.len();
        for field in fields {
            separate(out, start);
            if !pair {
                string(out, &field.name);
                out.push(b':');
            }
            self.value(field.of, body, out, levels)?;
        }
        out.push(if pair { b']' } else { b'}' });
        Ok(())
    }
}

fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

fn number(out: &mut Vec<u8>, number: impl Into<i64>) {
    out.extend_from_slice(number.into().to_string().as_bytes());
}

/// The shortest digits that are nearest to the value; what JSON has no digits for is a word, as Jackson writes it.
fn float<F: Copy + Into<f64> + serde::Serialize>(out: &mut Vec<u8>, value: F) {
    let wide: f64 = value.into();
    let word: &[u8] = if wide.is_nan() {
        b"\"NaN\""
    } else if wide == f64::INFINITY {
        b"\"Infinity\""
    } else if wide == f64::NEG_INFINITY {
        b"\"-Infinity\""
    } else {
        return serde_json::to_writer(out, &value).expect("a finite number, into memory");
    };
    out.extend_from_slice(word);
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("four letters for three bytes");
    out.truncate(start + written);
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) -> Read<()> {
    string(out, simdutf8::basic::from_utf8(bytes).map_err(|_| UTF8)?);
    Ok(())
}

/// The key of a field, with the colon.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    string(&mut key, name);
    key.push(b':');
    key
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text, into memory");
}

/// The schema in the words of Kafka Connect's JSON converter, so that both formats have one reading of types. Named types
/// can multiply, so what would be longer than a schema may be is left out.
pub(super) fn connect_schema(schema: &Schema) -> Value {
    connect_type(schema, schema.root(), &mut { budget::SCHEMA_TEXT / 2 }, MAX_LEVELS)
}

fn connect_type(schema: &Schema, id: TypeId, left: &mut usize, levels: usize) -> Value {
    let inner = schema.not_null(id);
    let (kind, meaning) = (schema.kind(inner), schema.meaning(inner));
    let mut described = json!({ "optional": inner != id });
    let object = described.as_object_mut().expect("an object was just made");
    let (by_logic, mut parameters) = logical(kind, meaning);
    parameters.extend(meaning.parameters.clone());
    let name = meaning.name.as_deref().or(by_logic);
    object.extend(name.map(|name| ("name".to_owned(), json!(name))));
    let named = meaning.connect_type.as_deref().unwrap_or(connect_kind(kind));
    object.insert("type".to_owned(), json!(named));
    let of_parameters: usize = parameters.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
    *left = left.saturating_sub(48 + name.unwrap_or_default().len() + named.len() + of_parameters);
    if !parameters.is_empty() {
        object.insert("parameters".to_owned(), json!(parameters));
    }
    let Some(levels) = levels.checked_sub(1).filter(|_| *left > 0) else { return described };
    match kind {
        Kind::Array(items) => {
            object.insert("items".to_owned(), connect_type(schema, *items, left, levels));
        }
        Kind::Map(values) => {
            object.insert("keys".to_owned(), json!({ "type": "string", "optional": false }));
            object.insert("values".to_owned(), connect_type(schema, *values, left, levels));
        }
        Kind::Record(fields) => {
            let field = |field: &Field| {
                *left = left.saturating_sub(field.name.len());
                let mut described = connect_type(schema, field.of, left, levels);
                described["field"] = json!(field.name);
                if let Some(default) = &field.default {
                    described["default"] = default.clone();
                }
                described
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            object.insert("fields".to_owned(), Value::Array(fields));
        }
        Kind::Null
        | Kind::Boolean
        | Kind::Int
        | Kind::Long
        | Kind::Float
        | Kind::Double
        | Kind::Bytes
        | Kind::String => {}
        Kind::Fixed(_) | Kind::Enum(_) | Kind::Union(_) => {}
    }
    described
}
