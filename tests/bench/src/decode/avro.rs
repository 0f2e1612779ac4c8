//! The same envelopes in Avro, as Kafka Connect's Avro converter writes them: its schema is made of the embedded one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Failure;
use crate::messages::SCHEMA;

/// The schema's id.
pub(crate) const ID: u32 = 7;

/// Writes messages.
pub(crate) struct Written {
    /// As the schema registry has it.
    pub(crate) schema: String,
    connect: Value,
}

impl Written {
    pub(crate) fn new() -> Result<Self, Failure> {
        let wrapper: Value = serde_json::from_str(&format!("{SCHEMA}\"payload\":null}}"))?;
        let connect = wrapper["schema"].clone();
        let schema = avro_type(&connect, "envelope").to_string();
        Ok(Self { schema, connect })
    }

    /// A zero byte, the schema's id, the datum.
    pub(crate) fn message(&self, envelope: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = [&[0], &ID.to_be_bytes()[..]].concat();
        write(&self.connect, &serde_json::from_slice(envelope)?, &mut out)?;
        Ok(out)
    }
}

/// A type of Connect's in Avro; records are named by the way to them.
fn avro_type(connect: &Value, path: &str) -> Value {
    let kind = match connect["type"].as_str().unwrap_or_default() {
        "struct" => {
            let field = |field: &Value| {
                let name = field["field"].as_str().unwrap_or_default();
                json!({ "name": name, "type": avro_type(field, &format!("{path}_{name}")) })
            };
            let fields: Vec<_> = connect["fields"].as_array().into_iter().flatten().map(field).collect();
            json!({ "type": "record", "name": path, "fields": fields })
        }
        "int32" | "int16" => json!({ "type": "int" }),
        "int64" => json!({ "type": "long" }),
        other => json!({ "type": other }),
    };
    let mut kind = kind;
    for (from, to) in [("name", "connect.name"), ("parameters", "connect.parameters")] {
        if let Some(value) = connect.get(from) {
            kind[to] = value.clone();
        }
    }
    if connect["optional"] == true { json!(["null", kind]) } else { kind }
}

fn write(connect: &Value, value: &Value, out: &mut Vec<u8>) -> Result<(), Failure> {
    if connect["optional"] == true {
        out.push(u8::from(!value.is_null()) << 1);
        if value.is_null() {
            return Ok(());
        }
    }
    let text = || value.as_str().ok_or_else(|| format!("{connect}: {value}"));
    match connect["type"].as_str().unwrap_or_default() {
        "struct" => {
            for field in connect["fields"].as_array().into_iter().flatten() {
                write(field, &value[field["field"].as_str().unwrap_or_default()], out)?;
            }
        }
        "string" => bytes(text()?.as_bytes(), out),
        "bytes" => bytes(&BASE64_STANDARD.decode(text()?)?, out),
        _ => long(value.as_i64().ok_or_else(|| format!("{connect}: {value}"))?, out),
    }
    Ok(())
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len().cast_signed() as i64, out);
    out.extend_from_slice(bytes);
}

/// Zigzag, seven bits a byte.
fn long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}
