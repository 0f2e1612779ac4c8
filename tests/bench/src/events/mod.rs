//! What an event costs: the engine, with its plugin in the sandbox, against a hand-written consumer.
//!
//! Both read the same topics of a real Kafka into the same ClickHouse, one after the other, alternating. Measured is
//! the CPU time of the process, never wall time: machines are shared and clocks of processors vary. From each run the
//! CPU time of a run over an empty topic is taken off (start-up: the engine loads and compiles its plugin), and shown
//! beside. After each run the table is compared with what it must hold: a fast wrong answer is a failure.
//!
//! What it does not say: throughput of a cluster, network costs, latency.

mod contestants;
mod process;
pub(crate) mod topics;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use engine::demo::ClickHouse;

use crate::Failure;
use crate::figures::Figures;
use crate::messages::Shape;
use contestants::{STAGES, Target};
use topics::Topic;

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Bootstrap servers of a Kafka whose topics `bench.*` are this benchmark's
    #[arg(long)]
    kafka: String,
    /// The engine's binary, release build
    #[arg(long, default_value = "target/release/engine")]
    engine: PathBuf,
    /// The hand-written consumer's binary, release build
    #[arg(long, default_value = "target/release/naive")]
    naive: PathBuf,
    /// Folder with the built plugin `orders`
    #[arg(long, default_value = "plugins")]
    plugins: PathBuf,
    /// Messages of each topic
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Runs of each consumer over each topic
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Which consumers run
    #[arg(long, value_delimiter = ',', default_value = "engine,naive,naive-history,exactly-once,without")]
    only: Vec<Contestant>,
    /// Where the figures are written
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Contestant {
    /// The engine with the plugin `orders`, which writes current state and history.
    Engine,
    /// The hand-written consumer, which writes the current state alone: less than the engine does.
    Naive,
    /// The hand-written consumer doing the same as the engine.
    NaiveHistory,
    /// The engine once more, in the program that can do without.
    ExactlyOnce,
    /// The same without journal, claims and tokens.
    Without,
}

impl Contestant {
    /// Prefix of its figures' names.
    fn prefix(self) -> &'static str {
        match self {
            Self::Engine => "e2e_engine",
            Self::Naive => "naive",
            Self::NaiveHistory => "naive_history",
            Self::ExactlyOnce => "exactly_once",
            Self::Without => "without_exactly_once",
        }
    }
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let server = ClickHouse::start(folder.path())?;
    let empty = topics::ensure(&options.kafka, Shape::Plain, 0)?;
    let topics = [
        (Shape::Plain, topics::ensure(&options.kafka, Shape::Plain, options.messages)?),
        (Shape::Schema, topics::ensure(&options.kafka, Shape::Schema, options.messages)?),
    ];
    for (shape, topic) in &topics {
        let bytes = topic.bytes / topic.messages.max(1);
        println!("{:<8} {} messages of {bytes} bytes, {} bad", shape.as_str(), topic.messages, topic.bad);
    }
    let mut figures = Figures::default();
    for run in 0..options.runs {
        let mut order = options.only.clone();
        if run % 2 == 1 {
            order.reverse();
        }
        let mut costs = BTreeMap::new();
        for contestant in order {
            let bench = Bench { options, server: &server, contestant, run };
            let startup = bench.startup(&empty, &mut figures)?;
            for (shape, topic) in &topics {
                let cost = bench.run(*shape, topic, startup, &mut figures)?;
                costs.insert((contestant, shape.as_str()), cost);
            }
        }
        exactly_once(&costs, &mut figures);
    }
    figures.print();
    print_ratios(&figures);
    figures.write_into(&options.out)?;
    println!("\nwritten to {}", options.out.display());
    Ok(())
}

/// One consumer in one round.
struct Bench<'a> {
    options: &'a Options,
    server: &'a ClickHouse,
    contestant: Contestant,
    run: u32,
}

/// What an event cost, in microseconds of CPU time.
#[derive(Clone, Copy)]
struct Cost {
    /// The process.
    own: f64,
    /// Its digests, where it makes any.
    digest: f64,
    /// The server.
    server: f64,
}

/// What exactly once costs: the same run with it over that without it, from which the digests are taken off that only
/// intents need.
fn exactly_once(costs: &BTreeMap<(Contestant, &str), Cost>, figures: &mut Figures) {
    for (shape, suffix) in [(Shape::Plain, ""), (Shape::Schema, "_schema")] {
        let cost = |contestant| costs.get(&(contestant, shape.as_str()));
        let (Some(with), Some(without)) = (cost(Contestant::ExactlyOnce), cost(Contestant::Without)) else { continue };
        let bare = without.own - without.digest;
        figures.add(format!("exactly_once_cost_ratio{suffix}"), "", with.own / bare);
        let both = (with.own + with.server) / (bare + without.server);
        figures.add(format!("exactly_once_cost_ratio_with_clickhouse{suffix}"), "", both);
    }
}

/// What one process did.
struct Measured {
    cpu: Duration,
    peak_bytes: u64,
    server_cpu: Duration,
    stages: Vec<(&'static str, f64)>,
}

impl Bench<'_> {
    /// CPU time of a process that finds nothing to do.
    fn startup(&self, empty: &Topic, figures: &mut Figures) -> Result<Duration, Failure> {
        let measured = self.measure(empty)?;
        let name = format!("{}_startup_cpu_ms", self.contestant.prefix());
        figures.add(name, "ms", measured.cpu.as_secs_f64() * 1e3);
        Ok(measured.cpu)
    }

    fn run(&self, shape: Shape, topic: &Topic, startup: Duration, figures: &mut Figures) -> Result<Cost, Failure> {
        let measured = self.measure(topic)?;
        let prefix = match shape {
            Shape::Plain => self.contestant.prefix().to_owned(),
            Shape::Schema => format!("{}_schema", self.contestant.prefix()),
        };
        let events = as_f64(topic.messages);
        let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events;
        let own = measured.cpu.saturating_sub(startup);
        figures.add(format!("{prefix}_cpu_us_per_event"), "us", per_event(own));
        if !measured.stages.is_empty() {
            let known: f64 = measured.stages.iter().map(|(_, seconds)| seconds).sum();
            let other = (own.as_secs_f64() - known) * 1e6 / events;
            figures.add(format!("{prefix}_other_cpu_us_per_event"), "us", other);
        }
        for (stage, seconds) in &measured.stages {
            figures.add(format!("{prefix}_{stage}_cpu_us_per_event"), "us", seconds * 1e6 / events);
        }
        figures.add(format!("{prefix}_clickhouse_cpu_us_per_event"), "us", per_event(measured.server_cpu));
        figures.add(format!("{prefix}_peak_memory"), "MiB", as_f64(measured.peak_bytes >> 20));
        println!("run {} {:?} {}: {:.3} us", self.run + 1, self.contestant, shape.as_str(), per_event(own));
        let digest = measured.stages.iter().find(|(stage, _)| *stage == "digest");
        Ok(Cost {
            own: per_event(own),
            digest: digest.map_or(0.0, |(_, seconds)| seconds * 1e6 / events),
            server: per_event(measured.server_cpu),
        })
    }

    fn measure(&self, topic: &Topic) -> Result<Measured, Failure> {
        let url = self.server.url();
        let database = format!("bench_{}_{}", self.contestant.prefix(), self.run);
        ask(&url, &format!("DROP DATABASE IF EXISTS {database} SYNC"))?;
        let target = Target { topic: &topic.name, clickhouse: &url, database: &database };
        let before = process::cpu_so_far(self.server.pid())?;
        let (ended, stages, table) = match self.contestant {
            Contestant::Engine | Contestant::ExactlyOnce | Contestant::Without => {
                let (ended, summary) = if self.contestant == Contestant::Engine {
                    contestants::engine(self.options, &target)?
                } else {
                    contestants::once(self.options, &target, self.contestant == Contestant::Without)?
                };
                let seconds = |stage| summary.stage_cpu_seconds.get(stage).map(|seconds| (stage, *seconds));
                (ended, STAGES.into_iter().filter_map(seconds).collect(), "orders")
            }
            Contestant::Naive | Contestant::NaiveHistory => {
                let history = self.contestant == Contestant::NaiveHistory;
                let (ended, counts) = contestants::naive(self.options, &target, history)?;
                let right = (topic.messages, topic.messages - topic.bad, topic.bad);
                if (counts.messages, counts.rows, counts.bad) != right {
                    return Err(format!("naive counted {counts:?}, right is {right:?}").into());
                }
                (ended, Vec::new(), "naive_orders")
            }
        };
        let server_cpu = process::cpu_so_far(self.server.pid())?.saturating_sub(before);
        self.check(topic, &url, &format!("{database}.{table}"))?;
        ask(&url, &format!("DROP DATABASE {database} SYNC"))?;
        Ok(Measured { cpu: ended.cpu, peak_bytes: ended.peak_bytes, server_cpu, stages })
    }

    fn check(&self, topic: &Topic, url: &str, table: &str) -> Result<(), Failure> {
        if topic.messages == 0 {
            return Ok(());
        }
        let current: u64 = ask(url, &format!("SELECT count() FROM {table} FINAL"))?.trim().parse()?;
        if current != topic.current {
            return Err(format!("{table} holds {current} current rows, right is {}", topic.current).into());
        }
        Ok(())
    }
}

pub(crate) fn ask(url: &str, query: &str) -> Result<String, Failure> {
    let answer = reqwest::blocking::Client::new().post(url).body(query.to_owned()).send()?;
    let accepted = answer.status().is_success();
    let text = answer.text()?;
    if accepted { Ok(text) } else { Err(text.into()) }
}

fn print_ratios(figures: &Figures) {
    for (shape, words) in [("", "plain"), ("_schema", "with embedded schema")] {
        let Some(engine) = figures.median(&format!("e2e_engine{shape}_cpu_us_per_event")) else { continue };
        for (naive, what) in [("naive", "the hand-written consumer"), ("naive_history", "the same with history")] {
            if let Some(naive) = figures.median(&format!("{naive}{shape}_cpu_us_per_event")) {
                println!("{words}: the engine takes {:.2} of the CPU time of {what}", engine / naive);
            }
        }
        if let Some(ratio) = figures.median(&format!("exactly_once_cost_ratio{shape}")) {
            println!("{words}: exactly once takes {ratio:.2} of the CPU time of the same run without it");
        }
    }
}

/// Exact up to 2^53.
fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
    let float = count as f64;
    float
}
