//! What decides a transform's output beside the plugin's bytes and the messages. Written to the artifacts by its digest,
//! so that an open epoch is made again with the settings that it was made with.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decode::{Case, Policy, Reading};
use crate::input::{Decimals, Input, PLACEHOLDER, Selection, Tombstone};
use crate::offsets::{DEFAULT_TENANT, PluginKey, TopicPartition};
use crate::plugin::{Description, EventTime, LOG_LINES_PER_S, Parameter};
use crate::source::{Claims, Part};
use crate::table::{Table, plugin_column, with_engine_columns};

/// The version of everything here that shapes rows: decoder, assembly, engine's columns, digests. Raised when a new
/// engine would make other rows of the same input; open epochs of the old one must then be ended by the old one.
const ROWS_VERSION: u32 = 3;

/// Settings of one transform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformSettings {
    /// The tenant's name.
    pub tenant: String,
    /// The plugin's name: its folder.
    pub name: String,
    /// Plugin or bronze.
    pub kind: Kind,
    /// Which messages of shared topics are the tenant's; none: all of its topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
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
    /// What is said otherwise than in the plugin's description of its event time.
    #[serde(default)]
    pub event_time: EventTimeSettings,
    /// Whether each row says which plugin made it, in a column `_plugin`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plugin_column: bool,
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
    /// The messages of shared topics that nobody claims, to the dead letters.
    Unclaimed {
        /// What tenants claim.
        claims: Claims,
    },
}

/// Event time, where plugin.toml says it otherwise than the plugin: see [`EventTime`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTimeSettings {
    /// How far out of order events may come, ms.
    pub delay_ms: Option<u64>,
    /// After how long at its end a partition's watermark follows the clock, ms.
    pub idle_ms: Option<u64>,
}

/// Limits of a plugin's instance, and of what the plugin keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLimits {
    /// Most bytes of linear memory.
    pub memory_bytes: usize,
    /// Longest time of one call, ms.
    pub call_ms: u64,
    /// Most bytes that one call may give out.
    pub output_bytes: usize,
    /// Most bytes of memory for what a lane remembers.
    #[serde(default = "state_bytes")]
    pub state_bytes: usize,
    /// Most bytes of what memory has no room for, on the disk; 0: nothing goes there.
    #[serde(default = "state_disk_bytes")]
    pub state_disk_bytes: u64,
    /// Lines that its instances may log in a second in the long run, all together.
    #[serde(default = "log_lines_per_second", skip_serializing_if = "is_usual")]
    pub log_lines_per_second: u32,
}

impl Default for SandboxLimits {
    /// 256 MiB and 64 MiB hold a batch of 8,192 rows of 8 KB; such a batch takes a plugin milliseconds, so 5 s are a
    /// loop without end. 1 GiB of state are ten million keys.
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            call_ms: 5_000,
            output_bytes: 64 << 20,
            state_bytes: state_bytes(),
            state_disk_bytes: state_disk_bytes(),
            log_lines_per_second: log_lines_per_second(),
        }
    }
}

/// Settings that do not fit the plugin.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No file.
    #[error("there is no plugin.wasm beside plugin.toml")]
    NoPlugin,
    /// Each problem on a line.
    #[error("{}", problems.iter().map(|misfit| misfit.message.as_str()).collect::<Vec<_>>().join("\n"))]
    Misfit {
        /// All of them.
        problems: Vec<Misfit>,
    },
}

/// One setting that does not fit the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its key in plugin.toml, whether it is there or missing, such as `parameters.rate`.
    pub key: String,
    /// In words, with what is possible.
    pub message: String,
}

impl TransformSettings {
    /// Settings with every default.
    #[must_use]
    pub fn new(tenant: &str, name: &str, kind: Kind, database: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            kind,
            selection: None,
            database: database.to_owned(),
            dead_letters: "dead_letters".to_owned(),
            tables: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tombstone: None,
            decimals: Decimals::Precise,
            placeholder: placeholder(),
            policies: BTreeMap::new(),
            columns: BTreeMap::new(),
            event_time: EventTimeSettings::default(),
            plugin_column: false,
            limits: SandboxLimits::default(),
            rows_version: ROWS_VERSION,
        }
    }

    /// The plugin.
    #[must_use]
    pub fn key(&self) -> PluginKey {
        PluginKey::new(&self.tenant, &self.name)
    }

    /// SHA-256 of the settings, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are plain data");
        Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The part of its topics that it reads.
    #[must_use]
    pub fn part(&self) -> Part {
        match (&self.kind, &self.selection) {
            (Kind::Unclaimed { claims }, _) => Part::Unclaimed(Arc::new(claims.clone())),
            (Kind::Plugin | Kind::Bronze { .. }, Some(selection)) => Part::Selected(selection.clone()),
            (Kind::Plugin | Kind::Bronze { .. }, None) => Part::Whole,
        }
    }

    /// Whether this engine makes the rows that the engine made which wrote these settings.
    #[must_use]
    pub fn made_by_this_version(&self) -> bool {
        self.rows_version == ROWS_VERSION
    }

    /// These settings with the tables of others: rows are the same, and go where those say.
    #[must_use]
    pub fn writing_where(&self, others: &Self, description: Option<&Description>) -> Self {
        let known =
            |name: &&String| description.is_some_and(|it| it.outputs.iter().any(|output| output.table == **name));
        let tables = others.tables.iter().filter(|(name, _)| known(name));
        let kind = match (&self.kind, &others.kind) {
            (Kind::Bronze { .. }, Kind::Bronze { .. }) => others.kind.clone(),
            (Kind::Bronze { .. } | Kind::Plugin | Kind::Unclaimed { .. }, _) => self.kind.clone(),
        };
        Self {
            kind,
            database: others.database.clone(),
            dead_letters: others.dead_letters.clone(),
            tables: tables.map(|(name, table)| (name.clone(), table.clone())).collect(),
            ..self.clone()
        }
    }

    /// The plugin's input as these settings read it.
    pub(crate) fn input(&self, description: &Description) -> Input {
        let format = description.format;
        let mut input = Input {
            columns: description.columns.clone(),
            format,
            tombstone: self.tombstone.unwrap_or_else(|| Tombstone::by_default(format)),
            decimals: self.decimals,
            placeholder: self.placeholder.clone(),
        };
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

    /// The plugin's event time, with what these settings say otherwise.
    pub(super) fn event_time(&self, description: &Description) -> Result<Option<EventTime>, SettingsError> {
        let EventTimeSettings { delay_ms, idle_ms } = self.event_time;
        match description.event_time {
            Some(described) => Ok(Some(EventTime {
                delay_ms: delay_ms.unwrap_or(described.delay_ms),
                idle_ms: idle_ms.or(described.idle_ms),
            })),
            None if self.event_time == EventTimeSettings::default() => Ok(None),
            None => {
                let message = "the plugin has no event time: there is no watermark to set".to_owned();
                let key = if delay_ms.is_some() { "event_time.delay_ms" } else { "event_time.idle_ms" }.to_owned();
                Err(SettingsError::Misfit { problems: vec![Misfit { key, message }] })
            }
        }
    }

    /// A value for each of the plugin's parameters, in its order.
    pub(crate) fn parameters(&self, description: &Description) -> Result<Vec<String>, SettingsError> {
        let mut problems = Vec::new();
        let mut values = Vec::new();
        for parameter in &description.parameters {
            match self.parameter(parameter) {
                Ok(value) => values.push(value.clone()),
                Err(message) => problems.push(Misfit { key: format!("parameters.{}", parameter.name), message }),
            }
        }
        let known: Vec<_> = description.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        problems.extend(unknown(self.parameters.keys(), &known, "parameter"));
        if problems.is_empty() { Ok(values) } else { Err(SettingsError::Misfit { problems }) }
    }

    /// The value that is set, or the default; the default's type was checked when the plugin was loaded.
    fn parameter<'a>(&'a self, described: &'a Parameter) -> Result<&'a String, String> {
        let Parameter { name, doc, kind, .. } = described;
        match self.parameters.get(name).or(described.default.as_ref()) {
            Some(value) if kind.accepts(value) => Ok(value),
            Some(_) => Err(format!("parameter {name} is not {} ({doc})", kind.words())),
            None => Err(format!("parameter {name} is not set and has no default ({doc}): set it below [parameters]")),
        }
    }

    fn with_engine_columns(&self, own: impl IntoIterator<Item = Field>) -> SchemaRef {
        let schema = with_engine_columns(own);
        if !self.plugin_column {
            return schema;
        }
        let columns = schema.fields().iter().cloned().chain([Arc::new(plugin_column())]);
        Arc::new(Schema::new(columns.collect::<Vec<_>>()))
    }

    /// The plugin's output tables, by the names that these settings give them.
    pub(crate) fn tables(&self, description: &Description) -> Result<Arc<[Arc<Table>]>, SettingsError> {
        let known: Vec<_> = description.outputs.iter().map(|output| output.table.as_str()).collect();
        let mut problems = unknown(self.tables.keys(), &known, "table");
        let named = |name: &str| self.tables.get(name).map_or(name, String::as_str).to_owned();
        if self.tenant != DEFAULT_TENANT {
            let wrong = known.iter().filter_map(|name| Some((name, check_table(&named(name)).err()?)));
            problems.extend(wrong.map(|(name, message)| Misfit { key: format!("tables.{name}"), message }));
        }
        if !problems.is_empty() {
            return Err(SettingsError::Misfit { problems });
        }
        let table = |output: &crate::plugin::Output| {
            let name = self.tables.get(&output.table).unwrap_or(&output.table);
            Arc::new(Table {
                database: self.database.as_str().into(),
                name: name.as_str().into(),
                kind: output.kind,
                schema: self.with_engine_columns(output.columns.iter().map(|(field, _)| field.clone())),
                sort_key: output.sort_key.clone(),
                partition_by: output.partition_by.clone(),
                indexes: output.indexes.clone(),
            })
        };
        Ok(description.outputs.iter().map(table).collect())
    }
}

/// The longest name of a table that ClickHouse keeps in files named after it.
const MOST_TABLE_NAME: usize = 128;
/// Tables of the engine's own, beside those of plugins.
const OWN_TABLES: [&str; 1] = ["engine_fences"];

/// Whether a tenant's table may be named so: a plain word, so that nothing in it can seem to name a database.
///
/// # Errors
/// What is wrong, in words.
pub fn check_table(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(plain) || name.len() > MOST_TABLE_NAME {
        return Err(format!(
            "a tenant's table can't be named {name:?}: letters, digits and _ alone, at most {MOST_TABLE_NAME}; its database is \
             the tenant's"
        ));
    }
    if OWN_TABLES.contains(&name) {
        return Err(format!("{name} is a table of the engine's own"));
    }
    Ok(())
}

/// Keys below `[parameters]` or `[tables]` that are none of the plugin's.
fn unknown<'a>(given: impl Iterator<Item = &'a String>, known: &[&str], what: &str) -> Vec<Misfit> {
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    given
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| Misfit {
            key: format!("{what}s.{name}"),
            message: format!("{what} {name} is not one of the plugin's, which are: {list}"),
        })
        .collect()
}

fn state_bytes() -> usize {
    1 << 30
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(set: &bool) -> bool {
    !set
}

/// 64 GiB: a disk is full long before by accident, and three billion keys are no accident.
fn state_disk_bytes() -> u64 {
    64 << 30
}

fn log_lines_per_second() -> u32 {
    LOG_LINES_PER_S
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual(lines: &u32) -> bool {
    *lines == LOG_LINES_PER_S
}

fn placeholder() -> String {
    PLACEHOLDER.to_owned()
}

/// Planning needs no particular partition.
pub(super) fn any_partition() -> TopicPartition {
    TopicPartition { topic: "any".into(), partition: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Format;
    use crate::plugin::ParameterType;

    fn described(parameters: &[(&str, ParameterType, Option<&str>)]) -> Description {
        let parameter = |(name, kind, default): &(&str, ParameterType, Option<&str>)| Parameter {
            name: (*name).to_owned(),
            doc: format!("the {name}"),
            kind: *kind,
            default: default.map(str::to_owned),
        };
        Description {
            name: "p".to_owned(),
            version: "1".to_owned(),
            contract: "0.2",
            input: Arc::new(Schema::empty()),
            columns: vec![],
            crosses: vec![],
            format: Format::Flat,
            outputs: vec![],
            parameters: parameters.iter().map(parameter).collect(),
            state: None,
            event_time: None,
        }
    }

    #[test]
    fn a_parameter_has_the_type_that_the_plugin_says() {
        let description = described(&[
            ("most", ParameterType::Integer, Some("7")),
            ("share", ParameterType::Number, None),
            ("strict", ParameterType::Boolean, Some("false")),
            ("zone", ParameterType::Text, None),
        ]);
        let mut settings = TransformSettings::new("t", "p", Kind::Plugin, "d");
        let set = |settings: &mut TransformSettings, pairs: &[(&str, &str)]| {
            settings.parameters = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        };
        set(&mut settings, &[("share", "0.25"), ("zone", ""), ("strict", "true")]);
        let values = settings.parameters(&description).expect("they fit");
        assert_eq!(values, ["7", "0.25", "true", ""]);

        set(&mut settings, &[("most", "7.5"), ("share", "NaN"), ("strict", "yes"), ("zones", "x")]);
        let Err(SettingsError::Misfit { problems }) = settings.parameters(&description) else { panic!("they fit") };
        let said: Vec<_> = problems.iter().map(|misfit| (misfit.key.as_str(), misfit.message.as_str())).collect();
        let expected = [
            ("parameters.most", "parameter most is not a decimal integer of 64 bits (the most)"),
            ("parameters.share", "parameter share is not a decimal number (the share)"),
            ("parameters.strict", "parameter strict is not true or false (the strict)"),
            ("parameters.zone", "parameter zone is not set and has no default (the zone): set it below [parameters]"),
            ("parameters.zones", "parameter zones is not one of the plugin's, which are: most, share, strict, zone"),
        ];
        assert_eq!(said, expected);
    }
}
