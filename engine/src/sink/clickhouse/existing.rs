//! A table that is there: what the server says of it, and whether a plan fits.

use arrow_schema::Field;
use serde::Deserialize;

use super::ddl::{Column, Plan};
use super::storage::string;
use super::types::ColumnType;
use crate::sink::Guarantee;
use crate::table::{TableKind, quote};

/// A row of `system.tables`.
#[derive(Debug, Deserialize)]
pub(super) struct Existing {
    engine: String,
    /// Engine, keys and settings, as `CREATE TABLE` would have them.
    engine_full: String,
    sorting_key: String,
    #[serde(default)]
    pub(super) columns: Vec<ExistingColumn>,
}

/// A row of `system.columns`.
#[derive(Debug, Deserialize)]
pub(super) struct ExistingColumn {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
    default_kind: String,
}

/// What has to be done for a plan to fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit<'a> {
    /// Nothing.
    Fits,
    /// These columns have to be added.
    Lacks(Vec<&'a str>),
    /// It would lose data.
    Never {
        mismatch: String,
        /// What an operator would have to run.
        statement: Option<String>,
    },
}

/// The query for [`Existing`]; its parameters are `database` and `table`.
pub(super) const TABLE: &str = "SELECT engine, engine_full, sorting_key FROM system.tables \
     WHERE database = {database:String} AND name = {table:String}";

/// The query for [`ExistingColumn`]s.
pub(super) const COLUMNS: &str = "SELECT name, type, default_kind FROM system.columns \
     WHERE database = {database:String} AND table = {table:String} ORDER BY position";

/// The query for the server's default windows, plain and replicated.
pub(super) const DEFAULT_WINDOWS: &str = "SELECT name, toUInt64OrZero(value) AS value FROM system.merge_tree_settings \
     WHERE name IN ('non_replicated_deduplication_window', 'replicated_deduplication_window')";

/// A row of [`DEFAULT_WINDOWS`].
#[derive(Debug, Deserialize)]
pub(super) struct DefaultWindow {
    name: String,
    /// ClickHouse writes 64-bit numbers as JSON numbers or text, as the user's profile says.
    value: serde_json::Value,
}

impl Existing {
    /// Compares engine, keys and columns.
    pub(super) fn fit<'a>(&self, plan: &Plan<'a>) -> Fit<'a> {
        if let Some(mismatch) = self.engine_mismatch(plan) {
            let table = plan.table;
            let aside = format!("{}.{}", quote(&table.database), quote(&format!("{}_before", table.name)));
            let statement = format!("RENAME TABLE {} TO {aside}", table.quoted());
            return Fit::Never { mismatch, statement: Some(statement) };
        }
        let (mut lacks, mut wrong, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for Column { name, column_type: wanted, .. } in &plan.columns {
            match self.columns.iter().find(|column| column.name == *name) {
                None => lacks.push(*name),
                Some(column) => match column.problem(wanted) {
                    None => {}
                    Some(problem) => {
                        wrong.push(problem);
                        changes.push(format!("MODIFY COLUMN {} {wanted}", quote(name)));
                    }
                },
            }
        }
        for column in self.columns.iter().filter(|column| plan.table.schema.column_with_name(&column.name).is_none()) {
            if !column.fills_itself() {
                let ExistingColumn { name, column_type, .. } = column;
                wrong.push(format!("column `{name}` {column_type} is not among the plugin's and has no default"));
                changes.push(format!(
                    "MODIFY COLUMN {} DEFAULT defaultValueOfTypeName({})",
                    quote(name),
                    string(column_type)
                ));
            }
        }
        if !wrong.is_empty() {
            let statement = format!("ALTER TABLE {} {}", plan.table.quoted(), changes.join(", "));
            return Fit::Never { mismatch: wrong.join("; "), statement: Some(statement) };
        }
        if lacks.is_empty() { Fit::Fits } else { Fit::Lacks(lacks) }
    }

    /// A current-state table must collapse by the same key and version, else it shows other rows. An append table may
    /// have any engine: whoever made a summing table on purpose gets one, with the guarantee that it has.
    fn engine_mismatch(&self, plan: &Plan<'_>) -> Option<String> {
        if matches!(self.engine.as_str(), "View" | "MaterializedView") {
            return Some("there is a view of that name".into());
        }
        if plan.table.kind == TableKind::Append {
            return None;
        }
        let definition = plain(self.engine_full.split(" ORDER BY ").next().unwrap_or_default());
        if !definition.contains("ReplacingMergeTree(") || !definition.contains("_version,_deleted)") {
            return Some(format!("its engine is {}, not ReplacingMergeTree(_version, _deleted)", self.engine));
        }
        // ClickHouse keeps the parentheses around a single key if they were written.
        let (found, wanted) = (plain(&self.sorting_key), plain(&plan.order_by()));
        let same = found == wanted || found == format!("({wanted})");
        (!same).then(|| format!("its sort key is {}, not {}", self.sorting_key, plan.order_by()))
    }

    /// How far the table's tokens reach.
    pub(super) fn guarantee(&self, defaults: &[DefaultWindow]) -> Guarantee {
        let setting = match self.engine.as_str() {
            name if !name.ends_with("MergeTree") => return Guarantee::None,
            name if name.starts_with("Replicated") || name.starts_with("Shared") => "replicated_deduplication_window",
            _ => "non_replicated_deduplication_window",
        };
        let own = self.engine_full.split_once(" SETTINGS ").and_then(|(_, settings)| {
            let value = settings.split(", ").find_map(|pair| pair.strip_prefix(setting)?.strip_prefix(" = "));
            value?.trim().parse().ok()
        });
        let default = || defaults.iter().find(|default| default.name == setting).map_or(0, DefaultWindow::parts);
        match own.unwrap_or_else(default) {
            0 => Guarantee::None,
            parts => Guarantee::Window { parts },
        }
    }

    /// Whether each row that was inserted can be found again as it was: no engine that merges rows of one key, or leads
    /// them elsewhere.
    pub(super) fn keeps_rows(&self) -> bool {
        let plain = ["MergeTree", "ReplicatedMergeTree", "SharedMergeTree"].contains(&self.engine.as_str());
        plain && self.names_rows()
    }

    /// Whether rows that have landed are seen by whoever asks next, but for those that newer ones of their keys have replaced.
    /// Replicas may be behind each other; they note tokens and parts in one step.
    pub(super) fn tells_rows(&self) -> bool {
        ["MergeTree", "ReplacingMergeTree"].contains(&self.engine.as_str()) && self.names_rows()
    }

    fn names_rows(&self) -> bool {
        ["_lane", "_epoch", "_row"].iter().all(|name| self.columns.iter().any(|column| column.name == *name))
    }

    /// Whether a view shows exactly these columns.
    pub(super) fn shows(&self, fields: &[std::sync::Arc<Field>]) -> bool {
        self.columns.iter().map(|column| &column.name).eq(fields.iter().map(|field| field.name()))
    }

    pub(super) fn is_view(&self) -> bool {
        self.engine == "View"
    }
}

impl ExistingColumn {
    fn problem(&self, wanted: &ColumnType) -> Option<String> {
        let Self { name, column_type, default_kind } = self;
        if matches!(default_kind.as_str(), "MATERIALIZED" | "ALIAS") {
            return Some(format!("column `{name}` is {default_kind}, so nothing can be inserted into it"));
        }
        let holds = ColumnType::parse(column_type).is_some_and(|found| found.holds(wanted));
        (!holds).then(|| format!("column `{name}` is {column_type}, which can't hold every {wanted}"))
    }

    /// Whether rows that do not name it get what somebody chose: a default, or null.
    fn fills_itself(&self) -> bool {
        !self.default_kind.is_empty()
            || self.column_type.starts_with("Nullable(")
            || self.column_type.starts_with("LowCardinality(Nullable(")
    }
}

impl DefaultWindow {
    fn parts(&self) -> u64 {
        self.value.as_u64().or_else(|| self.value.as_str()?.parse().ok()).unwrap_or(0)
    }
}

/// SQL without what ClickHouse writes or leaves out as it likes.
fn plain(sql: &str) -> String {
    sql.chars().filter(|c| !c.is_whitespace() && *c != '`').collect()
}
