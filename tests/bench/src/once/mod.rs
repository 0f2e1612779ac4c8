//! The engine with and without what makes it exactly once, for the benchmark that asks what that costs.
//!
//! Both are this program, so that they differ in nothing else: the same source, lanes, plugins and statements. With it, as
//! `engine` puts itself together: journal, claims, fences, marks, tokens. Without it ([`without`]) a crash loses or repeats
//! rows. What stays in both are the digests that an intent would name: their CPU time is a stage of its own in the summary,
//! for the benchmark to take off.

mod without;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use engine::artifacts::Artifacts;
use engine::clock::SystemClock;
use engine::config::{Config, Input, Overlay, read_plugins};
use engine::cpu::Cpu;
use engine::engine::{Deployed, Engine, Lanes};
use engine::journal::{Journal, LocalJournal};
use engine::lane::{MAX_RECOVERIES, Surroundings};
use engine::metrics::Metrics;
use engine::plugin::{Host, HostSettings};
use engine::server::Shown;
use engine::sink::{ClickHouse, Sink};
use engine::source::KafkaSource;
use engine::transform::Transform;
use tokio::sync::Semaphore;

use crate::Failure;
use without::{Forgetful, Unclaimed};

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    plugins: PathBuf,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    clickhouse: String,
    #[arg(long)]
    database: String,
    /// Without journal, claims and tokens
    #[arg(long)]
    without: bool,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let config = config(options)?;
    let threads = std::thread::available_parallelism()?.get();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // The name by which the engine finds what these threads cost.
    let runtime = runtime.worker_threads(threads).thread_name("engine-io").enable_all().build()?;
    let outcome = runtime.block_on(run_engine(config, options.without, threads));
    runtime.shutdown_background();
    outcome
}

fn config(options: &Options) -> Result<Config, Failure> {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let flags = [
        ("plugins", path(&options.plugins)),
        ("data_dir", path(&options.data_dir)),
        ("kafka.brokers", options.kafka.clone()),
        ("clickhouse.url", options.clickhouse.clone()),
        ("clickhouse.database", options.database.clone()),
    ];
    let flags = flags.into_iter().map(|(key, value)| ("--set".to_owned(), key.to_owned(), value)).collect();
    let overlay = Overlay { flags, ignore_default_file: true, until_idle: true, ..Overlay::default() };
    Config::read(&overlay).map_err(|problems| problems.to_string().into())
}

async fn run_engine(config: Config, without: bool, threads: usize) -> Result<(), Failure> {
    let host = Host::new(HostSettings::default())?;
    let mut deployed = Vec::new();
    for file in read_plugins(&config.plugins, &config.database).map_err(|problems| problems.to_string())? {
        let wasm = std::fs::read(file.artifact())?;
        deployed.push(Deployed { transform: Transform::build(&host, file.settings.clone(), Some(wasm.into()))?, file });
    }
    let Input::Kafka(kafka) = &config.input else { return Err("the source is Kafka".into()) };
    std::fs::create_dir_all(&config.data_dir)?;
    let clickhouse = Arc::new(ClickHouse::new(config.clickhouse.clone())?);
    let (sink, journal): (Arc<dyn Sink>, Arc<dyn Journal>) = if without {
        (Arc::new(Unclaimed::new(clickhouse.clone(), &config.clickhouse.url)), Arc::new(Forgetful))
    } else {
        (clickhouse.clone(), Arc::new(LocalJournal::open(&config.data_dir)?))
    };
    let around = Surroundings {
        source: Arc::new(KafkaSource::new(kafka)?),
        sink,
        journal,
        artifacts: Artifacts::open(&config.data_dir)?,
        registry: None,
        host,
        cpu: Cpu::start(threads)?,
        clock: Arc::new(SystemClock),
        recoveries: Arc::new(Semaphore::new(MAX_RECOVERIES)),
    };
    let shown = Shown { lanes: Lanes::default(), metrics: Arc::new(Metrics::default()), clickhouse };
    let (_never, stop) = engine::stop::stop();
    Engine::new(Arc::new(config), around, deployed, shown.metrics.clone(), shown.lanes.clone(), stop).run().await?;
    let mut stages: BTreeMap<_, _> = shown.thread_stages().into_iter().collect();
    stages.extend(shown.metrics.stage_seconds());
    println!("{}", serde_json::json!({ "stage_cpu_seconds": stages }));
    Ok(())
}
