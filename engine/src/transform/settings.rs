//! What decides a transform's output beside the plugin's bytes and the messages. Written to the artifacts by its digest,
//! so that an open epoch is made again with the settings that it was made with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decode::{Case, Policy, Reading};
use crate::input::{Decimals, Input, PLACEHOLDER, Tombstone};
use crate::offsets::TopicPartition;
use crate::plugin::Description;
use crate::table::{Table, with_engine_columns};

/// The version of everything here that shapes rows: decoder, assembly, engine's columns, digests. Raised when a new
/// engine would make other rows of the same input; open epochs of the old one must then be ended by the old one.
const ROWS_VERSION: u32 = 2;

/// Settings of one transform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformSettings {
    /// The tenant's name.
    pub tenant: String,
    /// The plugin's name: its folder.
    pub name: String,
    /// Plugin or bronze.
    pub kind: Kind,
    /// ClickHouse database of its tables.
    pub database: String,
    /// Table for dead letters.
    pub dead_letters: String,
    /// Other names for the plugin's tables.
    pub tables: BTreeMap<String, String>,
    /// Values of the plugin's parameters.
    pub parameters: BTreeMap<String, String>,
    /// What a null value means; by default what the format implies.
    pub tombstone: Option<Tombstone>,
    /// How decimals are written where messages have no schema.
    pub decimals: Decimals,
    /// What stands for a value that was not in the source's log: the connector's `unavailable.value.placeholder`.
    #[serde(default = "placeholder")]
    pub placeholder: String,
    /// What to do with values that have no exact cell, in columns for which it makes sense.
    #[serde(default)]
    pub policies: BTreeMap<Case, Policy>,
    /// How single columns of the plugin's input are read, and their own policies.
    #[serde(default)]
    pub columns: BTreeMap<String, Reading>,
    /// Limits of the sandbox.
    pub limits: SandboxLimits,
    /// [`ROWS_VERSION`] of the engine that wrote this.
    rows_version: u32,
}

/// What a transform does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows through a plugin.
    Plugin,
    /// Messages as they are, into this table.
    Bronze {
        /// The table's name.
        table: String,
    },
}

/// Limits of a plugin's instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLimits {
    /// Most bytes of linear memory.
    pub memory_bytes: usize,
    /// Longest time of one call, ms.
    pub call_ms: u64,
    /// Most bytes that one call may give out.
    pub output_bytes: usize,
}

impl Default for SandboxLimits {
    /// 256 MiB and 64 MiB hold a batch of 8,192 rows of 8 KB; such a batch takes a plugin milliseconds, so 5 s are a
    /// loop without end.
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, call_ms: 5_000, output_bytes: 64 << 20 }
    }
}

/// Settings that do not fit the plugin.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No file.
    #[error("there is no plugin.wasm beside plugin.toml")]
    NoPlugin,
    /// Each problem on a line.
    #[error("{}", problems.join("\n"))]
    Misfit {
        /// In words, with what is possible.
        problems: Vec<String>,
    },
}

impl TransformSettings {
    /// Settings with every default.
    #[must_use]
    pub fn new(tenant: &str, name: &str, kind: Kind, database: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            kind,
            database: database.to_owned(),
            dead_letters: "dead_letters".to_owned(),
            tables: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tombstone: None,
            decimals: Decimals::Precise,
            placeholder: placeholder(),
            policies: BTreeMap::new(),
            columns: BTreeMap::new(),
            limits: SandboxLimits::default(),
            rows_version: ROWS_VERSION,
        }
    }

    /// SHA-256 of the settings, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are plain data");
        Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this engine makes the rows that the engine made which wrote these settings.
    #[must_use]
    pub fn made_by_this_version(&self) -> bool {
        self.rows_version == ROWS_VERSION
    }

    /// The plugin's input as these settings read it.
    pub(super) fn input(&self, description: &Description) -> Input {
        let mut input = Input::by_names(&description.input, description.format);
        input.tombstone = self.tombstone.unwrap_or(input.tombstone);
        input.decimals = self.decimals;
        input.placeholder.clone_from(&self.placeholder);
        for column in &mut input.columns {
            column.reading = self.columns.get(column.field.name()).cloned().unwrap_or_default();
            column.reading.add_defaults(&self.policies, &column.field);
        }
        input
    }

    /// Whether every column with settings of its own is one of the plugin's input.
    pub(super) fn columns(&self, description: &Description) -> Result<(), SettingsError> {
        let known: Vec<_> = description.input.fields().iter().map(|field| field.name().as_str()).collect();
        let problems = unknown(self.columns.keys(), &known, "column");
        if problems.is_empty() { Ok(()) } else { Err(SettingsError::Misfit { problems }) }
    }

    /// A value for each of the plugin's parameters, in its order.
    pub(super) fn parameters(&self, description: &Description) -> Result<Vec<String>, SettingsError> {
        let mut problems = Vec::new();
        let mut values = Vec::new();
        for parameter in &description.parameters {
            match self.parameters.get(&parameter.name).or(parameter.default.as_ref()) {
                Some(value) => values.push(value.clone()),
                None => problems.push(format!(
                    "parameter {} is not set and has no default ({}): set it below [parameters]",
                    parameter.name, parameter.doc
                )),
            }
        }
        let known: Vec<_> = description.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        problems.extend(unknown(self.parameters.keys(), &known, "parameter"));
        if problems.is_empty() { Ok(values) } else { Err(SettingsError::Misfit { problems }) }
    }

    /// The plugin's output tables, by the names that these settings give them.
    pub(super) fn tables(&self, description: &Description) -> Result<Arc<[Arc<Table>]>, SettingsError> {
        let known: Vec<_> = description.outputs.iter().map(|output| output.table.as_str()).collect();
        let problems = unknown(self.tables.keys(), &known, "table");
        if !problems.is_empty() {
            return Err(SettingsError::Misfit { problems });
        }
        let table = |output: &crate::plugin::Output| {
            let name = self.tables.get(&output.table).unwrap_or(&output.table);
            Arc::new(Table {
                database: self.database.as_str().into(),
                name: name.as_str().into(),
                kind: output.kind,
                schema: with_engine_columns(output.columns.iter().map(|(field, _)| field.clone())),
                sort_key: output.sort_key.clone(),
                partition_by: output.partition_by.clone(),
            })
        };
        Ok(description.outputs.iter().map(table).collect())
    }
}

fn unknown<'a>(given: impl Iterator<Item = &'a String>, known: &[&str], what: &str) -> Vec<String> {
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    given
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| format!("{what} {name} is not one of the plugin's, which are: {list}"))
        .collect()
}

fn placeholder() -> String {
    PLACEHOLDER.to_owned()
}

/// Planning needs no particular partition.
pub(super) fn any_partition() -> TopicPartition {
    TopicPartition { topic: "any".into(), partition: 0 }
}
