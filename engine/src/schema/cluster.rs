//! The same tables for a cluster: statements for a person to look through and run, once, on any of its servers.
//!
//! Each table keeps its name on each server, so that an engine writes to one server of its shard as it writes to a server that
//! stands alone; what all shards hold together has the name with `_all`.
//!
//! | object | on each server | of all shards |
//! |---|---|---|
//! | the engine's table | `Replicated…MergeTree` | `Distributed`, by the partition of the message |
//! | its view of current rows | as it is | over the table of all shards |
//! | a table of gold that views fill with each insert | `Replicated…MergeTree`: a shard's part, made of its rows | `Distributed`, not to be written to |
//! | a table of gold that is made anew by the clock | its own engine: each server makes the whole of it, of all shards | |
//! | a view that fills a table with each insert | reads the shard's rows, joins tables of all shards | |
//! | a view for readers, a dictionary | | reads all shards |
//!
//! **The sharding key is the message's partition.** All changes of a row are messages of one partition, so its versions meet on
//! one shard, whose merges and `FINAL` are then right; and a lane's blocks are whole on one shard, which knows their
//! tokens and judges its claim. An engine that takes the partitions p of `p % shards = n` and writes to shard n (counted
//! from 0) puts rows where `Distributed` looks for them. Rejected: a hash of the row's key. It cuts each block into as
//! many as there are shards, each with a fate of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SchemaError;
use super::statement::{Kind, Statement};
use super::target::{When, fills};
use super::tokens::{Kind as TokenKind, Read, Token, head, name_at, named_after, tables_read, tokens};
use crate::sink::{create_statements, fence_statement};
use crate::table::{Table, TableKind, quote};

/// The words in front of the name of what a statement creates.
const CREATE: [&str; 11] =
    ["ALTER", "CREATE", "OR", "REPLACE", "TABLE", "MATERIALIZED", "VIEW", "DICTIONARY", "IF", "NOT", "EXISTS"];

/// How long a replicated table remembers tokens: as many parts as one that stands alone, and a week. The server's own hour is
/// over sooner than many an outage.
const WINDOW: &str = "replicated_deduplication_window_seconds = 604800, replicated_deduplication_window";

/// A cluster, and where gold is on it.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Its name in `remote_servers`.
    pub name: &'a str,
    /// The database of gold.
    pub database: &'a str,
}

impl Cluster<'_> {
    /// The statements for the engine's tables and for gold, in the order in which they can be run.
    ///
    /// # Errors
    /// A table of the engine that could not be created anywhere, or a view that would fill a table as often as there are servers.
    pub fn plan(&self, tables: &[Arc<Table>], gold: &[Statement]) -> Result<Vec<String>, SchemaError> {
        let mut databases: BTreeSet<&str> = tables.iter().map(|table| &*table.database).collect();
        if !gold.is_empty() {
            databases.insert(self.database);
        }
        let (here, mut planned) = (quote(self.name), Vec::new());
        for database in &databases {
            planned
                .push(format!("CREATE DATABASE IF NOT EXISTS {} ON CLUSTER {here} ENGINE = Atomic", quote(database)));
        }
        let mut fenced = BTreeSet::new();
        for table in tables {
            if fenced.insert(table.database.clone()) {
                planned.push(self.local(&fence_statement(table), &table.database));
            }
            planned.extend(self.of_engine(table)?);
        }
        let all = self.names(tables, gold);
        for statement in gold {
            planned.extend(self.of_gold(statement, gold, &all)?);
        }
        Ok(planned)
    }

    /// A table that the engine writes, and what all shards hold of it.
    fn of_engine(&self, table: &Table) -> Result<Vec<String>, SchemaError> {
        let wrong = |words| SchemaError::Target { table: table.quoted(), words };
        let mut statements = create_statements(table).map_err(wrong)?.into_iter();
        let database = &table.database;
        let mut planned: Vec<String> = statements.next().iter().map(|create| self.local(create, database)).collect();
        let key = ["_partition", "partition"].into_iter().find(|name| table.schema.column_with_name(name).is_some());
        planned.push(self.distributed(database, &table.name, key));
        if table.kind == TableKind::Current
            && let Some(view) = statements.next()
        {
            planned.push(self.local(&view, database));
            let name = format!("{}_current", table.name);
            let names = BTreeMap::from([(table.name.to_string(), format!("{}_all", table.name))]);
            let mut rewritten = Rewriting::of(&view);
            rewritten.creates(self, database, &format!("{name}_all"));
            rewritten.reads(database, &names, 0);
            planned.push(rewritten.text());
        }
        Ok(planned)
    }

    fn of_gold(
        &self,
        statement: &Statement,
        gold: &[Statement],
        all: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, SchemaError> {
        let mut rewritten = Rewriting::of(&statement.text);
        rewritten.creates(self, self.database, statement.part_of().unwrap_or(&statement.name));
        match statement.kind {
            Kind::Table if is_made_anew(&statement.name, gold) => {}
            Kind::Table => {
                rewritten.replicated();
                let distributed =
                    all.get(&statement.name).map(|_| self.distributed(self.database, &statement.name, None));
                return Ok([rewritten.text()].into_iter().chain(distributed).collect());
            }
            Kind::Filler => {
                // The first table is the one whose inserts the view sees: those of its own server.
                let its_own = match When::of(&statement.text) {
                    When::Inserts => 1,
                    When::Anew => 0,
                    When::Further => return Err(appends(statement)),
                };
                rewritten.fills(self.database);
                rewritten.reads(self.database, all, its_own);
            }
            Kind::View => rewritten.reads(self.database, all, 0),
            Kind::Projection | Kind::Column | Kind::Setting => rewritten.replicated(),
        }
        Ok(vec![rewritten.text()])
    }

    /// The tables and views that are also there for all shards, and under which name.
    fn names(&self, tables: &[Arc<Table>], gold: &[Statement]) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let mut add = |name: &str| drop(names.insert(name.to_owned(), format!("{name}_all")));
        for table in tables.iter().filter(|table| *table.database == *self.database) {
            add(&table.name);
            if table.kind == TableKind::Current {
                add(&format!("{}_current", table.name));
            }
        }
        let is_shared = |statement: &&Statement| {
            statement.kind == Kind::Table
                && merge_tree(&tokens(&statement.text)).is_some()
                && !is_made_anew(&statement.name, gold)
        };
        gold.iter().filter(is_shared).for_each(|statement| add(&statement.name));
        names
    }

    /// The same statement for each server of the cluster, replicated where it makes a table.
    fn local(&self, statement: &str, database: &str) -> String {
        let mut rewritten = Rewriting::of(statement);
        let name = rewritten.created().map(|read| read.table).unwrap_or_default();
        rewritten.creates(self, database, &name);
        rewritten.replicated();
        rewritten.text()
    }

    fn distributed(&self, database: &str, table: &str, key: Option<&str>) -> String {
        let (cluster, database, all) = (quote(self.name), quote(database), quote(&format!("{table}_all")));
        let (table, key) = (quote(table), key.map(|key| format!(", {key}")).unwrap_or_default());
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{all} ON CLUSTER {cluster} AS {database}.{table}\n\
             ENGINE = Distributed({cluster}, {database}, {table}{key})"
        )
    }
}

/// Whether a view makes all of a table by the clock.
fn is_made_anew(table: &str, gold: &[Statement]) -> bool {
    let fillers = gold.iter().filter(|statement| statement.kind == Kind::Filler);
    let mut fillers = fillers.filter(|filler| fills(&filler.text).is_some_and(|(_, filled)| filled == table));
    fillers.any(|filler| When::of(&filler.text) == When::Anew)
}

fn appends(statement: &Statement) -> SchemaError {
    SchemaError::File {
        path: statement.path.clone(),
        line: statement.line,
        words: format!(
            "{} adds rows by the clock (APPEND): on a cluster each server would, so they would be there as often as there are \
             servers. Fill the table with each insert, or make it anew",
            statement.name
        ),
    }
}

/// The word of a statement that names an engine of the family.
fn merge_tree<'a>(tokens: &[Token<'a>]) -> Option<Token<'a>> {
    let at = tokens.iter().position(|token| token.depth == 0 && token.is_word("ENGINE"))?;
    let name = tokens[at + 1..].iter().find(|token| !token.is_sign("="))?;
    name.text.ends_with("MergeTree").then_some(*name)
}

/// A statement, and what is written in place of its parts.
struct Rewriting<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    edits: Vec<(std::ops::Range<usize>, String)>,
}

impl<'a> Rewriting<'a> {
    fn of(sql: &'a str) -> Self {
        Self { sql, tokens: tokens(sql), edits: Vec::new() }
    }

    /// The name of what it creates.
    fn created(&self) -> Option<Read> {
        let at = self.tokens.iter().position(|token| !CREATE.iter().any(|word| token.is_word(word)))?;
        name_at(&self.tokens[at..], true)
    }

    /// Has it create this, on all servers.
    fn creates(&mut self, cluster: &Cluster<'_>, database: &str, name: &str) {
        let whole = format!("{}.{} ON CLUSTER {}", quote(database), quote(name), quote(cluster.name));
        self.edits.extend(self.created().map(|read| (read.at, whole)));
    }

    /// Names the database of the table that it fills.
    fn fills(&mut self, database: &str) {
        let read = named_after(head(&self.tokens), "TO");
        self.edits.extend(read.map(|read| (read.at, format!("{}.{}", quote(database), quote(&read.table)))));
    }

    /// Has it read these tables by their other names, but for the first so many of them.
    fn reads(&mut self, database: &str, names: &BTreeMap<String, String>, its_own: usize) {
        let known =
            tables_read(&self.tokens).into_iter().filter(|read| read.database.as_ref().is_none_or(|of| of == database));
        let known = known.filter_map(|read| Some((names.get(&read.table)?, read)));
        for (at, (all, read)) in known.enumerate() {
            let name = if at < its_own { &read.table } else { all };
            self.edits.push((read.at, format!("{}.{}", quote(database), quote(name))));
        }
        // A dictionary names its table in a string.
        let pairs = self.tokens.iter().zip(self.tokens.iter().skip(1));
        for (word, text) in pairs.filter(|(word, text)| word.is_word("TABLE") && text.kind == TokenKind::Text) {
            let all = names.get(text.text.trim_matches('\''));
            self.edits.extend(all.map(|all| (text.at..text.end(), format!("'{all}'"))));
            debug_assert!(word.end() <= text.at);
        }
    }

    /// Gives it the engine that has replicas, and a memory of tokens that replicas share.
    fn replicated(&mut self) {
        if let Some(name) = merge_tree(&self.tokens)
            && !["Replicated", "Shared"].iter().any(|kind| name.text.starts_with(kind))
        {
            self.edits.push((name.at..name.end(), format!("Replicated{}", name.text)));
        }
        let window = self.tokens.iter().filter(|token| token.is_word("non_replicated_deduplication_window"));
        self.edits.extend(window.map(|token| (token.at..token.end(), WINDOW.to_owned())));
    }

    fn text(mut self) -> String {
        self.edits.sort_by_key(|(at, _)| at.start);
        let (mut text, mut from) = (String::new(), 0);
        for (at, with) in self.edits {
            text.push_str(&self.sql[from..at.start]);
            text.push_str(&with);
            from = at.end;
        }
        text.push_str(&self.sql[from..]);
        text
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::super::statement::read;
    use super::*;
    use crate::sink::{bronze_table, dead_letter_table};

    const GOLD: &str = "
        CREATE TABLE IF NOT EXISTS hourly (h DateTime, n AggregateFunction(count)) ENGINE = AggregatingMergeTree
            PARTITION BY toDate(h) ORDER BY h SETTINGS non_replicated_deduplication_window = 100;
        CREATE MATERIALIZED VIEW IF NOT EXISTS hourly_fill TO hourly AS
            SELECT h, countState() AS n FROM raw LEFT JOIN silver.raw AS other USING x GROUP BY h;
        CREATE OR REPLACE VIEW hours AS SELECT h, countMerge(n) AS raw FROM hourly GROUP BY h;
        CREATE TABLE IF NOT EXISTS top (h DateTime) ENGINE = MergeTree ORDER BY h;
        CREATE MATERIALIZED VIEW IF NOT EXISTS top_fill REFRESH EVERY 1 MINUTE TO top AS SELECT h FROM hourly LIMIT 3;
        CREATE OR REPLACE VIEW best AS SELECT * FROM top, elsewhere;
        CREATE OR REPLACE DICTIONARY names (x UInt64) PRIMARY KEY x SOURCE(CLICKHOUSE(TABLE 'raw' DB 'silver')) LAYOUT(FLAT())";

    fn planned(gold: &str) -> Result<Vec<String>, SchemaError> {
        let tables = [Arc::new(bronze_table("silver", "raw")), Arc::new(dead_letter_table("silver", "dead_letters"))];
        Cluster { name: "shop", database: "silver" }.plan(&tables, &read(Path::new("gold.sql"), gold).unwrap())
    }

    #[test]
    fn tables_have_replicas_and_one_over_all_shards() {
        let planned = planned(GOLD).unwrap();
        let begins: Vec<String> =
            planned.iter().map(|it| it.split_whitespace().take(9).collect::<Vec<_>>().join(" ")).collect();
        let all = begins.join("\n");
        assert!(planned.iter().all(|it| it.contains(" ON CLUSTER `shop`")), "{all}");
        let find = |beginning: &str| {
            planned.iter().find(|it| it.starts_with(beginning)).unwrap_or_else(|| panic!("{beginning}: {all}"))
        };
        let raw = find("CREATE TABLE IF NOT EXISTS `silver`.`raw` ON CLUSTER `shop`");
        assert!(raw.contains("ENGINE = ReplicatedMergeTree\n") && !raw.contains(" non_replicated"), "{raw}");
        assert!(
            raw.contains("replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000")
        );
        let of_all = find("CREATE TABLE IF NOT EXISTS `silver`.`raw_all`");
        assert!(of_all.ends_with("ENGINE = Distributed(`shop`, `silver`, `raw`, _partition)"), "{of_all}");
        assert!(find("CREATE TABLE IF NOT EXISTS `silver`.`dead_letters_all`").ends_with(", partition)"));
        assert!(find("CREATE TABLE IF NOT EXISTS `silver`.`engine_fences`").contains("ReplicatedAggregatingMergeTree"));
        let gold = find("CREATE TABLE IF NOT EXISTS `silver`.`hourly` ON");
        assert!(gold.contains("ReplicatedAggregatingMergeTree") && gold.contains("604800"), "{gold}");
        assert!(find("CREATE TABLE IF NOT EXISTS `silver`.`hourly_all`").ends_with("`hourly`)"));
    }

    #[test]
    fn what_fills_with_each_insert_reads_its_shard_and_readers_read_all() {
        let planned = planned(GOLD).unwrap();
        let find = |name: &str| planned.iter().find(|it| it.contains(&format!(".`{name}` ON CLUSTER"))).unwrap();
        let fill = find("hourly_fill");
        assert!(fill.contains("TO `silver`.`hourly` AS"), "{fill}");
        assert!(fill.contains("FROM `silver`.`raw` LEFT JOIN `silver`.`raw_all` AS other"), "{fill}");
        let hours = find("hours");
        assert!(hours.ends_with("countMerge(n) AS raw FROM `silver`.`hourly_all` GROUP BY h"), "{hours}");
        assert!(find("top_fill").contains("TO `silver`.`top` AS SELECT h FROM `silver`.`hourly_all` LIMIT 3"));
        assert!(find("top").contains("ENGINE = MergeTree ORDER"), "each server makes the whole of it");
        assert!(!planned.iter().any(|it| it.contains("top_all")), "{planned:?}");
        assert!(find("best").ends_with("FROM top, elsewhere"));
        assert!(find("names").contains("TABLE 'raw_all' DB 'silver'"));
    }

    #[test]
    fn rows_that_each_server_would_add_are_refused() {
        let error = planned("CREATE MATERIALIZED VIEW IF NOT EXISTS f REFRESH EVERY 1 HOUR APPEND TO t AS SELECT 1")
            .unwrap_err();
        assert!(error.to_string().contains("gold.sql:1") && error.to_string().contains("APPEND"), "{error}");
    }
}
