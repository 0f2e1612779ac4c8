//! A journal that writes nothing down, and a sink that claims nothing and sends no token that a table would know.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::journal::{Commit, Intent, Journal, JournalError, Owner, Position, Raised, Taken};
use engine::offsets::LaneId;
use engine::sink::{Claim, Guarantee, Inserted, Sending, Sink, SinkError};
use engine::state::StateError;
use engine::table::Table;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use reqwest::Client;

/// Remembers nothing: each lane begins at the beginning.
pub(crate) struct Forgetful;

impl Journal for Forgetful {
    fn partitions<'a>(&'a self, _: &'a LaneId, _: i32) -> BoxFuture<'a, Result<Option<Raised>, JournalError>> {
        ready(Ok(None)).boxed()
    }

    fn take<'a>(&'a self, _: &'a LaneId) -> BoxFuture<'a, Result<Taken, JournalError>> {
        ready(Ok(Taken { owner: Owner(1), position: Position::default(), open: Vec::new() })).boxed()
    }

    fn intend<'a>(&'a self, _: &'a LaneId, _: Owner, _: &'a Intent) -> BoxFuture<'a, Result<(), JournalError>> {
        ready(Ok(())).boxed()
    }

    fn commit<'a>(&'a self, _: &'a LaneId, _: Owner, _: Commit) -> BoxFuture<'a, Result<(), JournalError>> {
        ready(Ok(())).boxed()
    }

    fn state(
        &self,
        _: &LaneId,
        _: Owner,
        _: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), JournalError> {
        Ok(())
    }

    fn disk_of(&self, _: &LaneId) -> Option<PathBuf> {
        None
    }

    fn restart<'a>(&'a self, _: &'a LaneId, _: Position) -> BoxFuture<'a, Result<(), JournalError>> {
        ready(Ok(())).boxed()
    }

    fn lanes(&self) -> Result<Vec<(LaneId, Position, usize)>, JournalError> {
        Ok(Vec::new())
    }

    fn state_versions(&self, _: &str, _: &str) -> Result<Vec<u32>, JournalError> {
        Ok(Vec::new())
    }
}

/// How long the server may take to alter a table.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plain inserts into tables without a window.
pub(crate) struct Unclaimed {
    clickhouse: Arc<dyn Sink>,
    url: String,
    http: Client,
    /// Tells requests apart.
    sent: AtomicU64,
}

impl Unclaimed {
    pub(crate) fn new(clickhouse: Arc<dyn Sink>, url: String) -> Self {
        let http = Client::builder().timeout(PATIENCE).build().expect("a client needs nothing from outside");
        Self { clickhouse, url, http, sent: AtomicU64::new(0) }
    }

    /// Makes the table forget tokens.
    async fn close_window(&self, table: &Table) {
        let statement =
            format!("ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = 0", table.quoted());
        let answer = self.http.post(&self.url).body(statement).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.expect("the benchmark's own server lets it alter its tables");
    }
}

impl Sink for Unclaimed {
    fn prepare<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Guarantee, SinkError>> {
        async {
            let guarantee = self.clickhouse.prepare(table).await?;
            self.close_window(table).await;
            Ok(guarantee)
        }
        .boxed()
    }

    fn claim<'a>(&'a self, _: &'a LaneId, _: Owner, _: &'a [Arc<Table>]) -> BoxFuture<'a, Result<Claim, SinkError>> {
        ready(Ok(Claim::unjudged())).boxed()
    }

    fn holds_later<'a>(
        &'a self,
        _: &'a Table,
        _: &'a LaneId,
        _: u64,
        _: i64,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        ready(Ok(false)).boxed()
    }

    fn mark<'a>(&'a self, _: &'a Table) -> BoxFuture<'a, Option<u64>> {
        ready(None).boxed()
    }

    fn insert<'a>(&'a self, send: &'a Sending) -> BoxFuture<'a, Result<Inserted, SinkError>> {
        async {
            let number = self.sent.fetch_add(1, Ordering::Relaxed);
            self.clickhouse.insert(&Sending::unclaimed(send.block.clone(), number.to_string())).await
        }
        .boxed()
    }
}
