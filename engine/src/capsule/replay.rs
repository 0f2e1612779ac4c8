//! A capsule's calls once more: in the same sandbox, over the state that they touched.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::recorder::digest_of;
use super::{Capsule, Seen};
use crate::plugin::{Answer, Context, Fault, Instance, Limits, Plugin};
use crate::state::{Cells, DUE_ROWS, State, StateError};

/// State of a replay may take as much as there is.
const STATE_BYTES: usize = 4 << 30;

/// What came out.
#[derive(Debug)]
pub struct Replayed {
    /// Of the last call, or of the start.
    pub outcome: Outcome,
    /// The guest's functions at its fault, innermost first.
    pub frames: Vec<String>,
    /// Whether each of the calls before answered as it is recorded.
    pub as_recorded: Vec<bool>,
}

/// How the last call ended.
#[derive(Debug)]
pub enum Outcome {
    /// As it is recorded.
    Same(Fault),
    /// Otherwise.
    Other(Fault),
    /// With an answer.
    Succeeds(Answer),
}

/// A capsule can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The plugin reads what the capsule does not have.
    #[error("the plugin reads column {name} of type {data_type}, which the capsule does not have")]
    Column {
        /// The column.
        name: String,
        /// Its type.
        data_type: String,
    },
    /// The plugin wants a parameter that the capsule does not have.
    #[error("the plugin has a parameter {name} without a default: give it with --parameter {name}=VALUE")]
    Parameter {
        /// The parameter.
        name: String,
    },
    /// A table of state that the plugin does not have.
    #[error("the plugin has no state table {name}, with whose entries it was called")]
    Table {
        /// The table.
        name: String,
    },
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The batch.
    #[error(transparent)]
    Batch(#[from] ArrowError),
}

/// Runs a capsule again with a plugin: the one that it was of, or another. `parameters` win over those of the capsule.
///
/// # Errors
/// The plugin does not fit.
pub fn replay(capsule: &Capsule, plugin: &Plugin, parameters: &[(String, String)]) -> Result<Replayed, ReplayError> {
    let about = &capsule.about;
    let context = Context {
        parameters: parameters_of(capsule, plugin, parameters)?,
        now_ms: about.clock_ms,
        watermark_ms: about.watermark_ms,
    };
    let mut state = state_of(capsule, plugin)?;
    let mut replayed = Replayed { outcome: Outcome::Succeeds(Answer::default()), frames: vec![], as_recorded: vec![] };
    let limits = Limits::from(about.limits);
    let mut instance = match plugin.instance(&context, limits) {
        Ok(instance) => instance,
        Err(fault) => {
            replayed.outcome = judged(capsule, fault);
            return Ok(replayed);
        }
    };
    let last = capsule.calls.len().saturating_sub(1);
    for (index, seen) in capsule.calls.iter().enumerate() {
        state.begin_call();
        instance.allow(if index == last { about.call_ms } else { about.limits.call_ms });
        match call(capsule, plugin, &mut instance, seen, &mut state)? {
            Ok(answer) if index < last => {
                replayed.as_recorded.push(about.answers.get(index) == Some(&digest_of(&answer)));
            }
            Ok(answer) => replayed.outcome = Outcome::Succeeds(answer),
            Err(fault) => {
                replayed.frames = instance.remains().frames;
                let same = index == last;
                replayed.outcome = if same { judged(capsule, fault) } else { Outcome::Other(fault) };
                break;
            }
        }
    }
    Ok(replayed)
}

/// Whether a fault is the recorded one: its words name the limit or the trap, and the functions on the stack.
fn judged(capsule: &Capsule, fault: Fault) -> Outcome {
    let about = &capsule.about;
    if fault.code() == about.code && fault.to_string() == about.message {
        Outcome::Same(fault)
    } else {
        Outcome::Other(fault)
    }
}

fn call(
    capsule: &Capsule,
    plugin: &Plugin,
    instance: &mut Instance,
    seen: &Seen,
    state: &mut State,
) -> Result<Result<Answer, Fault>, ReplayError> {
    Ok(match seen {
        Seen::Rows(rows) => instance.process(&fitting(rows, plugin)?, state),
        Seen::Expired(due) => {
            let name = capsule.about.tables.get(due.table).map_or("", |(name, _)| name);
            let at = state.tables().iter().position(|table| table.name == name);
            let mut due = due.clone();
            due.table = at.ok_or_else(|| ReplayError::Table { name: name.to_owned() })?;
            instance.expire(&due, state)
        }
    })
}

/// The columns that the plugin reads.
fn fitting(rows: &RecordBatch, plugin: &Plugin) -> Result<RecordBatch, ReplayError> {
    let wanted = &plugin.description().input;
    let column = |field: &arrow_schema::FieldRef| {
        let found = rows.column_by_name(field.name()).filter(|column| column.data_type() == field.data_type());
        let missing = || ReplayError::Column { name: field.name().clone(), data_type: field.data_type().to_string() };
        found.cloned().ok_or_else(missing)
    };
    let columns = wanted.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(wanted.clone(), columns)?)
}

fn parameters_of(capsule: &Capsule, plugin: &Plugin, given: &[(String, String)]) -> Result<Arc<[String]>, ReplayError> {
    let find = |all: &[(String, String)], name: &str| all.iter().find(|it| it.0 == name).map(|it| it.1.clone());
    let values = plugin.description().parameters.iter().map(|parameter| {
        let value = find(given, &parameter.name).or_else(|| find(&capsule.about.parameters, &parameter.name));
        let missing = || ReplayError::Parameter { name: parameter.name.clone() };
        value.or_else(|| parameter.default.clone()).ok_or_else(missing)
    });
    values.collect()
}

/// The entries that were touched; those of tables that the plugin does not have are let go.
fn state_of(capsule: &Capsule, plugin: &Plugin) -> Result<State, ReplayError> {
    let tables = plugin.description().state.as_ref().map_or_else(Vec::new, |state| state.tables.clone());
    let mut state = State::new(tables, STATE_BYTES);
    for (table, key, entry) in &capsule.state {
        let name = capsule.about.tables.get(*table).map_or("", |(name, _)| name);
        let at = state.tables().iter().position(|table| table.name == name);
        if let (Some(table), Some((value, expiry))) = (at, entry) {
            put(&mut state, table, key, value, *expiry)?;
        }
    }
    state.seal()?;
    state.begin(capsule.about.watermark_ms, DUE_ROWS)?;
    Ok(state)
}

fn put(state: &mut State, table: usize, key: &[u8], value: &[u8], expiry: i64) -> Result<(), StateError> {
    let end = |bytes: &[u8]| [0, u32::try_from(bytes.len()).unwrap_or(u32::MAX)];
    let (key_ends, value_ends) = (end(key), end(value));
    let keys = Cells::Variable { offsets: &key_ends, bytes: key };
    let values = Cells::Variable { offsets: &value_ends, bytes: value };
    state.put_many(table, keys, values, &[expiry])
}
