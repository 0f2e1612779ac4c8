//! What connectors made of a table in one mode, and what the database says of its cells: read from `schemas/debezium/matrix`,
//! or taken from a live stack and kept there.
//!
//! | file | lines |
//! |---|---|
//! | `TABLE-MODE.jsonl` | the text that all messages begin with (their schema); then for each the payload |
//! | `TABLE-MODE-avro.jsonl` | the registry's schemas by their ids; then for each message its bytes in base64 |
//! | `TABLE-values.jsonl` | for each row the cells in the plainest text of their type |
//!
//! The message without schema is the one with it, less the wrapper: the JSON converter writes the same payload.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use debezium_decode::OwnedMessage;
use debezium_decode::avro::{Registered, Registry, Schema};
use harness::place;
use serde_json::{Value, json};

/// Ids of copies, which the connector sees as inserts, are so much above those of its snapshot.
pub(crate) const COPIES: i64 = 1000;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON with embedded schema.
    Schema,
    /// JSON without.
    Plain,
    Avro,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Schema, Self::Plain, Self::Avro];
}

/// A table's messages in one mode.
#[derive(Debug)]
pub(crate) struct Recording {
    /// What each message begins with.
    pub(crate) prefix: String,
    pub(crate) payloads: Vec<String>,
    /// The same rows in the same order.
    pub(crate) avro: Vec<Vec<u8>>,
    /// The registry's schemas that these name.
    pub(crate) schemas: BTreeMap<u32, String>,
}

/// The cells by the row's id.
pub(crate) type Cells = BTreeMap<i64, Value>;

/// Where the matrix lies.
pub(crate) fn folder() -> PathBuf {
    place::repository().join("schemas/debezium/matrix")
}

fn lines(file: &str) -> Vec<Value> {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write(file: &str, lines: impl IntoIterator<Item = Value>) {
    let text = lines.into_iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("into memory");
        text
    });
    std::fs::write(folder().join(file), text).expect("the recordings' folder");
}

/// The cells that the database printed, a line for each row.
pub(crate) fn cells(lines: &str) -> Cells {
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (row["id"].as_i64().unwrap(), row))
        .collect()
}

pub(crate) fn recorded_cells(table: &str) -> Cells {
    lines(&format!("{table}-values.jsonl")).into_iter().map(|row| (row["id"].as_i64().unwrap(), row)).collect()
}

pub(crate) fn keep_cells(table: &str, cells: &Cells) {
    write(&format!("{table}-values.jsonl"), cells.values().cloned());
}

impl Recording {
    /// The recorded one.
    pub(crate) fn recorded(table: &str, mode: &str) -> Self {
        let messages = lines(&format!("{table}-{mode}.jsonl"));
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let avro = lines(&format!("{table}-{mode}-avro.jsonl"));
        let schemas = avro[0].as_object().unwrap().iter();
        Self {
            prefix: text(&messages[0], "prefix"),
            payloads: messages[1..].iter().map(|line| text(line, "payload")).collect(),
            avro: avro[1..].iter().map(|line| STANDARD.decode(line["value_b64"].as_str().unwrap()).unwrap()).collect(),
            schemas: schemas.map(|(id, schema)| (id.parse().unwrap(), schema.as_str().unwrap().to_owned())).collect(),
        }
    }

    /// From messages with embedded schema, and the same in Avro.
    pub(crate) fn of(json: &[Vec<u8>], avro: Vec<Vec<u8>>, schemas: BTreeMap<u32, String>) -> Self {
        let texts: Vec<&str> = json.iter().map(|value| std::str::from_utf8(value).unwrap()).collect();
        let prefix = texts[0].split_inclusive(r#","payload":"#).next().unwrap().to_owned();
        let payload =
            |text: &&str| text.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix('}')).unwrap().to_owned();
        Self { payloads: texts.iter().map(payload).collect(), prefix, avro, schemas }
    }

    /// Writes it where [`Recording::recorded`] reads it.
    pub(crate) fn keep(&self, table: &str, mode: &str) {
        let payloads = self.payloads.iter().map(|payload| json!({ "payload": payload }));
        write(&format!("{table}-{mode}.jsonl"), [json!({ "prefix": self.prefix })].into_iter().chain(payloads));
        let schemas = self.schemas.iter().map(|(id, schema)| (id.to_string(), json!(schema))).collect();
        let values = self.avro.iter().map(|value| json!({ "value_b64": STANDARD.encode(value) }));
        write(&format!("{table}-{mode}-avro.jsonl"), [Value::Object(schemas)].into_iter().chain(values));
    }

    /// The ids of its rows, in the messages' order.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let id = |payload: &String| -> i64 {
            let after = payload.split_once("\"after\":{\"id\":").unwrap().1;
            after.split(',').next().unwrap().parse().unwrap()
        };
        self.payloads.iter().map(id).collect()
    }

    pub(crate) fn messages(&self, format: Format) -> Vec<OwnedMessage> {
        let values: Vec<Vec<u8>> = match format {
            Format::Schema => {
                self.payloads.iter().map(|payload| format!("{}{payload}}}", self.prefix).into_bytes()).collect()
            }
            Format::Plain => self.payloads.iter().map(|payload| payload.clone().into_bytes()).collect(),
            Format::Avro => self.avro.clone(),
        };
        (0..).zip(values).map(|(offset, value)| OwnedMessage::new(offset, None, Some(value))).collect()
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        let parsed = |schema: &String| Registered::Schema(Arc::new(Schema::parse(schema, &[]).unwrap()));
        Arc::new(self.schemas.iter().map(|(id, schema)| (*id, parsed(schema))).collect())
    }
}
