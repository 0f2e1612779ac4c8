//! What every pipeline runs on: [`World`], the broker, the server and the engine with the example's plugins, and, where its
//! changes come from PostgreSQL, [`Source`].
//!
//! A test owns both. The source has to go first, or its connector fills the output with complaints about the broker: let it
//! be declared behind the world.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use harness::clickhouse::{ClickHouse, User};
use harness::connect::Connect;
use harness::engine::{Engine, Setup};
use harness::kafka::Kafka;
use harness::place;
use harness::postgres::Postgres;
use harness::rows::{Rows, difference, rows_of_json_lines};
use harness::wait::wait_for;
use serde_json::{Value, json};

/// The database of the tables.
pub(crate) const DATABASE: &str = "silver";
/// The changes of a test take seconds; of a whole volume Debezium carries some thousand a second.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(900);
/// As many as make the messages of one batch come apart, and few enough for one machine.
const PARTITIONS: u16 = 3;

/// A column that is compared: its name, and the expressions that give it the same text in PostgreSQL and in ClickHouse.
pub(crate) type Column = (&'static str, &'static str, &'static str);

/// The folder of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    place::repository().join("examples").join(name)
}

/// The broker, the server, and how the engine is started.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    pub(crate) clickhouse: ClickHouse,
    pub(crate) setup: Setup,
}

impl World {
    /// Empty servers, and an engine with the plugins of an example, and its `engine.toml` where it has one.
    pub(crate) fn new(name: &str) -> Self {
        Self::with_users(name, &[])
    }

    /// The same, with users of ClickHouse beside the engine's.
    pub(crate) fn with_users(name: &str, users: &[User]) -> Self {
        let (kafka, clickhouse) = (Kafka::with_partitions(PARTITIONS), ClickHouse::start_with_users(users));
        let mut setup = Setup::new(&clickhouse.http_url(), DATABASE).with(&["--kafka", &kafka.address()]);
        let folder = example(name);
        setup.plugins = folder.join("plugins");
        let settings = folder.join("engine.toml");
        if settings.is_file() {
            setup = setup.with(&["--config", settings.to_str().expect("a path of UTF-8")]);
        }
        Self { kafka, clickhouse, setup }
    }

    /// The engine, once it answers.
    pub(crate) fn start(&self) -> Engine {
        let mut engine = self.setup.start();
        engine.wait_until_up();
        engine
    }

    /// Runs the statements of a folder of `schemas/clickhouse`, such as `gold/orders`. The tables that they read must be there.
    pub(crate) fn apply(&self, folder: &str) {
        let folder = place::repository().join("schemas/clickhouse").join(folder);
        let mut files: Vec<_> =
            fs::read_dir(&folder).expect("a folder of SQL").map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files {
            let statements = fs::read_to_string(&file).expect("SQL");
            for statement in statements.split(";\n").filter(|statement| !statement.trim().is_empty()) {
                self.clickhouse.query_in(DATABASE, statement);
            }
        }
    }

    /// Makes a table anew that a refreshable view fills, and waits for it.
    #[allow(dead_code, reason = "not each pipeline has such a view")]
    pub(crate) fn refresh(&self, view: &str) {
        self.clickhouse.query(&format!("SYSTEM REFRESH VIEW {DATABASE}.{view}"));
        self.clickhouse.query(&format!("SYSTEM WAIT VIEW {DATABASE}.{view}"));
    }

    /// Rows of a table or view; 0 while there is none.
    pub(crate) fn count(&self, table: &str) -> u64 {
        let count = self.clickhouse.try_query(&format!("SELECT count() FROM {DATABASE}.{table}"));
        count.ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until a table has at least so many rows.
    pub(crate) fn wait_for_rows(&self, table: &str, least: u64) {
        wait_for(&format!("{least} rows of {table}"), ARRIVAL, || match self.count(table) {
            rows if rows >= least => Ok(()),
            rows => Err(rows),
        });
    }

    /// Kills an engine, and starts it again.
    pub(crate) fn kill_engine(&self, engine: Engine) -> Engine {
        engine.kill();
        println!("the engine was killed");
        self.start()
    }

    /// Kills ClickHouse, and starts it again.
    pub(crate) fn kill_clickhouse(&mut self) {
        self.clickhouse.kill();
        self.clickhouse.restart();
        println!("ClickHouse was killed");
    }

    /// Kills the engine once the table has the first number of rows, and ClickHouse once it has the second.
    pub(crate) fn kill_both(&mut self, engine: Engine, table: &str, [first, second]: [u64; 2]) -> Engine {
        self.wait_for_rows(table, first);
        let engine = self.kill_engine(engine);
        self.wait_for_rows(table, second);
        self.kill_clickhouse();
        engine
    }

    /// Values as text, by ClickHouse's expressions, of a table or of whatever else can follow `FROM`.
    pub(crate) fn rows(&self, expressions: &[&str], from: &str) -> Rows {
        let expressions = expressions.join(", ");
        let query = format!("SELECT {expressions} FROM {DATABASE}.{from} FORMAT JSONCompactEachRow");
        rows_of_json_lines(&self.clickhouse.query(&query))
    }

    /// A table or view equals rows of the source: the same rows, each as often, in whatever order.
    pub(crate) fn assert_same(&self, source: &Source, columns: &[Column], expected: &str, found: &str) {
        self.same(source, columns, expected, found).unwrap_or_else(|words| panic!("{words}"));
    }

    /// Waits until they are equal.
    pub(crate) fn wait_until_same(&self, source: &Source, columns: &[Column], expected: &str, found: &str) {
        wait_for(found, ARRIVAL, || self.same(source, columns, expected, found));
    }

    fn same(&self, source: &Source, columns: &[Column], expected: &str, found: &str) -> Result<(), String> {
        let names: Vec<_> = columns.iter().map(|column| column.0).collect();
        let expressions: Vec<_> = columns.iter().map(|column| column.1).collect();
        let expected_rows = source.postgres.rows(&source.database, &expressions, expected);
        let expressions: Vec<_> = columns.iter().map(|column| column.2).collect();
        same(found, &names, expected_rows, self.rows(&expressions, found))
    }

    /// Not one message was set aside.
    pub(crate) fn assert_no_dead_letters(&self) {
        // The engine makes the table when it starts.
        let query = "SELECT topic, partition, offset, code FROM dead_letters LIMIT 5";
        assert_eq!(self.clickhouse.query_in(DATABASE, query), "", "messages that were set aside");
    }
}

/// Whether two lists have the same rows, each as often; else what differs. `what` names them.
pub(crate) fn same(what: &str, columns: &[&str], mut expected: Rows, mut found: Rows) -> Result<(), String> {
    expected.sort_unstable();
    found.sort_unstable();
    match difference(columns, &expected, &found) {
        Some(words) => Err(format!("{what}: {words}")),
        None => {
            println!("{what}: {} rows, equal", found.len());
            Ok(())
        }
    }
}

/// Runs `busy` on a thread of its own, and `meanwhile` here.
pub(crate) fn while_busy<T>(busy: impl FnOnce() + Send, meanwhile: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        scope.spawn(busy);
        meanwhile()
    })
}

/// PostgreSQL with an example's tables, and Connect with Debezium beside it.
#[derive(Debug)]
pub(crate) struct Source {
    // First, so that it is ended first: without its database it would fill the output with complaints.
    connect: Connect,
    pub(crate) postgres: Postgres,
    /// The database that the example's `connector.json` names.
    pub(crate) database: String,
    name: String,
    /// The example's connector, at this server.
    pub(crate) connector: Value,
}

impl Source {
    /// The database of an example, in which these files of the repository were run. No connector follows it yet.
    pub(crate) fn new(kafka: &Kafka, name: &str, files: &[&str]) -> Self {
        let (connect, postgres) = (Connect::start(kafka), Postgres::start());
        let text = fs::read_to_string(example(name).join("connector.json")).expect("the example's connector");
        let mut connector: Value = serde_json::from_str(&text).expect("JSON");
        connector["database.hostname"] = json!("127.0.0.1");
        connector["database.port"] = json!(postgres.port().to_string());
        let database = connector["database.dbname"].as_str().expect("a connector names its database").to_owned();
        postgres.sql("postgres", &format!("CREATE DATABASE {database};"));
        let source = Self { connect, postgres, database, name: name.to_owned(), connector };
        for file in files {
            let statements = fs::read_to_string(place::repository().join(file)).expect("the source's statements");
            source.sql(&statements);
        }
        source
    }

    /// Runs statements in the example's database. A commit does not wait for the disk: the source is not what is tested.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.postgres.sql(&self.database, &format!("SET synchronous_commit = off;\n{statements}"))
    }

    /// From now on each change of `SCHEMA.TABLE` is a row of `account.TABLE` too: its columns behind `operation`, which is
    /// c, u or d; of a delete as they were. The rows that are there are r, as a snapshot calls them.
    pub(crate) fn keep_account(&self, schema: &str, table: &str) {
        self.sql(&format!(
            "{ACCOUNT}
             CREATE UNLOGGED TABLE account.{table} AS SELECT 'r' AS operation, * FROM {schema}.{table};
             CREATE TRIGGER account AFTER INSERT OR UPDATE OR DELETE ON {schema}.{table}
               FOR EACH ROW EXECUTE FUNCTION account.keep();"
        ));
    }

    /// How many changes an account has.
    pub(crate) fn accounted(&self, table: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM account.{table}")).trim().parse().expect("a count")
    }

    /// Lets the example's connector follow the database, beginning with a snapshot.
    pub(crate) fn connect(&self) {
        self.connect.register(&self.name, &self.connector);
    }
}

const ACCOUNT: &str = "
CREATE SCHEMA IF NOT EXISTS account;
CREATE OR REPLACE FUNCTION account.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    EXECUTE format('INSERT INTO account.%I SELECT ''d'', ($1).*', TG_TABLE_NAME) USING OLD;
  ELSE
    EXECUTE format('INSERT INTO account.%I SELECT $1, ($2).*', TG_TABLE_NAME)
      USING CASE TG_OP WHEN 'INSERT' THEN 'c' ELSE 'u' END, NEW;
  END IF;
  RETURN NULL;
END $$;
";
