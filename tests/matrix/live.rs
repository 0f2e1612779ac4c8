//! The matrix on a live stack: the tables are made in the database, with rows of random values, and connectors write them as
//! JSON and as Avro, from their snapshot and, as copies, from the stream. Each run takes the modes `precise` and `string`
//! and, by its seed, one of the others: twelve connectors would take minutes. `SEED=n` repeats a run; `RECORD_MATRIX=1` takes
//! all modes, the recorded rows alone, and keeps what it sees.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use debezium_decode::avro::schema_id;
use harness::connect::Connect;
use harness::kafka::Kafka;
use harness::mariadb::MariaDb;
use harness::postgres::Postgres;
use harness::registry::Registry;
use harness::wait::wait_for;
use serde_json::{Value, json};

use crate::deviations::{Found, compare};
use crate::recording::{COPIES, Cells, Recording, cells, folder, keep_cells};
use crate::tables::{Database, Mode, TABLES, Table};

const DATABASE: &str = "matrix";
const ARRIVAL: Duration = Duration::from_secs(120);

enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

struct Stack {
    connect: Connect,
    registry: Registry,
    kafka: Kafka,
    server: Server,
}

/// Compares every cell of the tables that this server can have.
pub(crate) fn compared(database: Database) -> Vec<Found> {
    let keep = std::env::var_os("RECORD_MATRIX").is_some();
    let seed =
        std::env::var("SEED").ok().map_or_else(|| std::process::id() % 10_000, |seed| seed.parse().expect("SEED"));
    let stack = Stack::start(database);
    let tables: Vec<&Table> = TABLES.iter().filter(|table| table.database == database && stack.has(table)).collect();
    for left_out in TABLES.iter().filter(|table| table.database == database && !stack.has(table)) {
        println!("not compared: {}: the extension is not installed", left_out.name);
    }
    let first = TABLES.iter().find(|table| table.database == database).map(|table| table.name);
    assert!(keep || tables.first().map(|table| table.name) == first, "the server lacks its own extensions");
    let cells: Vec<Cells> = tables.iter().map(|table| stack.make(table, (!keep).then_some(seed))).collect();
    let modes = modes(tables[0], (!keep).then_some(seed));
    println!("SEED={seed}, modes {}", modes.iter().map(|mode| mode.name).collect::<Vec<_>>().join(", "));
    for mode in &modes {
        for avro in [false, true] {
            stack.connect.register(&prefix(mode, avro), &stack.connector(mode, avro, &tables));
        }
    }
    for (table, cells) in tables.iter().zip(&cells) {
        stack.wait_for_messages(&modes, table, cells.len());
        stack.copy(table);
    }
    let compared = tables.iter().zip(&cells).map(|(table, cells)| {
        stack.wait_for_messages(&modes, table, 2 * cells.len());
        let recordings: BTreeMap<_, _> = modes.iter().map(|mode| (mode.name, stack.recording(mode, table))).collect();
        if keep {
            keep_cells(table.name, cells);
            recordings.iter().for_each(|(mode, recording)| recording.keep(table.name, mode));
        }
        compare(table, &recordings, cells)
    });
    compared.collect()
}

/// All modes, or those of a seed.
fn modes(table: &Table, seed: Option<u32>) -> Vec<&'static Mode> {
    let (always, others): (Vec<_>, Vec<_>) = table.modes().partition(|mode| matches!(mode.name, "precise" | "string"));
    match seed {
        None => [always, others].concat(),
        Some(seed) => {
            let one = seed as usize % others.len();
            always.into_iter().chain(others.into_iter().skip(one).take(1)).collect()
        }
    }
}

fn prefix(mode: &Mode, avro: bool) -> String {
    format!("{}{}", mode.name, if avro { "-avro" } else { "" })
}

impl Stack {
    fn start(database: Database) -> Self {
        let mut registry = Registry::start();
        let server = match database {
            Database::Postgres => Server::Postgres(Postgres::start()),
            Database::MariaDb => Server::MariaDb(MariaDb::start()),
        };
        let kafka = Kafka::start();
        let connect = Connect::start(&kafka);
        registry.wait_until_up();
        if let Server::Postgres(server) = &server {
            server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        }
        Self { connect, registry, kafka, server }
    }

    fn sql(&self, statements: &str) -> String {
        match &self.server {
            Server::Postgres(server) => server.sql(DATABASE, statements),
            Server::MariaDb(server) => server.sql(statements),
        }
    }

    fn has(&self, table: &Table) -> bool {
        table.extension.is_none_or(|extension| {
            self.sql(&format!("SELECT 1 FROM pg_available_extensions WHERE name = '{extension}'")).trim() == "1"
        })
    }

    /// Makes a table, with rows of random values where there is a seed, and asks for its cells.
    fn make(&self, table: &Table, seed: Option<u32>) -> Cells {
        let read = |file: &str| fs::read_to_string(folder().join(format!("{}{file}.sql", table.name)));
        self.sql(&read("").expect("the table's statements"));
        if let (Some(seed), Ok(random)) = (seed, read("-random")) {
            self.sql(&random.replace("SEED", &seed.to_string()));
        }
        cells(&self.sql(&read("-values").expect("the cells' query")))
    }

    /// Inserts every row once more.
    fn copy(&self, table: &Table) {
        let (schema, name) = table.table.split_once('.').expect("a table's full name");
        let aggregate = match self.server {
            Server::Postgres(_) => "string_agg(column_name, ',' ORDER BY ordinal_position)",
            Server::MariaDb(_) => "group_concat(column_name ORDER BY ordinal_position)",
        };
        let columns = self.sql(&format!(
            "SELECT {aggregate} FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = '{name}' AND column_name <> 'id'"
        ));
        let columns = columns.trim();
        self.sql(&format!(
            "INSERT INTO {table} (id,{columns}) SELECT id + {COPIES},{columns} FROM {table} WHERE id < {COPIES} ORDER BY id",
            table = table.table
        ));
    }

    fn connector(&self, mode: &Mode, avro: bool, tables: &[&Table]) -> Value {
        let prefix = prefix(mode, avro);
        let names: Vec<&str> = tables.iter().map(|table| table.table).collect();
        let mut config = match &self.server {
            Server::Postgres(server) => postgres(server.port(), &prefix),
            Server::MariaDb(server) => mariadb(server.port(), &prefix, self.kafka.port()),
        };
        config["tasks.max"] = json!("1");
        config["topic.prefix"] = json!(prefix);
        config["table.include.list"] = json!(names.join(","));
        for of in ["key", "value"] {
            config[format!("{of}.converter")] = json!("org.apache.kafka.connect.json.JsonConverter");
            config[format!("{of}.converter.schemas.enable")] = json!((of == "value").to_string());
            let converter = self.registry.converter(of);
            converter.into_iter().filter(|_| avro).for_each(|(key, value)| config[key] = value);
        }
        for (key, value) in mode.settings {
            config[*key] = json!(value);
        }
        config
    }

    fn topic(mode: &Mode, avro: bool, table: &Table) -> String {
        format!("{}.{}", prefix(mode, avro), table.table)
    }

    fn wait_for_messages(&self, modes: &[&Mode], table: &Table, count: usize) {
        for (mode, avro) in modes.iter().flat_map(|mode| [(mode, false), (mode, true)]) {
            let topic = Self::topic(mode, avro, table);
            wait_for(&format!("{count} messages in {topic}"), ARRIVAL, || {
                let there = if self.kafka.topics().contains(&topic) { self.kafka.ends(&topic)[0] } else { 0 };
                let status = self.connect.status(&prefix(mode, avro));
                assert!(!status.to_string().contains("FAILED"), "{status}");
                if usize::try_from(there) == Ok(count) { Ok(()) } else { Err(format!("{there}")) }
            });
        }
    }

    fn recording(&self, mode: &Mode, table: &Table) -> Recording {
        let values =
            |avro| self.kafka.read(&Self::topic(mode, avro, table), 0).into_iter().flatten().collect::<Vec<_>>();
        let avro = values(true);
        let ids = avro.iter().filter_map(|value| schema_id(value));
        let schema = |id: u32| {
            let url = format!("{}/schemas/ids/{id}", self.registry.url());
            let answer = reqwest::blocking::get(url).and_then(reqwest::blocking::Response::text).expect("the schema");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            answer["schema"].as_str().expect("a schema").to_owned()
        };
        let mut schemas = BTreeMap::new();
        for id in ids {
            schemas.entry(id).or_insert_with(|| schema(id));
        }
        Recording::of(&values(false), avro, schemas)
    }
}

fn postgres(port: u16, prefix: &str) -> Value {
    let slot = prefix.replace('-', "_");
    json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "127.0.0.1",
        "database.port": port.to_string(),
        "database.user": "postgres",
        "database.password": "postgres",
        "database.dbname": DATABASE,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": DATABASE,
        "publication.autocreate.mode": "filtered",
        // Composite types and others that Debezium has no type for.
        "include.unknown.datatypes": "true",
    })
}

fn mariadb(port: u16, prefix: &str, kafka: u16) -> Value {
    let server_id = 1000 + prefix.bytes().map(u32::from).sum::<u32>() * 31 + u32::try_from(prefix.len()).unwrap();
    json!({
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": "127.0.0.1",
        "database.port": port.to_string(),
        "database.user": "debezium",
        "database.password": "debezium",
        "database.server.id": server_id.to_string(),
        "database.include.list": DATABASE,
        "schema.history.internal.kafka.bootstrap.servers": format!("127.0.0.1:{kafka}"),
        "schema.history.internal.kafka.topic": format!("history.{prefix}"),
    })
}
