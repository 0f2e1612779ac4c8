//! What a view reads, checked before anything is made of it.

use serde::Deserialize;

use super::tokens::{tables_read, tokens};
use super::{Database, LONG, QUICK, SchemaError};
use crate::table::quote;

/// A table or view of the database.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) engine: String,
    /// What made it, as the server has it.
    pub(super) statement: String,
    /// Of a view, its query.
    pub(super) made: String,
}

/// All of the database.
pub(super) async fn known(database: &Database) -> Result<Vec<Known>, SchemaError> {
    let query = "SELECT name, engine, create_table_query AS statement, as_select AS made FROM system.tables \
                 WHERE database = currentDatabase() ORDER BY name";
    database.rows(query, &[], QUICK).await
}

/// The tables of the database that queries read, through views as well.
pub(super) fn sources<'a>(database: &str, known: &'a [Known], queries: &[&str]) -> Vec<&'a Known> {
    let mut found: Vec<&Known> = Vec::new();
    let mut queries: Vec<&str> = queries.to_vec();
    while let Some(query) = queries.pop() {
        for read in tables_read(&tokens(query)) {
            let here = read.database.is_none_or(|of| of == database);
            let Some(one) = known.iter().find(|one| here && one.name == read.table) else { continue };
            if !found.iter().any(|other| other.name == one.name) {
                found.push(one);
                if one.engine == "View" {
                    queries.push(&one.made);
                }
            }
        }
    }
    found.retain(|one| one.engine != "View");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[derive(Deserialize)]
struct Tabled {
    of: String,
}

#[derive(Deserialize)]
struct Counted {
    twice: u64,
    lacking: u64,
}

/// Whether an append table of the engine's has each row that its epochs gave it, once: their names are counted. Rows that
/// nobody can name (another's table, or one whose merges drop rows) are taken as they are.
pub(super) async fn check(database: &Database, source: &Known) -> Result<(), SchemaError> {
    if !["MergeTree", "ReplicatedMergeTree", "SharedMergeTree"].contains(&source.engine.as_str()) {
        return Ok(());
    }
    let query = "SELECT table AS of FROM system.columns WHERE database = currentDatabase() AND table = {table:String} \
                 AND name IN ('_lane', '_epoch', '_row') GROUP BY table HAVING count() = 3";
    if database.rows::<Tabled>(query, &[("table", &source.name)], QUICK).await?.is_empty() {
        return Ok(());
    }
    // A message that is set aside leaves the ordinals of its rows unused; replays of letters (bit 47) have any ordinals.
    let query = "SELECT table AS of FROM system.columns WHERE database = currentDatabase() \
                 AND name IN ('plugin_digest', 'message_bytes', '_lane', '_epoch') GROUP BY table HAVING count() = 4";
    let letters: Vec<Tabled> = database.rows(query, &[], QUICK).await?;
    let whole: String = letters
        .iter()
        .map(|it| format!(" AND (_lane, _epoch) NOT IN (SELECT _lane, _epoch FROM {})", quote(&it.of)))
        .collect();
    let query = format!(
        "SELECT toUInt64(sum(n - u)) AS twice, toUInt64(sumIf(m + 1 - u, 1{whole})) AS lacking FROM \
         (SELECT _lane, _epoch, count() AS n, uniqExact(_row) AS u, max(_row) AS m FROM {} \
         WHERE NOT bitTest(_epoch, 47) GROUP BY _lane, _epoch)",
        quote(&source.name)
    );
    let counted: Vec<Counted> = database.rows(&query, &[], LONG).await?;
    match counted.first() {
        Some(Counted { twice: 0, lacking: 0 }) | None => Ok(()),
        Some(Counted { twice, lacking }) => Err(SchemaError::Source {
            words: format!(
                "{} lacks {lacking} rows of its epochs and has {twice} twice, so what is made of it would be wrong; engine \
                 verify says which. Where rows were taken out on purpose (a TTL, DELETE, engine replay --delete-rows): --unchecked",
                quote(&source.name)
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_through_views() {
        let known = |name: &str, engine: &str, made: &str| Known {
            name: name.to_owned(),
            engine: engine.to_owned(),
            statement: String::new(),
            made: made.to_owned(),
        };
        let all = [
            known("orders", "ReplacingMergeTree", ""),
            known("orders_current", "View", "SELECT * FROM gold.orders FINAL"),
            known("kpi", "View", "SELECT * FROM gold.orders_current JOIN gold.kpi ON 1"),
            known("products", "MergeTree", ""),
        ];
        let found = |query: &str| -> Vec<&str> {
            sources("gold", &all, &[query]).into_iter().map(|one| one.name.as_str()).collect()
        };
        assert_eq!(found("SELECT * FROM `gold`.`kpi` JOIN products USING id"), ["orders", "products"]);
        assert_eq!(found("SELECT * FROM other.orders"), [""; 0]);
    }
}
