//! What good tenants notice of bad ones: latency and throughput of twenty at a steady rate, alone and beside five that run in
//! a loop without end, take memory without end, flood, trap on each row, and have a ClickHouse that answers after half a minute.
//!
//! Both phases are of one run and one engine: the bad ones' folders appear in the second, while the clock runs. The engine's
//! breaker stops calling plugins that fail on everything, so their settings are saved again every few seconds, upon which they
//! are called anew. Each row of the good ones must be in its table once in the end, and each bad one must have been bad, else
//! there are no figures. The engine runs behind the broker, the server and the load (`nice`), which have machines of their own
//! elsewhere.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use crate::engine::Engine;
use crate::figures::Figures;
use crate::folders::{self, Tenant};
use crate::load::{Load, Sent, Stream};
use crate::proxy::Proxy;
use crate::tenants::drop_databases;
use crate::watch::{Commit, Seen, Watch, latencies};
use crate::{Failure, Parts, as_f64, ask, kafka, pause, quantile, wait};

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    parts: Parts,
    /// Good tenants
    #[arg(long, default_value_t = 20)]
    good: usize,
    /// Messages in a second for each of them
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How many times as many messages the one gets that floods
    #[arg(long, default_value_t = 50.0)]
    flood: f64,
    /// How long each phase is, in seconds
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// How long the slow ClickHouse takes for each answer, in seconds
    #[arg(long, default_value_t = 30)]
    delay: u64,
    /// Which bad tenants there are
    #[arg(long, value_delimiter = ',', default_value = "loop,allocate,flood,trap,slow")]
    bad: Vec<String>,
}

/// A phase's first seconds, in which lanes begin, are not measured.
const WARM_UP: Duration = Duration::from_secs(15);
/// How often the bad ones' settings are saved again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the engine is asked.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Options { parts, seconds, .. } = options;
    let folder = tempfile::tempdir()?;
    let server = parts.clickhouse.trim_start_matches("http://").trim_end_matches('/');
    let proxy = Proxy::start(server)?;
    let (good, bad) = (good(options), bad(options, &proxy));
    drop_databases(&parts.clickhouse)?;
    let topics: Vec<String> = good.iter().chain(&bad).map(|tenant| tenant.topic.clone()).collect();
    kafka::create(&parts.kafka, &topics, 1)?;
    folders::write(folder.path(), &parts.plugin, &good)?;
    let mut engine = Engine::start(parts, folder.path())?;
    engine.until_running(good.len())?;

    let began = Instant::now();
    let watch = Watch::start(&engine.url, began, LOOK)?;
    let load = Load::start(&parts.kafka, streams(&good, |_| options.rate), began)?;
    let alone = phase(began, *seconds);
    let rate =
        |tenant: &Tenant| if tenant.name.ends_with("flood") { options.rate * options.flood } else { options.rate };
    let nuisance = Load::start(&parts.kafka, streams(&bad, rate), began)?;
    let beside = beside(options, folder.path(), &bad, &proxy, &watch, began)?;
    were_bad(&engine.url, &bad)?;
    println!("{}", tenants_of(&engine.url)?);
    let (_, most, threads) = engine.memory_and_threads()?;
    nuisance.end()?;
    let sent = load.end()?;
    proxy.delay(Duration::ZERO);
    wait("the good ones' messages to be committed", || {
        Ok(watch.look(|seen| good.iter().zip(&sent).all(|(tenant, sent)| committed(seen, tenant) >= sent.len() as u64)))
    })?;
    let seen = watch.end()?;
    rows_are_there(&parts.clickhouse, &good, &sent)?;
    drop(engine); // a lane in a loop without end has no end

    let mut figures = Figures::default();
    let phases = [("alone", alone), ("beside", beside)].map(|(name, phase)| {
        let measured = Measured::of(&good, &sent, &seen, phase);
        measured.note(&mut figures, name);
        measured
    });
    table(&phases, &mut figures);
    figures.add("neighbours_most_memory", "MiB", most);
    figures.add("neighbours_threads", "", threads);
    figures.print();
    figures.write_into(&parts.out)?;
    drop_databases(&parts.clickhouse)?;
    kafka::delete(&parts.kafka, &topics)
}

/// The phase with the bad ones, measured from the moment they appear.
fn beside(
    options: &Options,
    folder: &Path,
    bad: &[Tenant],
    proxy: &Proxy,
    watch: &Watch,
    began: Instant,
) -> Result<(Duration, Duration), Failure> {
    let from = began.elapsed();
    let end = from + Duration::from_secs(options.seconds);
    folders::write(folder, &options.parts.plugin, bad)?;
    let slow = |tenant: &&Tenant| tenant.clickhouse.is_some();
    // Only then is its server slow: it has tables, and keeps epochs in flight.
    wait("the first rows of the one whose server will be slow", || {
        Ok(watch.look(|seen| bad.iter().filter(slow).all(|tenant| committed(seen, tenant) > 0)))
    })?;
    proxy.delay(Duration::from_secs(options.delay));
    for round in 0.. {
        folders::save_again(folder, bad, round)?;
        pause(AGAIN.min(end.saturating_sub(began.elapsed())));
        if began.elapsed() >= end {
            break;
        }
    }
    Ok((from, began.elapsed()))
}

/// What is to be bad must have been: a loop takes CPU time, for a minute before the breaker gives it up; what fails, fails again
/// and again.
fn were_bad(url: &str, bad: &[Tenant]) -> Result<(), Failure> {
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let metrics = client.get(format!("{url}/metrics")).send()?.text()?;
    for tenant in bad.iter().filter(|tenant| tenant.manner != "good") {
        let label = format!("tenant=\"{}\"", tenant.name);
        let sum = |name: &str| -> f64 {
            let of = metrics.lines().filter(|line| line.starts_with(name) && line.contains(&label));
            of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let (opened, cpu) = (sum("engine_breaker_opened_total"), sum("engine_tenant_cpu_seconds_total"));
        println!("{}: failed on everything {opened:.0} times, took {cpu:.1} s of CPU time", tenant.name);
        if opened < 2.0 && cpu < 5.0 {
            return Err(format!("{} was not bad", tenant.name).into());
        }
    }
    Ok(())
}

/// Lets the time of a phase pass; gives its measured part.
fn phase(began: Instant, seconds: u64) -> (Duration, Duration) {
    pause(WARM_UP);
    let from = began.elapsed();
    pause(Duration::from_secs(seconds));
    (from, began.elapsed())
}

fn good(options: &Options) -> Vec<Tenant> {
    (0..options.good).map(|number| tenant(format!("crowd{number:02}"), "good", None)).collect()
}

fn bad(options: &Options, slow: &Proxy) -> Vec<Tenant> {
    let of = |kind: &String| match kind.as_str() {
        "loop" => tenant("crowd_loop".to_owned(), "loop", None),
        "allocate" => tenant("crowd_allocate".to_owned(), "allocate", None),
        "trap" => tenant("crowd_trap".to_owned(), "trap", None),
        "slow" => tenant("crowd_slow".to_owned(), "good", Some(slow.url.clone())),
        _ => tenant("crowd_flood".to_owned(), "good", None),
    };
    options.bad.iter().map(of).collect()
}

fn tenant(name: String, manner: &'static str, clickhouse: Option<String>) -> Tenant {
    let topic = format!("{name}.{}", std::process::id());
    Tenant { name, topic, manner, clickhouse, selects: false }
}

fn streams(tenants: &[Tenant], rate: impl Fn(&Tenant) -> f64) -> Vec<Stream> {
    let stream = |tenant: &Tenant| Stream {
        tenant: tenant.name.clone(),
        topic: tenant.topic.clone(),
        partition: 0,
        rate: rate(tenant),
    };
    tenants.iter().map(stream).collect()
}

fn commits<'a>(seen: &'a Seen, tenant: &Tenant) -> &'a [Commit] {
    let of = format!("/{}/0", tenant.topic);
    seen.iter().find(|(lane, _)| lane.ends_with(&of)).map_or(&[], |(_, commits)| commits)
}

fn committed(seen: &Seen, tenant: &Tenant) -> u64 {
    commits(seen, tenant).last().map_or(0, |commit| commit.below)
}

/// What the engine says of its tenants.
fn tenants_of(url: &str) -> Result<String, Failure> {
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let health: serde_json::Value = serde_json::from_str(&client.get(format!("{url}/health")).send()?.text()?)?;
    let tenants = health["tenants"].as_array().cloned().unwrap_or_default();
    let bad = tenants.iter().filter(|tenant| tenant["tenant"].as_str().is_some_and(|name| name.starts_with("crowd_")));
    Ok(bad.map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn rows_are_there(clickhouse: &str, good: &[Tenant], sent: &Sent) -> Result<(), Failure> {
    for (tenant, sent) in good.iter().zip(sent) {
        let answer = ask(clickhouse, &format!("SELECT count(), uniqExact(id) FROM {}.orders FORMAT TSV", tenant.name))?;
        let right = format!("{}\t{}", sent.len(), sent.len());
        if answer.trim() != right {
            return Err(format!("tenant {} has {} rows and ids, right is {right}", tenant.name, answer.trim()).into());
        }
    }
    Ok(())
}

/// What the good tenants noticed in a phase.
struct Measured {
    latencies: Vec<f64>,
    /// The p99 of the one that had the worst.
    worst: f64,
    /// Rows that were committed in a second.
    throughput: f64,
}

impl Measured {
    fn of(good: &[Tenant], sent: &Sent, seen: &Seen, (from, to): (Duration, Duration)) -> Self {
        let (mut all, mut worst, mut rows) = (Vec::new(), 0_f64, 0);
        for (tenant, sent) in good.iter().zip(sent) {
            let commits = commits(seen, tenant);
            let mut own = latencies(sent, commits, from, to);
            own.sort_by(f64::total_cmp);
            worst = worst.max(quantile(&own, 0.99));
            all.append(&mut own);
            let below = |at| commits.iter().take_while(|commit| commit.at < at).last().map_or(0, |commit| commit.below);
            rows += below(to) - below(from);
        }
        all.sort_by(f64::total_cmp);
        Self { latencies: all, worst, throughput: as_f64(rows) / (to - from).as_secs_f64() }
    }

    fn figures(&self) -> [(&'static str, &'static str, f64); 6] {
        let of = |share| quantile(&self.latencies, share);
        [
            ("latency_p50", "ms", of(0.5)),
            ("latency_p99", "ms", of(0.99)),
            ("latency_p999", "ms", of(0.999)),
            ("latency_max", "ms", of(1.0)),
            ("worst_tenants_p99", "ms", self.worst),
            ("throughput", "rows/s", self.throughput),
        ]
    }

    fn note(&self, figures: &mut Figures, phase: &str) {
        for (name, unit, value) in self.figures() {
            figures.add(format!("neighbours_{phase}_{name}"), unit, value);
        }
    }
}

fn table([alone, beside]: &[Measured; 2], figures: &mut Figures) {
    println!("| of the good tenants | alone | beside the bad ones | |\n|---|---|---|---|");
    for ((name, unit, alone), (.., beside)) in alone.figures().into_iter().zip(beside.figures()) {
        println!("| {} | {alone:.0} {unit} | {beside:.0} {unit} | {:.2} |", name.replace('_', " "), beside / alone);
        figures.add(format!("neighbours_{name}_ratio"), "", beside / alone);
    }
}
