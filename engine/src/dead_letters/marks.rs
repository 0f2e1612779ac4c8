//! Marks: what replays did to letters, in a table beside theirs. Rows are added and never changed.
//!
//! A letter's state is its last mark, by time and then by state. Marks have no `TTL`: one that went before its letter
//! would open the letter again. They are made by an operator's command and cost some bytes each.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

use super::{Letter, Letters};
use crate::batch::{Block, Reject};
use crate::digest::digest;
use crate::journal::Intent;
use crate::sink::{Sending, Sink, SinkError};
use crate::table::{CLICKHOUSE_TYPE, Table, TableKind};

/// What a replay did to a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkState {
    /// It is decided what will be inserted; some of it may be in the tables.
    Started,
    /// Its rows are in the tables.
    Replayed,
    /// The plugin failed on it again, and nothing of it is in the tables.
    Failed,
}

impl MarkState {
    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Replayed => "replayed",
            Self::Failed => "failed",
        }
    }
}

/// A mark as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The replay's number.
    pub replay: u64,
    /// A [`MarkState`].
    pub state: String,
    /// The plugin that was run.
    pub plugin_digest: String,
    /// Where a letter failed again.
    pub stage: String,
    /// The word to count by.
    pub code: String,
    /// The column to blame.
    pub column: String,
    /// What is wrong.
    pub reason: String,
    /// When, UTC.
    #[serde(rename(deserialize = "at_text"))]
    pub at: String,
}

/// The condition that picks the letters of one lane and generation.
pub(super) const OF_LANE: &str = "tenant = {tenant:String} AND plugin = {plugin:String} AND topic = {topic:String} \
     AND partition = {partition:Int32} AND generation = {generation:UInt16}";

/// The parameters of [`OF_LANE`].
pub(super) fn lane_parameters(letter: &Letter) -> Vec<(&'static str, String)> {
    let (tenant, plugin, topic, partition, generation) = letter.lane();
    vec![
        ("tenant", tenant.to_owned()),
        ("plugin", plugin.to_owned()),
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
        ("generation", generation.to_string()),
    ]
}

/// The table of the marks of a table of letters.
///
/// | column | meaning |
/// |---|---|
/// | `tenant`, `plugin`, `topic`, `partition`, `generation`, `offset` | the letter |
/// | `replay` | the replay's number: the lower 48 bits of `_epoch` of its rows |
/// | `state` | started, replayed or failed |
/// | `plugin_digest`, `settings_digest` | what was run |
/// | `stage`, `code`, `column`, `reason` | why it failed again |
/// | `intent` | at one letter of each replay that was started: what will be inserted, as in the journal |
/// | `at` | the replay's clock: each replay's is greater than all before it |
pub(super) fn table(database: &str, letters: &str) -> Table {
    let word = |name: &str| {
        let metadata = [(CLICKHOUSE_TYPE.to_owned(), "LowCardinality(String)".to_owned())];
        Field::new(name, DataType::Utf8, false).with_metadata(metadata)
    };
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let fields = vec![
        word("tenant"),
        word("plugin"),
        word("topic"),
        Field::new("partition", DataType::Int32, false),
        Field::new("generation", DataType::UInt16, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("replay", DataType::UInt64, false),
        word("state"),
        word("plugin_digest"),
        word("settings_digest"),
        word("stage"),
        word("code"),
        word("column"),
        text("reason"),
        text("intent"),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
    ];
    Table {
        database: database.into(),
        name: format!("{letters}_replays").into(),
        kind: TableKind::Append,
        schema: Arc::new(Schema::new(fields)),
        sort_key: ["tenant", "plugin", "topic", "partition", "offset"].map(String::from).to_vec(),
        partition_by: None,
        indexes: vec![],
    }
}

/// The query for the last mark of each letter.
pub(super) fn last(marks: &Table) -> String {
    format!(
        "SELECT tenant, plugin, topic, partition, generation, offset, last.1 AS state, last.2 AS replay, \
         last.3 AS plugin_digest, last.4 AS stage, last.5 AS code, last.6 AS column, last.7 AS reason FROM \
         (SELECT tenant, plugin, topic, partition, generation, offset, argMax((toString(state), replay, \
         toString(plugin_digest), toString(stage), toString(code), toString(column), reason), \
         (at, state != 'started')) AS last FROM {} GROUP BY tenant, plugin, topic, partition, generation, offset)",
        marks.quoted()
    )
}

/// The same where there is no table of marks yet.
pub(super) const NONE: &str = "SELECT '' AS tenant, '' AS plugin, '' AS topic, toInt32(0) AS partition, \
     toUInt16(0) AS generation, toInt64(0) AS offset, '' AS state, toUInt64(0) AS replay, '' AS plugin_digest, \
     '' AS stage, '' AS code, '' AS column, '' AS reason WHERE 0";

#[derive(Deserialize)]
struct StartedRow {
    intent: String,
}

#[derive(Deserialize)]
struct ClockRow {
    last: i64,
}

impl Letters {
    pub(super) async fn prepare_marks(&self) -> Result<(), SinkError> {
        self.clickhouse.prepare(&self.marks).await.map(drop)
    }

    /// The marks of a letter, oldest first.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn marks_of(&self, letter: &Letter) -> Result<Vec<Mark>, SinkError> {
        if !self.existing().await?.contains(&*self.marks.name) {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT replay, state, plugin_digest, stage, code, column, reason, toString(at) AS at_text FROM {} \
             WHERE {OF_LANE} AND offset = {} ORDER BY at, state != 'started'",
            self.marks.quoted(),
            letter.offset,
        );
        self.clickhouse.select(&self.marks, &query, &lane_parameters(letter)).await
    }

    /// A clock that is behind no mark of a plugin's letters.
    pub(super) async fn next_clock(&self, plugin: &str, now_ms: i64) -> Result<i64, SinkError> {
        let query = format!(
            "SELECT max(toUnixTimestamp64Milli(at)) AS last FROM {} WHERE plugin = {{plugin:String}}",
            self.marks.quoted()
        );
        // An aggregate of nothing is one row, the type's zero.
        let rows: Vec<ClockRow> = self.clickhouse.select(&self.marks, &query, &[("plugin", plugin.to_owned())]).await?;
        Ok(rows.first().map_or(0, |row| row.last.saturating_add(1)).max(now_ms))
    }

    /// What a replay that was started decided. `None`: the mark that holds it is gone.
    pub(super) async fn started(&self, letter: &Letter) -> Result<Option<Intent>, SinkError> {
        let query = format!(
            "SELECT intent FROM {} WHERE {OF_LANE} AND replay = {} AND state = 'started' AND intent != '' LIMIT 1",
            self.marks.quoted(),
            letter.replay
        );
        let rows: Vec<StartedRow> = self.clickhouse.select(&self.marks, &query, &lane_parameters(letter)).await?;
        Ok(rows.first().and_then(|row| serde_json::from_str(&row.intent).ok()))
    }

    /// Writes down, before anything of it leaves, what a replay will insert.
    pub(super) async fn mark_started(&self, letters: &[Letter], intent: &Intent) -> Result<(), SinkError> {
        let json = serde_json::to_string(intent).expect("an intent is plain data");
        let states = vec![(MarkState::Started, None); letters.len()];
        self.mark(letters, intent, &states, &json, "started").await
    }

    /// Writes down what became of each letter.
    pub(super) async fn mark_ended(
        &self,
        letters: &[Letter],
        intent: &Intent,
        rejects: &[Reject],
    ) -> Result<(), SinkError> {
        let state = |letter: &Letter| match rejects.binary_search_by_key(&letter.offset, |reject| reject.offset) {
            Ok(index) => (MarkState::Failed, rejects.get(index)),
            Err(_) => (MarkState::Replayed, None),
        };
        let states: Vec<_> = letters.iter().map(state).collect();
        self.mark(letters, intent, &states, "", "ended").await
    }

    async fn mark(
        &self,
        letters: &[Letter],
        intent: &Intent,
        states: &[(MarkState, Option<&Reject>)],
        intent_json: &str,
        step: &str,
    ) -> Result<(), SinkError> {
        let batch = RecordBatch::try_new(self.marks.schema.clone(), columns(letters, intent, states, intent_json));
        let batches = vec![batch.expect("columns are the table's")];
        let digest = digest(&batches);
        let block = Block { table: self.marks.clone(), batches, rows: letters.len(), digest };
        let token = format!("replay-{}-{step}-{digest:032x}", intent.epoch);
        self.clickhouse.insert(&Sending::unclaimed(block, token)).await.map(drop)
    }
}

fn columns(
    letters: &[Letter],
    intent: &Intent,
    states: &[(MarkState, Option<&Reject>)],
    intent_json: &str,
) -> Vec<ArrayRef> {
    let rows = letters.len();
    let of_letter = |of: fn(&Letter) -> &str| text(letters.iter().map(of));
    let same = |value: &str| text(std::iter::repeat_n(value, rows));
    let rejects = || states.iter().map(|(_, reject)| *reject);
    let of_reject = |of: fn(&Reject) -> &str| text(rejects().map(|reject| reject.map_or("", of)));
    let at = TimestampMillisecondArray::from(vec![intent.clock_ms; rows]).with_timezone("UTC");
    vec![
        of_letter(|letter| &letter.tenant),
        of_letter(|letter| &letter.plugin),
        of_letter(|letter| &letter.topic),
        Arc::new(Int32Array::from_iter_values(letters.iter().map(|letter| letter.partition))),
        Arc::new(UInt16Array::from_iter_values(letters.iter().map(|letter| letter.generation))),
        Arc::new(Int64Array::from_iter_values(letters.iter().map(|letter| letter.offset))),
        Arc::new(UInt64Array::from(vec![intent.epoch; rows])),
        text(states.iter().map(|(state, _)| state.as_str())),
        same(&intent.plugin_digest),
        same(&intent.settings_digest),
        of_reject(|reject| reject.stage.as_str()),
        of_reject(|reject| &reject.code),
        of_reject(|reject| reject.column.as_deref().unwrap_or_default()),
        of_reject(|reject| &reject.reason),
        text((0..rows).map(|row| if row == 0 { intent_json } else { "" })),
        Arc::new(at),
    ]
}

fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
