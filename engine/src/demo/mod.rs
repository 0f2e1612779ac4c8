//! `engine demo`: the whole path on one machine, with nothing installed, and a proof of the outcome.
//!
//! An embedded broker, a generator of changes that keeps its own model of the source tables, an embedded ClickHouse,
//! and between them the engine as it always is. At the end ClickHouse is read back and compared, row by row and column
//! by column, with the model.
//!
//! **Promise.** The verdict is "as expected" only if ClickHouse holds exactly the model's rows and one dead letter for
//! each bad message.
//! **Assumed.** The plugins `orders` and `users` are in the plugins folder.
//! **After a crash** nothing is left but a folder among the temporary files.

mod broker;
mod changes;
mod clickhouse;
mod feed;
mod proof;
mod screen;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

pub use broker::{Broker, BrokerError, IN_FLIGHT, MAX_MESSAGE_BYTES};
pub use changes::{Bad, Change, Mix, Order, Orders, Random, User, Users};
pub use clickhouse::{ClickHouse, ClickHouseError};

use feed::{Fed, Tables};
use proof::{Client, Freshness};
use screen::Screen;

use crate::stop::Stopper;

/// Any error of the engine.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Asks the engine how far it is.
pub type ProgressOf = Arc<dyn Fn() -> Progress + Send + Sync>;

const DATABASE: &str = "demo";
/// An engine that does nothing for so long while there are messages left has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What the demo can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long changes are fed, in seconds
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "events")]
    pub seconds: u64,
    /// Feed so many changes instead, however long it takes
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Changes per second, at most 100,000; fewer when the engine is slower, because the embedded broker forgets
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rate: u64,
    /// Changes are made up from this number: the same number, the same changes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Keep ClickHouse running afterwards, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// What the engine is started with.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Kafka's bootstrap servers.
    pub kafka: String,
    /// URL of ClickHouse's HTTP interface; user `default` without password.
    pub clickhouse: String,
    /// The database, which is not there yet.
    pub database: String,
    /// The plugins folder.
    pub plugins: PathBuf,
    /// A folder for the journal, not there yet.
    pub data_dir: PathBuf,
}

/// A running engine.
pub struct EngineHandle {
    /// Asks how far it is; called some hundred times a second.
    pub progress: ProgressOf,
    /// Asks it to finish the open epochs and end.
    pub stop: Stopper,
    /// The engine; it ends before it is asked to only if it fails.
    pub task: JoinHandle<Result<(), BoxError>>,
}

/// How far the engine is, since it was started.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages read.
    pub rows_in: u64,
    /// Rows inserted into the plugins' tables.
    pub rows_out: u64,
    /// Dead letters inserted.
    pub dead: u64,
    /// Messages at the source that are not committed yet.
    pub lag: u64,
    /// Topic, partition and the offset below which everything is committed; the slowest lane of a partition counts.
    pub positions: Vec<(Arc<str>, i32, i64)>,
}

impl Progress {
    /// The offset below which everything of the partition is committed.
    fn position(&self, topic: &str, partition: i32) -> i64 {
        let lanes = self.positions.iter().filter(|(t, p, _)| &**t == topic && *p == partition);
        lanes.map(|(_, _, offset)| *offset).min().unwrap_or(0)
    }
}

/// How much is fed.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Seconds(u64),
    Changes(u64),
}

impl Amount {
    fn allows(self, changes: u64, elapsed: Duration) -> bool {
        match self {
            Self::Seconds(seconds) => elapsed < Duration::from_secs(seconds),
            Self::Changes(limit) => changes < limit,
        }
    }

    fn left(self, changes: u64) -> u64 {
        match self {
            Self::Seconds(_) => u64::MAX,
            Self::Changes(limit) => limit.saturating_sub(changes),
        }
    }
}

/// What the comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// ClickHouse holds exactly what it must.
    AsExpected,
    /// It does not; the screen says where.
    Different,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::AsExpected => "✓ ClickHouse holds exactly what the source tables hold.\n",
            Self::Different => "✗ ClickHouse does not hold what it must.\n",
        }
    }
}

/// Why the demo could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No folder for the data.
    #[error("the demo found no place for its data")]
    Folder(#[source] std::io::Error),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// ClickHouse.
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    /// The engine did not start, or ended with an error.
    #[error("the engine failed")]
    Engine(#[source] BoxError),
    /// The engine ended without being asked to.
    #[error("the engine ended on its own")]
    Ended,
    /// The engine did nothing for too long.
    #[error("the engine did nothing for {} s with {left} messages left", STALL_TIMEOUT.as_secs())]
    Stalled {
        /// Messages not committed.
        left: u64,
    },
    /// A query that was to prove something.
    #[error("ClickHouse did not answer a query")]
    Query(#[from] proof::QueryError),
    /// A panic in the feeding thread.
    #[error("the change generator panicked")]
    Generator,
}

/// Runs the demo and says what came of it. `start` starts the engine on this runtime.
pub async fn run(
    options: &Options,
    plugins: &Path,
    start: impl FnOnce(EngineSettings) -> Result<EngineHandle, BoxError>,
) -> Result<Verdict, DemoError> {
    let folder = tempfile::Builder::new().prefix("engine-demo-").tempdir().map_err(DemoError::Folder)?;
    let mut screen = Screen::new();
    let broker =
        Arc::new(Broker::start(&[(feed::ORDERS, feed::ORDERS_PARTITIONS), (feed::USERS, feed::USERS_PARTITIONS)])?);
    let server = ClickHouse::start(folder.path())?;
    screen.opening(broker.addresses(), &server.url(), plugins);

    let engine = start(EngineSettings {
        kafka: broker.addresses().to_owned(),
        clickhouse: server.url(),
        database: DATABASE.to_owned(),
        plugins: plugins.to_owned(),
        data_dir: folder.path().join("engine"),
    })
    .map_err(DemoError::Engine)?;

    let client = Client::new(&server.url(), DATABASE);
    let mut freshness = Freshness::default();
    let (tables, engine) = feed_and_drain(options, &broker, engine, &client, &mut freshness, &mut screen).await?;
    let progress = (engine.progress)();
    stop(engine).await?;
    screen.closing(&progress);

    let verdict = proof::prove(&client, &tables, &freshness).await?;
    screen.how_to_query_on(&server.url(), server.tcp_port(), DATABASE, options.keep);
    if options.keep {
        // An error means that this process has no signals; then there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    }
    Ok(verdict)
}

/// Feeds changes on a thread of its own, until the engine is done with the last of them.
async fn feed_and_drain(
    options: &Options,
    broker: &Arc<Broker>,
    mut engine: EngineHandle,
    client: &Client,
    freshness: &mut Freshness,
    screen: &mut Screen,
) -> Result<(Tables, EngineHandle), DemoError> {
    let amount = options.events.map_or(Amount::Seconds(options.seconds), Amount::Changes);
    let fed = Arc::new(Fed::default());
    let _ends_with_us = StopFeed(fed.clone());
    let feeder = std::thread::spawn({
        let (broker, fed, progress) = (broker.clone(), fed.clone(), engine.progress.clone());
        let (tables, rate) = (Tables::new(options.seed), options.rate);
        move || feed::feed(&broker, tables, amount, rate, &fed, &progress)
    });
    let mut stall = Stall::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    while !feeder.is_finished() {
        tokio::select! {
            _ = ticks.tick() => {
                let progress = (engine.progress)();
                stall.check(&fed, &progress)?;
                screen.progress(&fed, &progress);
                freshness.sample(client).await;
            }
            // The changes fed so far are still brought home and proved.
            _ = &mut interrupt, if !fed.stop.load(Ordering::Relaxed) => fed.stop.store(true, Ordering::Relaxed),
            ended = &mut engine.task => return Err(ended_early(ended)),
        }
    }
    let tables = feeder.join().map_err(|_| DemoError::Generator)??;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while !tables.are_done(&(engine.progress)()) {
        tokio::select! {
            _ = ticks.tick() => {
                let progress = (engine.progress)();
                stall.check(&fed, &progress)?;
                screen.progress(&fed, &progress);
            }
            ended = &mut engine.task => return Err(ended_early(ended)),
        }
    }
    Ok((tables, engine))
}

async fn stop(engine: EngineHandle) -> Result<(), DemoError> {
    engine.stop.tell();
    engine.task.await.map_err(|panic| DemoError::Engine(panic.into()))?.map_err(DemoError::Engine)
}

fn ended_early(ended: Result<Result<(), BoxError>, tokio::task::JoinError>) -> DemoError {
    match ended {
        Ok(Ok(())) => DemoError::Ended,
        Ok(Err(error)) => DemoError::Engine(error),
        Err(panic) => DemoError::Engine(panic.into()),
    }
}

/// The feed ends when nobody waits for it any more, whichever way that came.
struct StopFeed(Arc<Fed>);

impl Drop for StopFeed {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Notices an engine that no longer moves.
struct Stall {
    committed: u64,
    since: Instant,
}

impl Stall {
    fn new() -> Self {
        Self { committed: 0, since: Instant::now() }
    }

    fn check(&mut self, fed: &Fed, progress: &Progress) -> Result<(), DemoError> {
        let committed = progress.positions.iter().map(|(_, _, offset)| offset.unsigned_abs()).sum();
        let left = fed.messages.load(Ordering::Relaxed).saturating_sub(committed);
        if committed != self.committed || left == 0 {
            *self = Self { committed, since: Instant::now() };
        }
        if self.since.elapsed() < STALL_TIMEOUT { Ok(()) } else { Err(DemoError::Stalled { left }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_lane_of_a_partition_counts() {
        let positions = vec![("t".into(), 0, 7), ("t".into(), 1, 3), ("t".into(), 0, 5), ("u".into(), 0, 1)];
        let progress = Progress { positions, ..Progress::default() };
        assert_eq!((progress.position("t", 0), progress.position("t", 1), progress.position("t", 2)), (5, 3, 0));
    }

    #[test]
    fn the_feed_waits_for_the_engine_and_the_end_for_every_partition() {
        let mut tables = Tables::new(1);
        let mut progress = Progress::default();
        assert!(tables.has_room(&progress) && tables.are_done(&progress));
        tables.order_ends[3] = IN_FLIGHT;
        assert!(!tables.has_room(&progress) && !tables.are_done(&progress));
        progress.positions.push((feed::ORDERS.into(), 3, IN_FLIGHT - 1));
        assert!(tables.has_room(&progress) && !tables.are_done(&progress));
        progress.positions[0].2 = IN_FLIGHT;
        assert!(tables.are_done(&progress));
    }
}
