//! What many tenants cost: memory, time to start, CPU at rest, and CPU per event beside one tenant with as many events.
//!
//! CPU per event is of a time in which, but for the rhythm of inserts, as many events are committed as are sent: it begins when
//! each lane has gathered rows for an insert once, and ends while the load goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use crate::engine::Engine;
use crate::figures::Figures;
use crate::folders::{self, Tenant};
use crate::load::{Load, Stream};
use crate::watch::{Seen, Watch, latencies};
use crate::{Failure, Parts, as_f64, ask, kafka, pause, quantile, wait};

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    parts: Parts,
    /// Tenants
    #[arg(long, default_value_t = 500)]
    tenants: usize,
    /// Events in a second, of all tenants together
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// How long the engine is measured at work, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long the engine is watched at rest, in seconds
    #[arg(long, default_value_t = 30)]
    rest: u64,
    /// Which ways of having tenants are measured
    #[arg(long, value_delimiter = ',', default_value = "one,topics,shared")]
    only: Vec<Way>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// One tenant with all events.
    One,
    /// Each tenant has a topic.
    Topics,
    /// All tenants' rows are in one topic.
    Shared,
    /// One tenant with as many plugins, each with a topic.
    Plugins,
}

/// After so long each lane has inserted: the longest that rows are gathered for, and some.
const WARM_UP: Duration = Duration::from_secs(45);
/// How often the engine is asked: an answer names all lanes, and is to cost little beside what they do.
const LOOK: Duration = Duration::from_secs(2);
/// The same for thousands of lanes, of which no latencies are shown.
const SELDOM: Duration = Duration::from_secs(10);

/// The topic that they share, or that the one has, has so many partitions.
const PARTITIONS: i32 = 4;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut figures = Figures::default();
    for way in &options.only {
        World { options, way: *way }.measure(&mut figures)?;
    }
    let cost = |way: &str| figures.median(&format!("tenants_{way}_cpu_us_per_event"));
    let ratios: Vec<_> = ["topics", "shared", "plugins"]
        .into_iter()
        .filter_map(|way| Some((format!("tenants_{way}_cost_ratio"), cost(way)? / cost("one")?)))
        .collect();
    for (name, ratio) in ratios {
        figures.add(name, "", ratio);
    }
    figures.print();
    figures.write_into(&options.parts.out)?;
    println!("\nwritten to {}", options.parts.out.display());
    Ok(())
}

struct World<'a> {
    options: &'a Options,
    way: Way,
}

impl World<'_> {
    fn name(&self) -> &'static str {
        match self.way {
            Way::One => "one",
            Way::Topics => "topics",
            Way::Shared => "shared",
            Way::Plugins => "plugins",
        }
    }

    fn measure(&self, figures: &mut Figures) -> Result<(), Failure> {
        let parts = &self.options.parts;
        let folder = tempfile::tempdir()?;
        let tenants = self.tenants();
        let topics = self.topics(&tenants);
        drop_databases(&parts.clickhouse)?;
        let partitions = if matches!(self.way, Way::One | Way::Shared) { PARTITIONS } else { 1 };
        kafka::create(&parts.kafka, &topics, partitions)?;
        if matches!(self.way, Way::Plugins | Way::One) {
            folders::write_flat(folder.path(), &parts.plugin, &tenants)?;
        } else {
            folders::write(folder.path(), &parts.plugin, &tenants)?;
        }
        let lanes = tenants.len() * usize::try_from(partitions)?;
        self.start("first_start", folder.path(), lanes, figures)?.end()?;
        let engine = self.start("later_start", folder.path(), lanes, figures)?;
        self.rest(&engine, figures)?;
        self.work(&engine, &self.streams(&tenants, as_f64(self.options.rate)), figures)?;
        engine.end()?;
        drop_databases(&parts.clickhouse)?;
        kafka::delete(&parts.kafka, &topics)
    }

    fn note(&self, figures: &mut Figures, what: &str, unit: &'static str, value: f64) {
        println!("{} {what}: {value:.2} {unit}", self.name());
        figures.add(format!("tenants_{}_{what}", self.name()), unit, value);
    }

    fn start(&self, what: &str, folder: &Path, lanes: usize, figures: &mut Figures) -> Result<Engine, Failure> {
        let mut engine = Engine::start(&self.options.parts, folder)?;
        self.note(figures, what, "s", engine.until_running(lanes)?.as_secs_f64());
        self.note(figures, &format!("{what}_cpu"), "s", engine.cpu()?.as_secs_f64());
        Ok(engine)
    }

    /// With nothing to do.
    fn rest(&self, engine: &Engine, figures: &mut Figures) -> Result<(), Failure> {
        pause(Duration::from_secs(10));
        let (before, began) = (engine.cpu()?, Instant::now());
        pause(Duration::from_secs(self.options.rest));
        let part = (engine.cpu()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
        self.note(figures, "cpu_at_rest", "% of a core", part * 100.0);
        let (memory, _, threads) = engine.memory_and_threads()?;
        self.note(figures, "memory_at_rest", "MiB", memory);
        self.note(figures, "threads", "", threads);
        Ok(())
    }

    /// With all that is sent to it.
    fn work(&self, engine: &Engine, streams: &[Stream], figures: &mut Figures) -> Result<(), Failure> {
        let Options { parts, rate, seconds, .. } = self.options;
        let began = Instant::now();
        let often = if self.way == Way::Shared { SELDOM } else { LOOK };
        let watch = Watch::start(&engine.url, began, often)?;
        let load = Load::start(&parts.kafka, streams.to_vec(), began)?;
        pause(WARM_UP);
        let (before, inserted, cpu) = (rows(&parts.clickhouse)?, inserts(&parts.clickhouse)?, engine.cpu()?);
        pause(Duration::from_secs(*seconds));
        let (events, cpu) = (rows(&parts.clickhouse)? - before, engine.cpu()? - cpu);
        let inserted = inserts(&parts.clickhouse)? - inserted;
        self.note(figures, "inserts_per_second", "/s", as_f64(inserted) / as_f64(*seconds));
        self.note(figures, "committed_per_second", "/s", as_f64(events) / as_f64(*seconds));
        self.note(figures, "cpu_at_work", "% of a core", cpu.as_secs_f64() / as_f64(*seconds) * 100.0);
        self.note(figures, "cpu_us_per_event", "us", cpu.as_secs_f64() * 1e6 / as_f64(rate * seconds));
        let sent = load.end()?;
        let messages: u64 = sent.iter().map(|stream| stream.len() as u64).sum();
        wait("all messages to be committed", || Ok(watch.look(|seen| self.committed(seen)) >= messages))?;
        let (_, most, threads) = engine.memory_and_threads()?;
        self.note(figures, "most_memory", "MiB", most);
        self.note(figures, "most_threads", "", threads);
        let seen = watch.end()?;
        if self.way != Way::Shared {
            let mut all = Vec::new();
            for (stream, sent) in streams.iter().zip(&sent) {
                let of = format!("/{}/{}", stream.topic, stream.partition);
                let commits = seen.iter().find(|(lane, _)| lane.ends_with(&of)).ok_or("a lane was not seen")?.1;
                all.extend(latencies(sent, commits, Duration::ZERO, Duration::MAX));
            }
            all.sort_by(f64::total_cmp);
            self.note(figures, "latency_p50", "ms", quantile(&all, 0.5));
            self.note(figures, "latency_p99", "ms", quantile(&all, 0.99));
        }
        let rows = rows(&parts.clickhouse)?;
        if rows == messages { Ok(()) } else { Err(format!("{rows} rows of {messages} messages").into()) }
    }

    fn tenants(&self) -> Vec<Tenant> {
        let count = if self.way == Way::One { 1 } else { self.options.tenants };
        (0..count)
            .map(|number| {
                let name = format!("crowd{number:03}");
                let topic = match self.way {
                    Way::One => format!("crowd.one.{}", std::process::id()),
                    Way::Shared => format!("crowd.shared.{}", std::process::id()),
                    Way::Topics | Way::Plugins => format!("{name}.{}.{}", self.name(), std::process::id()),
                };
                Tenant { name, topic, manner: "good", clickhouse: None, selects: self.way == Way::Shared }
            })
            .collect()
    }

    fn topics(&self, tenants: &[Tenant]) -> Vec<String> {
        match self.way {
            Way::One | Way::Shared => tenants.iter().take(1).map(|tenant| tenant.topic.clone()).collect(),
            Way::Topics | Way::Plugins => tenants.iter().map(|tenant| tenant.topic.clone()).collect(),
        }
    }

    fn streams(&self, tenants: &[Tenant], rate: f64) -> Vec<Stream> {
        let stream = |tenant: &Tenant, partition, of: usize| Stream {
            tenant: tenant.name.clone(),
            topic: tenant.topic.clone(),
            partition,
            rate: rate / as_f64(of as u64),
        };
        match self.way {
            Way::One => {
                let of = |tenant| (0..PARTITIONS).map(move |partition| stream(tenant, partition, 4));
                tenants.iter().flat_map(of).collect()
            }
            Way::Topics | Way::Plugins => tenants.iter().map(|tenant| stream(tenant, 0, tenants.len())).collect(),
            Way::Shared => {
                let place = |(tenant, partition)| stream(tenant, partition, tenants.len());
                tenants.iter().zip((0..PARTITIONS).cycle()).map(place).collect()
            }
        }
    }

    /// Messages below the lanes' positions. Of a shared topic each tenant's lanes pass all messages: those of one tenant count.
    fn committed(&self, seen: &Seen) -> u64 {
        let last = |commits: &Vec<crate::watch::Commit>| commits.last().map_or(0, |commit| commit.below);
        if self.way != Way::Shared {
            return seen.values().map(last).sum();
        }
        let mut by_tenant = std::collections::BTreeMap::<&str, u64>::new();
        for (lane, commits) in seen {
            *by_tenant.entry(lane.split('/').next().unwrap_or_default()).or_default() += last(commits);
        }
        by_tenant.into_values().min().unwrap_or(0)
    }
}

fn rows(clickhouse: &str) -> Result<u64, Failure> {
    let query =
        "SELECT sum(total_rows) FROM system.tables WHERE startsWith(database, 'crowd') AND endsWith(name, 'orders')";
    Ok(ask(clickhouse, query)?.trim().parse()?)
}

/// Since the server began.
fn inserts(clickhouse: &str) -> Result<u64, Failure> {
    Ok(ask(clickhouse, "SELECT sum(value) FROM system.events WHERE event = 'InsertQuery'")?.trim().parse()?)
}

pub(crate) fn drop_databases(clickhouse: &str) -> Result<(), Failure> {
    let databases = ask(clickhouse, "SELECT name FROM system.databases WHERE startsWith(name, 'crowd')")?;
    for database in databases.lines() {
        ask(clickhouse, &format!("DROP DATABASE `{database}` SYNC"))?;
    }
    Ok(())
}
