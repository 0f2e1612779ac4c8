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
use engine::cli::{Running, start_with};
use engine::config::{Config, Overlay};
use engine::lane::Surroundings;
use engine::server::thread_stages;
use engine::sink::OneSink;

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
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // The name by which the engine finds what these threads cost.
    let runtime = runtime.thread_name("engine-io").enable_all().build()?;
    let outcome = runtime.block_on(run_engine(config, options.without));
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

async fn run_engine(config: Config, without: bool) -> Result<(), Failure> {
    let (url, tenant) = (config.clickhouse.url.clone(), config.default_tenant());
    let exchange = |around: Surroundings| {
        if !without {
            return around;
        }
        let sink = around.sinks.of(&tenant).expect("its settings were read");
        let sinks = Arc::new(OneSink(Arc::new(Unclaimed::new(sink, url))));
        Surroundings { sinks, journal: Arc::new(Forgetful), ..around }
    };
    let (_never, stop) = engine::stop::stop();
    let Running { engine, shown, plans, watch, deployer, .. } = start_with(config, stop, exchange)?;
    tokio::spawn(plans);
    tokio::spawn(watch);
    tokio::spawn(deployer);
    engine.run().await?;
    let mut stages: BTreeMap<_, _> = thread_stages(&shown.clickhouses).into_iter().collect();
    stages.extend(shown.metrics.stage_seconds());
    println!("{}", serde_json::json!({ "stage_cpu_seconds": stages }));
    Ok(())
}
