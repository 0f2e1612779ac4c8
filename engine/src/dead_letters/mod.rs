//! Dead letters looked at and replayed, by commands beside the engine or without it.
//!
//! **Promise.** What is said of a letter is what its table and the marks beside it say; nothing that was written is ever
//! changed. A letter is *open* until a replay has put its rows into the tables; [`replay`] says how that is exactly once.
//! **Assumed.** Letters were written by lanes ([`crate::sink::dead_letter_table`]).
//! **After a crash** of a command, the same command goes on where it was: see [`replay`].

mod letter;
mod marks;
pub mod recording;
pub mod replay;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::offsets::PluginKey;
use crate::sink::{ClickHouse, SinkError, dead_letter_table};
use crate::table::Table;

pub use letter::{Body, Letter};
pub use marks::{Mark, MarkState};

/// Which letters are meant. A field that is `None` takes all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The plugin that set them aside.
    pub plugin: Option<PluginKey>,
    /// The topic.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The message's offset.
    pub offset: Option<i64>,
    /// The code, as the letter stands: that of the last replay where it failed again.
    pub code: Option<String>,
    /// Set aside at this time or later, ms since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// Those that were replayed as well.
    pub resolved: bool,
    /// The first so many, by topic, partition, offset; 0 for all.
    pub limit: u64,
}

/// Open letters of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The plugin's tenant.
    pub tenant: String,
    /// The plugin's name.
    pub plugin: String,
    /// The stage of the path.
    pub stage: String,
    /// The word to count by.
    pub code: String,
    /// The column to blame; empty where there is none.
    pub column: String,
    /// How many letters.
    pub letters: u64,
    /// Of these, how many were replayed and failed again.
    pub failed_again: u64,
    /// Of these, how many are being replayed, or were when a replay was interrupted.
    pub interrupted: u64,
    /// Of these, how many hold only the beginning of their message.
    pub cut: u64,
    /// When the first was set aside, UTC.
    pub first: String,
    /// When the last was set aside, UTC.
    pub last: String,
    /// Some of their topics.
    pub topics: Vec<String>,
    /// The reason of one of them.
    pub reason: String,
}

/// A table of dead letters with its marks.
#[derive(Debug)]
pub struct Letters {
    clickhouse: Arc<ClickHouse>,
    letters: Table,
    marks: Arc<Table>,
}

/// Letters joined with their last mark. `{letters}` and `{marks}` are tables, `{where}` a condition on letters.
const STANDING: &str = "\
SELECT l.tenant AS tenant, l.plugin AS plugin, l.topic AS topic, l.partition AS partition, l.generation AS generation, \
 l.offset AS offset, l.timestamp AS timestamp, l.bytes AS bytes, l.cut AS cut, l.set_aside AS set_aside, \
 m.state AS state, m.replay AS replay, \
 if(m.state = 'failed', m.plugin_digest, l.plugin_digest) AS plugin_digest, \
 if(m.state = 'failed', m.stage, l.stage) AS stage, if(m.state = 'failed', m.code, l.code) AS code, \
 if(m.state = 'failed', m.column, l.column) AS column, if(m.state = 'failed', m.reason, l.reason) AS reason \
FROM (SELECT tenant, plugin, topic, partition, toUInt16(bitShiftRight(_epoch, 48)) AS generation, offset, \
  toUnixTimestamp64Milli(timestamp) AS timestamp, message_bytes AS bytes, toUInt8(cut_sha256 != '') AS cut, \
  toUnixTimestamp64Milli(_ingested_at) AS set_aside, toString(plugin_digest) AS plugin_digest, \
  toString(stage) AS stage, toString(code) AS code, ifNull(toString(column), '') AS column, reason \
 FROM {letters} WHERE {where} ORDER BY _epoch, _row \
 LIMIT 1 BY tenant, plugin, topic, partition, generation, offset) AS l \
LEFT JOIN ({marks}) AS m ON l.tenant = m.tenant AND l.plugin = m.plugin AND l.topic = m.topic \
 AND l.partition = m.partition AND l.generation = m.generation AND l.offset = m.offset";

impl Letters {
    /// The letters in this table.
    #[must_use]
    pub fn new(clickhouse: Arc<ClickHouse>, database: &str, table: &str) -> Self {
        let (letters, marks) = (dead_letter_table(database, table), Arc::new(marks::table(database, table)));
        Self { clickhouse, letters, marks }
    }

    /// The table's name, quoted.
    #[must_use]
    pub fn table(&self) -> String {
        self.letters.quoted()
    }

    /// The name of the table of marks, quoted.
    #[must_use]
    pub fn marks(&self) -> String {
        self.marks.quoted()
    }

    /// Whether the table exists. It is made by the first start of an engine whose plugin names it.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn exist(&self) -> Result<bool, SinkError> {
        Ok(self.existing().await?.contains(&*self.letters.name))
    }

    async fn existing(&self) -> Result<BTreeSet<String>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
        }
        let query = "SELECT name FROM system.tables WHERE database = {database:String}";
        let rows: Vec<Row> =
            self.clickhouse.select(&self.letters, query, &[("database", self.letters.database.to_string())]).await?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    /// Letters by plugin, stage, code and column, the most frequent first.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn groups(&self, filter: &Filter) -> Result<Vec<Group>, SinkError> {
        let (standing, parameters) = self.standing(filter).await?;
        let time = |of: &str| format!("toString(fromUnixTimestamp64Milli({of}(set_aside), 'UTC'))");
        let query = format!(
            "SELECT tenant, plugin, stage, code, column, count() AS letters, countIf(state = 'failed') AS failed_again, \
             countIf(state = 'started') AS interrupted, countIf(cut) AS cut_letters, {} AS first, {} AS last, \
             arraySort(groupUniqArray(5)(topic)) AS topics, any(reason) AS sample FROM ({standing}) \
             GROUP BY tenant, plugin, stage, code, column ORDER BY letters DESC, tenant, plugin, stage, code, column{}",
            time("min"),
            time("max"),
            limit(filter)
        );
        // ClickHouse lets an alias shadow the column of its own argument, so these two have other names there.
        let query =
            format!("SELECT * EXCEPT (sample, cut_letters), sample AS reason, cut_letters AS cut FROM ({query})");
        self.clickhouse.select(&self.letters, &query, &parameters).await
    }

    /// Letters by topic, partition and offset, without their bytes.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn find(&self, filter: &Filter) -> Result<Vec<Letter>, SinkError> {
        let (standing, parameters) = self.standing(filter).await?;
        let order = "ORDER BY tenant, plugin, topic, partition, generation, offset";
        let query = format!("SELECT * FROM ({standing}) {order}{}", limit(filter));
        self.clickhouse.select(&self.letters, &query, &parameters).await
    }

    async fn standing(&self, filter: &Filter) -> Result<(String, Vec<(&'static str, String)>), SinkError> {
        let mut parameters = Vec::new();
        let mut letters = vec!["1".to_owned()];
        let mut also = |name: &'static str, condition: &str, value: Option<String>| {
            if let Some(value) = value {
                letters.push(condition.to_owned());
                parameters.push((name, value));
            }
        };
        let PluginKey { tenant, name } = filter.plugin.clone().unwrap_or(PluginKey::new("", ""));
        let named = |name: String| filter.plugin.is_some().then_some(name);
        also("tenant", "tenant = {tenant:String}", named(tenant));
        also("plugin", "plugin = {plugin:String}", named(name));
        also("topic", "topic = {topic:String}", filter.topic.clone());
        also("partition", "partition = {partition:Int32}", filter.partition.map(|it| it.to_string()));
        also("offset", "offset = {offset:Int64}", filter.offset.map(|it| it.to_string()));
        let since = "_ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')";
        also("since", since, filter.since_ms.map(|it| it.to_string()));
        let mut joined = vec!["1"];
        if let Some(code) = &filter.code {
            joined.push("code = {code:String}");
            parameters.push(("code", code.clone()));
        }
        if !filter.resolved {
            joined.push("state != 'replayed'");
        }
        let marks = if self.existing().await?.contains(&*self.marks.name) {
            marks::last(&self.marks)
        } else {
            marks::NONE.to_owned()
        };
        let standing = STANDING
            .replace("{letters}", &self.letters.quoted())
            .replace("{marks}", &marks)
            .replace("{where}", &letters.join(" AND "));
        Ok((format!("SELECT * FROM ({standing}) WHERE {}", joined.join(" AND ")), parameters))
    }
}

fn limit(filter: &Filter) -> String {
    if filter.limit == 0 { String::new() } else { format!(" LIMIT {}", filter.limit) }
}
