//! A table that views fill: its days, its columns, and the views' queries, as the server has them.

use serde::Deserialize;

use super::source::Known;
use super::tokens::{Kind, Token, head, named_after, tables_read, tokens};
use super::{Database, QUICK, SchemaError};
use crate::table::quote;

/// A table, and what makes its rows.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The expression of its partitions.
    pub(super) day: String,
    /// How it is made, as `CREATE TABLE` has it, where it can't be said by its name: on a server of a cluster.
    pub(super) engine: Option<String>,
    /// Its merges make one row of several.
    pub(super) merges: bool,
    /// Its columns in their order: each as a reader has its value.
    pub(super) values: Vec<String>,
    /// The views that fill it.
    pub(super) views: Vec<View>,
}

/// A view that fills a target.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) name: String,
    /// Its query.
    pub(super) made: String,
    /// Its columns, quoted, as a list.
    pub(super) columns: String,
    pub(super) when: When,
}

/// When a view fills its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// With each insert into its source.
    Inserts,
    /// By the clock, the whole table anew.
    Anew,
    /// By the clock, further rows.
    Further,
}

impl When {
    /// As the statement says that creates a view.
    pub(super) fn of(statement: &str) -> Self {
        let all = tokens(statement);
        let says = |word: &str| head(&all).iter().any(|token| token.depth == 0 && token.is_word(word));
        match (says("REFRESH"), says("APPEND")) {
            (false, _) => Self::Inserts,
            (true, false) => Self::Anew,
            (true, true) => Self::Further,
        }
    }
}

/// The table that a view's statement fills: its database, where it is named, and its name.
pub(super) fn fills(statement: &str) -> Option<(Option<String>, String)> {
    named_after(head(&tokens(statement)), "TO").map(|read| (read.database, read.table))
}

#[derive(Deserialize)]
struct FoundTable {
    engine: String,
    engine_full: String,
    partition_key: String,
}

#[derive(Deserialize)]
struct FoundColumn {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
    default_kind: String,
}

/// Looks a table up.
///
/// # Errors
/// There is no such table, nothing fills it, or it has no rows of its own.
pub(super) async fn find(database: &Database, known: &[Known], table: &str) -> Result<Target, SchemaError> {
    let wrong = |words: String| SchemaError::Target { table: table.to_owned(), words };
    let query = "SELECT engine, engine_full, partition_key FROM system.tables \
                 WHERE database = currentDatabase() AND name = {table:String}";
    let found: Vec<FoundTable> = database.rows(query, &[("table", table)], QUICK).await?;
    let Some(FoundTable { engine, engine_full, partition_key }) = found.into_iter().next() else {
        return Err(wrong(format!("there is none in database {}: engine schema apply makes it", database.name)));
    };
    let views = views(database, known, table).await?;
    if views.is_empty() {
        return Err(wrong("no materialized view fills it (CREATE MATERIALIZED VIEW … TO it)".to_owned()));
    }
    if engine == "Distributed" {
        return Err(wrong(
            "it shows other servers' tables: fill those, each at its own server (--clickhouse)".to_owned(),
        ));
    }
    let columns = columns(database, table).await?;
    let columns = columns.iter().filter(|column| !["ALIAS", "MATERIALIZED"].contains(&column.default_kind.as_str()));
    let base = engine.strip_prefix("Replicated").unwrap_or(&engine);
    Ok(Target {
        name: table.to_owned(),
        day: partition_key,
        engine: (base != engine).then(|| alone(&engine_full)),
        merges: base.ends_with("MergeTree") && base != "MergeTree",
        values: columns.map(value).collect(),
        views,
    })
}

async fn views(database: &Database, known: &[Known], table: &str) -> Result<Vec<View>, SchemaError> {
    let mut views = Vec::new();
    for Known { name, statement, made, .. } in known.iter().filter(|one| one.engine == "MaterializedView") {
        let Some((of, filled)) = fills(statement) else { continue };
        if filled == table && of.is_none_or(|of| of == database.name) {
            let columns: Vec<_> = columns(database, name).await?.iter().map(|column| quote(&column.name)).collect();
            let (name, made, when) = (name.clone(), made.clone(), When::of(statement));
            views.push(View { name, made, columns: columns.join(", "), when });
        }
    }
    Ok(views)
}

/// The tables that views make of a table.
pub(super) fn made_of(database: &str, known: &[Known], table: &str) -> Vec<String> {
    let reads = |one: &&Known| {
        let read = tables_read(&tokens(&one.made));
        read.iter().any(|read| read.table == table && read.database.as_ref().is_none_or(|of| of == database))
    };
    let views = known.iter().filter(|one| one.engine == "MaterializedView").filter(reads);
    let mut tables: Vec<String> = views.filter_map(|one| fills(&one.statement)).map(|(_, table)| table).collect();
    tables.sort();
    tables.dedup();
    tables
}

async fn columns(database: &Database, table: &str) -> Result<Vec<FoundColumn>, SchemaError> {
    let query = "SELECT name, type, default_kind FROM system.columns WHERE database = currentDatabase() \
                 AND table = {table:String} ORDER BY position";
    database.rows(query, &[("table", table)], QUICK).await
}

/// What a reader has of a column: of a state, its value.
fn value(column: &FoundColumn) -> String {
    let name = quote(&column.name);
    if column.column_type.starts_with("AggregateFunction(") { format!("finalizeAggregation({name})") } else { name }
}

/// The engine of a table of the same shape that no other server has: without the place of its log and its own name there.
pub(super) fn alone(engine: &str) -> String {
    let all = tokens(engine);
    let engine_name = all.first().map_or("", |token| token.text);
    let name = engine_name.strip_prefix("Replicated").unwrap_or(engine_name);
    let shared = all.get(1).is_some_and(|token| token.is_sign("("));
    // The first argument is a path in quotes, the second a name; what follows is the engine's own.
    let places = all.iter().skip(2).take_while(|token| token.kind == Kind::Text || token.is_sign(","));
    let end = if shared { places.last().map_or(engine_name.len() + 1, Token::end) } else { engine_name.len() };
    let rest = &engine[end..];
    let rest = rest.split(" SETTINGS ").next().unwrap_or_default();
    if shared { format!("{name}({}", rest.trim_start()) } else { format!("{name}{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_values() {
        let cases = [
            ("AggregateFunction(count)", "finalizeAggregation(`c`)"),
            ("SimpleAggregateFunction(max, DateTime64(3, 'UTC'))", "`c`"),
            ("LowCardinality(String)", "`c`"),
        ];
        for (column_type, expected) in cases {
            let (name, default_kind) = ("c".to_owned(), String::new());
            assert_eq!(value(&FoundColumn { name, column_type: column_type.to_owned(), default_kind }), expected);
        }
    }

    #[test]
    fn a_view_says_which_table_it_fills_and_when() {
        let cases = [
            (
                "CREATE MATERIALIZED VIEW gold.fill TO gold.hourly (`a` String) AS SELECT a FROM gold.silver",
                When::Inserts,
            ),
            (
                "CREATE MATERIALIZED VIEW gold.fill REFRESH EVERY 1 MINUTE TO gold.`hourly` AS WITH 1 AS x SELECT x",
                When::Anew,
            ),
            (
                "CREATE MATERIALIZED VIEW gold.fill REFRESH EVERY 1 HOUR APPEND TO gold.hourly AS SELECT 1",
                When::Further,
            ),
        ];
        for (statement, when) in cases {
            assert_eq!(When::of(statement), when, "{statement}");
            assert_eq!(fills(statement), Some((Some("gold".to_owned()), "hourly".to_owned())), "{statement}");
        }
        assert_eq!(fills("CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT 1"), None);
    }

    #[test]
    fn a_table_beside_has_no_replicas() {
        let cases = [
            (
                "ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') PARTITION BY toDate(h) ORDER BY h SETTINGS index_granularity = 8192",
                "AggregatingMergeTree() PARTITION BY toDate(h) ORDER BY h",
            ),
            (
                "ReplicatedReplacingMergeTree('/a', 'r', _version, _deleted) ORDER BY k",
                "ReplacingMergeTree(_version, _deleted) ORDER BY k",
            ),
            ("ReplicatedMergeTree ORDER BY k", "MergeTree ORDER BY k"),
        ];
        for (engine, expected) in cases {
            assert_eq!(alone(engine), expected);
        }
    }
}
