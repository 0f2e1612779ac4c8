//! What an operator's replay does to tables: rows deleted, a shadow made, and put in a table's place.
//!
//! Nothing here is repeated by itself: a copy that may have been made must not be made again beside it. Whoever calls goes
//! on from what it finds.

use std::time::Duration;

use serde::Deserialize;

use super::audit::offset_column;
use super::ddl::Plan;
use super::retry::Attempt;
use super::{ClickHouse, SinkError, TablePlan};
use crate::sink::Sink;
use crate::table::{Table, TableKind, quote};

/// A copy or a deletion may take as long as the table is large: a day is an error.
const LONG: Duration = Duration::from_hours(24);
const SHORT: Duration = Duration::from_secs(60);

/// Rows of lanes from an offset on: values of `_lane`, and the offset.
pub type RowsFrom = (Vec<u64>, i64);

impl ClickHouse {
    /// Deletes the rows of lanes from an offset on, of epochs before this value of `_epoch` or from it on.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn delete_rows(&self, table: &Table, rows: &RowsFrom, epochs: EpochSide) -> Result<(), SinkError> {
        let (compare, epoch) = match epochs {
            EpochSide::Before(epoch) => ("<", epoch),
            EpochSide::From(epoch) => (">=", epoch),
        };
        let sql = format!(
            "DELETE FROM {} WHERE {} AND _epoch {compare} {epoch} SETTINGS lightweight_deletes_sync = 2, mutations_sync = 2",
            table.quoted(),
            condition(table, rows)
        );
        self.once(table, &sql, LONG).await
    }

    /// Makes a shadow of a table: empty but for the rows that are kept, which are all but `replaced`. A shadow that is there
    /// is made anew. Gives back what the server knows it by, whatever its name becomes.
    ///
    /// # Errors
    /// The server refuses, or the table can't be exchanged.
    pub async fn make_shadow(&self, table: &Table, shadow: &Table, replaced: &[RowsFrom]) -> Result<String, SinkError> {
        let refused = |mismatch: String| SinkError::Table { table: table.quoted(), mismatch, statement: None };
        let views = self.fed_views(table).await?;
        if !views.is_empty() {
            return Err(refused(format!(
                "materialized views read what is inserted into it ({}): they would have every row of a shadow twice, or none. \
                 Drop them, and make them anew afterwards",
                views.join(", ")
            )));
        }
        self.drop_table(shadow).await?;
        // As it is there, with what an operator has changed; as the plugin describes it, where that is another table.
        let fits = matches!(self.plan(table).await, Ok(TablePlan::Keep { .. }));
        let kept = replaced.iter().map(|rows| format!("NOT ({})", condition(table, rows)));
        let kept = kept.collect::<Vec<_>>().join(" AND ");
        if fits {
            self.once(shadow, &format!("CREATE TABLE {} AS {}", shadow.quoted(), table.quoted()), SHORT).await?;
        } else if self.any_rows(table, &kept).await? {
            return Err(refused(
                "the plugin describes it otherwise than it is, so rows before the replayed ones can't be taken over: replay \
                 all partitions --from start"
                    .to_owned(),
            ));
        }
        self.prepare(shadow).await?;
        if fits {
            let columns = self.insertable(table).await?.join(", ");
            let copy = format!(
                "INSERT INTO {} ({columns}) SELECT {columns} FROM {} WHERE {kept} SETTINGS insert_deduplicate = 0, async_insert = 0",
                shadow.quoted(),
                table.quoted()
            );
            self.once(shadow, &copy, LONG).await?;
        }
        let uuid = self.uuid(shadow).await?.filter(|uuid| uuid.bytes().any(|byte| !matches!(byte, b'0' | b'-')));
        uuid.ok_or_else(|| refused("tables of its database can't be exchanged: it needs the engine Atomic".to_owned()))
    }

    /// Puts a shadow in its table's place, at once, and the table under another name. Done already, it has no effect.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn exchange(&self, table: &Table, shadow: &Table, uuid: &str, before: &Table) -> Result<(), SinkError> {
        if self.uuid(table).await?.as_deref() != Some(uuid) {
            let sql = format!("EXCHANGE TABLES {} AND {}", table.quoted(), shadow.quoted());
            self.once(table, &sql, SHORT).await?;
        }
        if self.uuid(shadow).await?.is_some() {
            let sql = format!("RENAME TABLE {} TO {}", shadow.quoted(), before.quoted());
            self.once(shadow, &sql, SHORT).await?;
        }
        self.drop_view(shadow).await
    }

    /// Drops a shadow and its view.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn drop_table(&self, table: &Table) -> Result<(), SinkError> {
        self.drop_view(table).await?;
        self.once(table, &format!("DROP TABLE IF EXISTS {} SYNC", table.quoted()), SHORT).await
    }

    async fn drop_view(&self, table: &Table) -> Result<(), SinkError> {
        if table.kind != TableKind::Current {
            return Ok(());
        }
        let plan = Plan::new(table).map_err(|mismatch| SinkError::Table {
            table: table.quoted(),
            mismatch,
            statement: None,
        })?;
        let view = format!("{}.{}", quote(&table.database), quote(&plan.view_name()));
        self.once(table, &format!("DROP VIEW IF EXISTS {view}"), SHORT).await
    }

    async fn uuid(&self, table: &Table) -> Result<Option<String>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            uuid: String,
        }
        let sql = "SELECT toString(uuid) AS uuid FROM system.tables WHERE database = {database:String} AND name = {table:String}";
        let rows: Vec<Row> = self.select(table, sql, &named(table)).await?;
        Ok(rows.into_iter().next().map(|row| row.uuid))
    }

    async fn fed_views(&self, table: &Table) -> Result<Vec<String>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            views: Vec<String>,
        }
        let sql = "SELECT dependencies_table AS views FROM system.tables WHERE database = {database:String} AND name = {table:String}";
        let rows: Vec<Row> = self.select(table, sql, &named(table)).await?;
        Ok(rows.into_iter().flat_map(|row| row.views).collect())
    }

    async fn any_rows(&self, table: &Table, condition: &str) -> Result<bool, SinkError> {
        let sql = format!("SELECT 1 AS found FROM {} WHERE {condition} LIMIT 1", table.quoted());
        Ok(!self.select::<serde_json::Value>(table, &sql, &[]).await?.is_empty())
    }

    /// The table's columns that rows can be inserted into, quoted.
    async fn insertable(&self, table: &Table) -> Result<Vec<String>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
        }
        let sql = "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} \
                   AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position";
        let rows: Vec<Row> = self.select(table, sql, &named(table)).await?;
        Ok(rows.into_iter().map(|row| quote(&row.name)).collect())
    }

    async fn once(&self, table: &Table, sql: &str, timeout: Duration) -> Result<(), SinkError> {
        let settings = [("max_execution_time", timeout.as_secs().to_string())];
        let done = self.statement(sql, &settings, Attempt::once(timeout)).await;
        done.map(drop).map_err(|trouble| SinkError::Table {
            table: table.quoted(),
            mismatch: format!("{} (ClickHouse code {})", trouble.message, trouble.code),
            statement: Some(sql.to_owned()),
        })
    }
}

/// Which epochs' rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochSide {
    /// Before this value of `_epoch`.
    Before(u64),
    /// From it on.
    From(u64),
}

fn condition(table: &Table, (lanes, from): &RowsFrom) -> String {
    let lanes: Vec<String> = lanes.iter().map(ToString::to_string).collect();
    format!("_lane IN ({}) AND {} >= {from}", lanes.join(", "), offset_column(table))
}

fn named(table: &Table) -> [(&'static str, String); 2] {
    [("database", table.database.to_string()), ("table", table.name.to_string())]
}
