//! Statements that create tables and views.

use arrow_schema::Field;

use crate::table::{CLICKHOUSE_CODEC, COMMENT, Index, TABLE_TTL, Table, TableKind, quote};

use super::expression::{self, Expression};
use super::storage;
use super::types::{self, ColumnType};

/// How many parts back the server knows a token again.
///
/// It has to cover what all writers of a table add while one block is under way or its engine is down. 10,000 parts
/// are 16 minutes at 10 parts a second, more than a table can merge for long. A remembered part costs the server about
/// 100 bytes of memory and disk: 1 MB a table. It is also ClickHouse's own default for replicated tables.
pub(super) const WINDOW_PARTS: u64 = 10_000;

/// A table, its types and keys read and found good.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) table: &'a Table,
    /// In the schema's order.
    pub(super) columns: Vec<Column<'a>>,
    sort_key: Vec<Expression>,
    partition_by: Option<Expression>,
    /// Each as `CREATE TABLE` has it.
    indexes: Vec<String>,
}

/// A column of a plan.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) column_type: ColumnType,
    codec: Option<String>,
    comment: Option<&'a str>,
}

impl<'a> Plan<'a> {
    /// Checks a table before the server sees anything of it.
    ///
    /// # Errors
    /// One line for each thing that is wrong.
    pub(super) fn new(table: &'a Table) -> Result<Self, String> {
        let mut wrong = Vec::new();
        let mut good = |result: Result<_, String>| result.map_err(|problem| wrong.push(problem)).ok();
        let sort_key = table.sort_key.iter().filter_map(|text| good(expression::read(text, &table.schema))).collect();
        let partition_by = table.partition_by.as_ref().and_then(|text| good(expression::read(text, &table.schema)));
        let mut columns = Vec::new();
        for field in table.schema.fields() {
            match Column::new(field) {
                Ok(column) => columns.push(column),
                Err(problem) => wrong.push(format!("column `{}`: {problem}", field.name())),
            }
        }
        let mut indexes = Vec::new();
        for index in &table.indexes {
            match index_clause(index, table) {
                Ok(clause) => indexes.push(clause),
                Err(problem) => wrong.push(format!("index `{}`: {problem}", index.name)),
            }
        }
        let plan = Self { table, columns, sort_key, partition_by, indexes };
        wrong.extend(plan.key_problems());
        if wrong.is_empty() { Ok(plan) } else { Err(wrong.join("; ")) }
    }

    /// What ClickHouse would accept, or refuse in words that help less.
    fn key_problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let sorted: Vec<&String> = self.sort_key.iter().flat_map(|key| &key.columns).collect();
        for Column { name, column_type, .. } in &self.columns {
            if column_type.nullable && sorted.iter().any(|column| column == name) {
                wrong.push(format!("column `{name}` is nullable and so can't be in the sort key"));
            }
        }
        if self.table.kind == TableKind::Append {
            return wrong;
        }
        if self.table.sort_key.is_empty() {
            wrong.push("a current-state table needs a sort key: without one all rows are versions of one row".into());
        }
        for name in ["_version", "_deleted"] {
            if self.table.schema.column_with_name(name).is_none() {
                wrong.push(format!("a current-state table needs the column `{name}`"));
            }
        }
        // Versions of one row never meet across partitions: an update would leave the old row behind.
        for column in self.partition_by.iter().flat_map(|key| &key.columns) {
            if !sorted.contains(&column) {
                wrong.push(format!(
                    "a current-state table can't be partitioned by `{column}`, which is not in its sort key"
                ));
            }
        }
        wrong
    }

    /// The sort key as an SQL list, without parentheses.
    pub(super) fn order_by(&self) -> String {
        self.sort_key.iter().map(|key| key.sql.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {} ENGINE = Atomic", quote(&self.table.database))
    }

    pub(super) fn create_table(&self) -> String {
        let clauses = self.columns.iter().map(|column| column.clause("")).chain(self.indexes.iter().cloned());
        let clauses: Vec<String> = clauses.map(|clause| format!("    {clause}")).collect();
        let partition = self.partition_by.as_ref().map(|key| format!("PARTITION BY {}\n", key.sql)).unwrap_or_default();
        let ttl = self.table.schema.metadata().get(TABLE_TTL).map(|ttl| format!("TTL {ttl}\n")).unwrap_or_default();
        let engine = match self.table.kind {
            TableKind::Append => "MergeTree",
            TableKind::Current => "ReplacingMergeTree(_version, _deleted)",
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {}\n(\n{}\n)\nENGINE = {engine}\n{partition}ORDER BY ({})\n\
             {ttl}SETTINGS non_replicated_deduplication_window = {WINDOW_PARTS}",
            self.table.quoted(),
            clauses.join(",\n"),
            self.order_by(),
        )
    }

    /// `ADD COLUMN` for these columns, each behind the one that it follows in the schema. With the default that old rows have
    /// of them in any case: a version of the plugin that knows nothing of them may have to come back.
    pub(super) fn add_columns(&self, missing: &[&str]) -> String {
        let mut clauses = Vec::new();
        let mut before = None;
        for column in &self.columns {
            if missing.contains(&column.name) {
                let place = before.map_or("FIRST".to_owned(), |before| format!("AFTER {}", quote(before)));
                let ColumnType { nullable, .. } = column.column_type;
                let of_type = || storage::string(&column.column_type.to_string());
                let default = (!nullable).then(|| format!(" DEFAULT defaultValueOfTypeName({})", of_type()));
                let clause = column.clause(&default.unwrap_or_default());
                clauses.push(format!("ADD COLUMN IF NOT EXISTS {clause} {place}"));
            }
            before = Some(column.name);
        }
        format!("ALTER TABLE {} {}", self.table.quoted(), clauses.join(", "))
    }

    /// The view's name, unquoted.
    pub(super) fn view_name(&self) -> String {
        format!("{}_current", self.table.name)
    }

    /// The view that shows each row once, as it is now, without `FINAL` in the reader's query.
    pub(super) fn create_view(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quote(column.name)).collect();
        format!(
            "CREATE OR REPLACE VIEW {}.{} AS SELECT {} FROM {} FINAL WHERE _deleted = 0",
            quote(&self.table.database),
            quote(&self.view_name()),
            columns.join(", "),
            self.table.quoted(),
        )
    }
}

/// The statements that make a table, and its view where it has one, on a server that has neither.
///
/// # Errors
/// What is wrong with the table, in words.
pub fn create_statements(table: &Table) -> Result<Vec<String>, String> {
    let plan = Plan::new(table)?;
    let view = (table.kind == TableKind::Current).then(|| plan.create_view());
    Ok([plan.create_table()].into_iter().chain(view).collect())
}

impl<'a> Column<'a> {
    fn new(field: &'a Field) -> Result<Self, String> {
        let name = field.name().as_str();
        let word = |key| field.metadata().get(key).map(String::as_str);
        let codec = word(CLICKHOUSE_CODEC).map(storage::codecs).transpose()?;
        let codec = codec.or_else(|| engine_codec(name).map(str::to_owned));
        Ok(Self { name, column_type: types::declared(field)?, codec, comment: word(COMMENT) })
    }

    /// As `CREATE TABLE` and `ADD COLUMN` have it.
    fn clause(&self, default: &str) -> String {
        let comment = self.comment.map(|comment| format!(" COMMENT {}", storage::string(comment)));
        let codec = self.codec.as_ref().map(|codec| format!(" CODEC({codec})"));
        let (comment, codec) = (comment.unwrap_or_default(), codec.unwrap_or_default());
        format!("{} {}{default}{comment}{codec}", quote(self.name), self.column_type)
    }
}

fn index_clause(index: &Index, table: &Table) -> Result<String, String> {
    let expression = expression::read(&index.expression, &table.schema)?;
    let kind = storage::kind(&index.kind)?;
    Ok(format!("INDEX {} {} TYPE {kind}", quote(&index.name), expression.sql))
}

/// Codecs of the engine's columns: most grow by small steps from row to row, the others hardly change. A plugin's own
/// columns have the codec that it declares, else the server's default.
fn engine_codec(name: &str) -> Option<&'static str> {
    match name {
        "_version" | "_source_ts" | "_offset" | "_lane" | "_epoch" | "_row" | "_ingested_at" => {
            Some("DoubleDelta, ZSTD(1)")
        }
        "_partition" => Some("T64, ZSTD(1)"),
        "_op" | "_deleted" | "_topic" => Some("ZSTD(1)"),
        _ => None,
    }
}
