//! `engine run`: the parts put together, from settings to a stop.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::greeting::{begins, greet};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::clock::SystemClock;
use crate::config::{Config, Declared, Input, PluginFile, Problems, read_plugin_of, read_plugins};
use crate::cpu::Cpu;
use crate::deploy::{Deployer, Plugins, Version, build};
use crate::disposition::in_words;
use crate::engine::{Engine, EngineError, Lanes};
use crate::journal::{JournalError, LocalJournal};
use crate::lane::{MAX_RECOVERIES, Surroundings};
use crate::memory::Memory;
use crate::metrics::{Metrics, Totals};
use crate::offsets::PluginKey;
use crate::plan::{Finding, Plan, Weight};
use crate::plugin::{CompiledCode, Compiler, Host, HostError, HostSettings};
use crate::registry::{Registry, RegistryError};
use crate::replay::{Pending, ReplayError};
use crate::server::control::{Control, TOKEN};
use crate::server::{Shown, listen, thread_stages};
use crate::sink::{ClickHouses, SinkError};
use crate::source::{Budget, FileSource, KafkaSource, SharedSource, Source, SourceError};
use crate::stop::{Stop, Stopper};
use crate::tenants::Tenants;
use crate::verify::watch::watch;

/// An engine put together, and what shows it from outside.
pub struct Running {
    /// Runs it.
    pub engine: Engine,
    /// What it shows.
    pub shown: Shown,
    /// Tells a person at a terminal what runs.
    pub greeting: BoxFuture<'static, ()>,
    /// Says how the plugins fit, once.
    pub plans: BoxFuture<'static, ()>,
    /// Counts committed rows in their tables, for ever.
    pub watch: BoxFuture<'static, ()>,
    /// Decides which versions of plugins run, for ever.
    pub deployer: BoxFuture<'static, ()>,
}

/// Why an engine can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// Mistakes in the settings.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The data folder.
    #[error("the data folder {path} can't be made")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The artifacts.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// WebAssembly.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Kafka's settings.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// ClickHouse's settings.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The schema registry's settings.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Lanes were set back, or tables are about to be exchanged.
    #[error(
        "a replay of plugin {plugin} was begun and is not ended: run engine replay {plugin} again to end it, or with --abandon \
         to give it up"
    )]
    ReplayPending {
        /// The plugin.
        plugin: PluginKey,
    },
    /// The plan of a replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Threads.
    #[error("threads can't be started")]
    Threads(#[source] io::Error),
}

/// Loads all plugins of the settings, compiled and checked.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(super) fn load_plugins(config: &Config, host: &Host) -> Result<Vec<Version>, Problems> {
    let mut problems = Problems::default();
    let mut versions = Vec::new();
    for file in read_plugins(config)? {
        match load(file, host) {
            Ok(version) => versions.push(version),
            Err(wrong) => problems.0.extend(wrong.0),
        }
    }
    problems.none(versions)
}

/// Loads one plugin, compiled and checked. What is wrong with others is theirs.
///
/// # Errors
/// Everything that is wrong with it and its tenant's file.
pub(super) fn load_plugin(config: &Config, host: &Host, plugin: &PluginKey) -> Result<Version, Problems> {
    load(read_plugin_of(config, plugin)?, host)
}

fn load(file: PluginFile, host: &Host) -> Result<Version, Problems> {
    let wasm = std::fs::read(&file.artifact).map(Bytes::from);
    build(host, file, &wasm).map_err(|refusal| refusal.problems)
}

/// Puts an engine together.
///
/// # Errors
/// What is missing or wrong.
pub fn start(config: Config, stop: Stop) -> Result<Running, RunningError> {
    start_with(config, stop, |around| around)
}

/// As [`start`], with another part in place of one of those that lanes share: a benchmark asks what a part costs, and
/// measures the whole without it.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    config: Config,
    stop: Stop,
    exchange: impl FnOnce(Surroundings) -> Surroundings,
) -> Result<Running, RunningError> {
    Declared::read(&config).mistakes.none(())?; // told before anything is touched
    let (mut around, clickhouses) = surroundings(&config, host(&config)?)?;
    let pauses = |source| RunningError::DataDir { path: config.data_dir.clone(), source };
    around.tenants = Tenants::of_data(&config.data_dir).map_err(pauses)?;
    let around = exchange(around);
    if let Some(Pending { plugin, .. }) = Pending::read(&config.data_dir)? {
        return Err(RunningError::ReplayPending { plugin });
    }
    let metrics = Arc::new(Metrics::of_source(around.source.budget()));
    let deployer = Deployer::start(around.clone(), &config, metrics.clone())?;
    let plugins = deployer.plugins().clone();
    let control = Control {
        plugins: plugins.clone(),
        deployments: deployer.deployments().clone(),
        history: deployer.history().clone(),
        orders: deployer.orders(),
        tenants: around.tenants.clone(),
    };
    let (cpu, memory) = (around.cpu.clone(), around.memory.clone());
    let shown = Shown { lanes: Lanes::default(), metrics, clickhouses, cpu, memory, control };
    let plans = say_plans(around.source.clone(), shown.clickhouses.clone(), around.registry.clone(), plugins.clone());
    let watch = watch(shown.clickhouses.clone(), shown.lanes.clone(), shown.metrics.clone(), plugins.clone());
    let greeting = greet(begins(&config), plugins.clone(), shown.lanes.clone()).boxed();
    // A run that ends with its source is over what the folder held when it began.
    let deployer = deployer.run(!config.until_idle);
    let engine = Engine::new(Arc::new(config), around, plugins, shown.metrics.clone(), shown.lanes.clone(), stop);
    let (plans, watch, deployer) = (plans.boxed(), watch.boxed(), deployer.boxed());
    Ok(Running { engine, shown, greeting, plans, watch, deployer })
}

/// Each plugin is compiled by a child on one thread, so that one that comes while others run takes neither their cores nor
/// their memory; what was compiled once is kept.
fn host(config: &Config) -> Result<Host, HostError> {
    let compiled = CompiledCode::open(&config.data_dir).inspect_err(|error| {
        let folder = config.data_dir.display();
        tracing::warn!(%folder, %error, "compiled code can't be kept: each start compiles all plugins");
    });
    let settings = HostSettings { parallel: false, ..HostSettings::default() };
    Host::within(settings, Compiler::of_this_program(), compiled.ok(), Memory::new(config.memory_bytes))
}

/// What lanes share, made of the settings: from now on the journal is this process's.
pub(super) fn surroundings(config: &Config, host: Host) -> Result<(Surroundings, ClickHouses), RunningError> {
    let data_dir = &config.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|source| RunningError::DataDir { path: data_dir.clone(), source })?;
    let clickhouses = ClickHouses::new(config.inserts_per_second);
    clickhouses.with(&config.clickhouse)?; // a wrong address is told before anything is touched
    let artifacts = Artifacts::open(data_dir)?;
    let registry = registry(config, &artifacts)?;
    let memory = host.memory().clone();
    let around = Surroundings {
        source: shared(config, &memory, registry.clone())?,
        sinks: Arc::new(clickhouses.clone()),
        tenants: Tenants::default(),
        journal: Arc::new(LocalJournal::open(data_dir)?),
        registry,
        artifacts,
        host,
        cpu: Cpu::start(cores()).map_err(RunningError::Threads)?,
        memory,
        clock: Arc::new(SystemClock),
        recoveries: Arc::new(Semaphore::new(MAX_RECOVERIES)),
    };
    Ok((around, clickhouses))
}

/// The schema registry of the settings, if they name one. Nothing is asked of it yet.
pub(super) fn registry(config: &Config, artifacts: &Artifacts) -> Result<Option<Arc<Registry>>, RegistryError> {
    config.registry.as_ref().map(|settings| Registry::new(settings, artifacts.clone()).map(Arc::new)).transpose()
}

/// The source of the settings. Nothing is asked of it yet.
pub(super) fn source(config: &Config) -> Result<Arc<dyn Source>, SourceError> {
    source_within(config, &Memory::unlimited())
}

/// The same, with messages whose memory is a part of this pool.
fn source_within(config: &Config, memory: &Memory) -> Result<Arc<dyn Source>, SourceError> {
    Ok(match &config.input {
        Input::Kafka(settings) => Arc::new(KafkaSource::within(settings, memory)?),
        Input::Files(files) => Arc::new(FileSource::new(files.clone())),
    })
}

/// The source of the settings, read once for all lanes that share a topic.
fn shared(config: &Config, memory: &Memory, registry: Option<Arc<Registry>>) -> Result<Arc<dyn Source>, SourceError> {
    let inner = source_within(config, memory)?;
    // Files are read as they are needed: what waits for lanes is four epochs at most.
    let most = config.batch.max_bytes.saturating_mul(4);
    let budget = inner.budget().unwrap_or_else(|| Budget::within(most, memory));
    Ok(Arc::new(SharedSource::new(inner, budget, registry)))
}

/// Says in the log how each plugin fits its topics and tables, while the lanes begin: a lane refuses what it can't do
/// by itself, but nobody should have to find out from its rows that a column is always null.
async fn say_plans(source: Arc<dyn Source>, sinks: ClickHouses, registry: Option<Arc<Registry>>, plugins: Plugins) {
    for versions in plugins.all() {
        let version = versions.newcomer().unwrap_or_else(|| versions.current());
        let (file, transform) = (&version.file, &version.transform);
        let Ok(sink) = sinks.of(&file.tenant) else { continue }; // its lanes say so
        let plan = Plan::make(&*source, &sink, registry.as_deref(), file, transform).await;
        for Finding { weight, message } in plan.findings {
            let PluginKey { tenant, name: plugin } = versions.key();
            match weight {
                Weight::Note | Weight::Unknown => tracing::info!(tenant, plugin, "{message}"),
                Weight::Risk | Weight::Stops => tracing::warn!(tenant, plugin, "{message}"),
            }
        }
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads for I/O. Their name is how their CPU time is told from that of the transforms.
pub(super) fn engine_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores()).thread_name("engine-io").enable_all().build()
}

/// The command.
pub(super) fn run(config: Config) -> ExitCode {
    let outcome = match engine_runtime() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run_until_stopped(config));
            runtime.shutdown_background(); // an insert that a stop left open must not hold the process up
            outcome
        }
        Err(error) => Err(RunningError::Threads(error).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Start(RunningError::Settings(problems))) => super::mistaken(&problems),
        Err(failure) => {
            eprintln!("engine: {}", in_words(&failure));
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] RunningError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the address {address} can't be listened on")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
}

async fn run_until_stopped(config: Config) -> Result<(), Failure> {
    let (stopper, stopped) = crate::stop::stop();
    let address = config.listen;
    let until_idle = config.until_idle;
    let Running { engine, shown, greeting, plans, watch, deployer } = start(config, stopped)?;
    tokio::spawn(greeting);
    tokio::spawn(plans);
    tokio::spawn(watch);
    tokio::spawn(deployer);
    if let Some(address) = address {
        let token = std::env::var(TOKEN).ok();
        let bound = listen(address, shown.clone(), token.as_deref())
            .await
            .map_err(|source| Failure::Listen { address, source })?;
        tracing::info!(address = %bound, "serving /metrics and /health");
    }
    tokio::spawn(stop_at_signal(stopper));
    let outcome = engine.run().await;
    if until_idle {
        print_summary(&shown);
    }
    Ok(outcome?)
}

/// The first signal ends the open epochs, the second ends the process.
async fn stop_at_signal(stopper: Stopper) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals can't be caught: a stop will be a crash, from which the next start recovers");
        return;
    };
    for said_before in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if said_before {
            std::process::exit(130);
        }
        tracing::info!("stopping: ending open epochs");
        stopper.tell();
    }
}

/// One line of JSON on standard output: what became of the messages, for scripts.
fn print_summary(shown: &Shown) {
    #[derive(Serialize)]
    struct Summary {
        #[serde(flatten)]
        totals: Totals,
        stage_cpu_seconds: BTreeMap<&'static str, f64>,
    }
    let totals = shown.metrics.totals();
    let mut stages: BTreeMap<_, _> = thread_stages(&shown.clickhouses).into_iter().collect();
    stages.extend(shown.metrics.stage_seconds());
    let summary = Summary { totals, stage_cpu_seconds: stages };
    println!("{}", serde_json::to_string(&summary).expect("numbers under text keys"));
}
