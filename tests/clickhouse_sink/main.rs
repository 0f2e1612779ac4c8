//! The sink against a real ClickHouse: nothing is lost, repeated or changed on the way, whatever happens to it.

mod claims;
mod faults;
mod messages;
mod nested;
mod tables;
mod types;
mod volume;
mod proxy;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use engine::batch::Block;
use engine::digest::digest;
use engine::journal::Owner;
use engine::offsets::LaneId;
use engine::sink::{Backoff, Claim, ClickHouse, ClickHouseSettings, Sending, Sink};
use engine::table::{Table, TableKind};
use harness::clickhouse::ClickHouse as Server;

/// One server for all tests that do not stop it; each has a database of its own.
static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

/// A database name that no other test has.
fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("db {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Settings for tests: as the engine has them, with pauses of milliseconds.
fn settings(url: &str) -> ClickHouseSettings {
    ClickHouseSettings {
        user: "engine".into(),
        password: "engine".to_owned().into(),
        backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(50) },
        ..ClickHouseSettings::new(url)
    }
}

fn sink() -> ClickHouse {
    ClickHouse::new(settings(&SERVER.http_url())).expect("good settings")
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn table(database: &str, fields: Vec<Field>) -> Table {
    Table {
        database: database.into(),
        name: "t".into(),
        kind: TableKind::Append,
        schema: Arc::new(Schema::new(fields)),
        sort_key: vec![],
        partition_by: None,
        indexes: vec![],
    }
}

/// A table of one column `id`.
fn ids(database: &str) -> Arc<Table> {
    Arc::new(table(database, vec![Field::new("id", DataType::Int64, false)]))
}

fn block(table: &Arc<Table>, columns: Vec<ArrayRef>) -> Block {
    let batch = RecordBatch::try_new(Arc::clone(&table.schema), columns).expect("columns of the table");
    Block {
        table: Arc::clone(table),
        digest: digest(std::slice::from_ref(&batch)),
        rows: batch.num_rows(),
        batches: vec![batch],
    }
}

/// A block of no lane.
fn send(block: &Block, token: &str) -> Sending {
    let claim = Arc::new(Claim::unjudged(lane()));
    Sending { block: block.clone(), token: token.to_owned(), mark: None, again: false, claim }
}

/// A block of a lane that is claimed, sent as lanes do.
async fn fenced(sink: &ClickHouse, block: &Block, token: &str) -> Sending {
    let claim = sink.claim(&lane(), Owner(1), std::slice::from_ref(&block.table)).await;
    Sending { claim: Arc::new(claim.expect("nobody else has it")), ..send(block, token) }
}

fn lane() -> LaneId {
    LaneId {
        tenant: "acme".into(),
        plugin: "orders".into(),
        topic: "shop.orders".into(),
        topic_id: String::new(),
        partition: 3,
    }
}

fn id_block(table: &Arc<Table>, ids: std::ops::Range<i64>) -> Block {
    block(table, vec![Arc::new(Int64Array::from_iter_values(ids))])
}

/// Runs a statement that has no rows.
fn run_sql(sql: &str) {
    assert_eq!(SERVER.query(sql), "", "{sql}");
}

/// The rows of a query, one a line.
fn rows(sql: &str) -> Vec<String> {
    SERVER.query(sql).lines().map(str::to_owned).collect()
}

/// `count, sum` of a table of ids.
fn count_and_sum(server: &Server, table: &Table) -> String {
    server.query(&format!("SELECT count(), sum(id) FROM {}", table.quoted())).trim().to_owned()
}
