//! What a pipeline takes at the volume of the project that it replaces: rows, rates, CPU time, and the time from a commit in
//! the source to rows that a reader sees, by stages:
//!
//! ```text
//! commit ──► Kafka ──► epoch ──► visible
//!        │         │         └ transform, intent, insert: until an answer of the server has all rows of the epoch
//!        │         └ wait in the topic, fetch, collect: until the epoch's clock
//!        └ replication, connector, producer: until the message's timestamp
//! ```
//! The last is seen from outside: the table is asked, ever again, which rows it has. So a figure is too high by up to the time
//! between two questions, and never too low.

use std::collections::HashMap;
use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::engine::Engine;
use harness::wait::wait_for;

use super::world::{ARRIVAL, DATABASE, World, while_busy};

/// Whether the whole volume is asked for.
pub(crate) fn whole_volume() -> bool {
    env::var_os("PIPELINE_VOLUME").is_some()
}

/// The table in which arrival is watched: one that has a row for each message, or nearly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) table: &'static str,
    pub(crate) begins: Begins,
}

/// Where the way of a row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each pipeline is timed by one of them")]
pub(crate) enum Begins {
    /// With the commit in the database, `_source_ts`.
    Commit,
    /// With the message: applications write it themselves.
    Message,
}

/// A load, measured.
#[derive(Debug)]
pub(crate) struct Phase {
    name: String,
    events: u64,
    took: Duration,
    cpu: Duration,
    /// Milliseconds of each row: in all, and by stage.
    whole: Vec<i64>,
    to_kafka: Vec<i64>,
    to_epoch: Vec<i64>,
    to_visible: Vec<i64>,
}

/// An epoch of a lane.
type Epoch = (u64, u64);
/// When the table was asked, in milliseconds since 1970, and the rows of each epoch that it had.
type Sight = (i64, HashMap<Epoch, u64>);

impl Phase {
    /// Runs `load`, which makes so many events, and waits until the watched table has `rows` more rows.
    pub(crate) fn measure(
        name: &str,
        world: &World,
        engine: &Engine,
        watched: Watched,
        (events, rows): (u64, u64),
        load: impl FnOnce() + Send,
    ) -> Self {
        let there = world.count(watched.table);
        let (since, began, cpu) = (now_ms(), Instant::now(), engine.cpu_time());
        let mut sights: Vec<Sight> = Vec::new();
        while_busy(load, || {
            wait_for(&format!("{rows} more rows of {}", watched.table), ARRIVAL, || {
                sights.push(sight(world, watched.table, since));
                let now = world.count(watched.table);
                if now >= there + rows { Ok(()) } else { Err(now.saturating_sub(there)) }
            });
        });
        let (took, cpu) = (began.elapsed(), engine.cpu_time() - cpu);
        sights.push(sight(world, watched.table, since));
        let (whole, to_kafka, to_epoch, to_visible) = Default::default();
        let name = name.to_owned();
        let mut phase = Self { name, events, took, cpu, whole, to_kafka, to_epoch, to_visible };
        phase.add_latencies(world, watched, since, &sights);
        println!("{}", phase.line());
        phase
    }

    /// Starts an engine on messages that are there already, and waits until the watched table has so many rows in all. How
    /// long they had waited says nothing, so there are no latencies.
    pub(crate) fn backlog(name: &str, world: &World, watched: Watched, (events, rows): (u64, u64)) -> (Self, Engine) {
        let began = Instant::now();
        let engine = world.start();
        world.wait_for_rows(watched.table, rows);
        let (took, cpu) = (began.elapsed(), engine.cpu_time());
        let (whole, to_kafka, to_epoch, to_visible) = Default::default();
        (Self { name: name.to_owned(), events, took, cpu, whole, to_kafka, to_epoch, to_visible }, engine)
    }

    fn add_latencies(&mut self, world: &World, watched: Watched, since: i64, sights: &[Sight]) {
        let visible = visible_at(sights);
        let mut sent: HashMap<(String, i32), HashMap<i64, i64>> = HashMap::new();
        let query = format!(
            "SELECT _topic, _partition, _offset, _lane, _epoch, \
             if(isNull(_source_ts), 0, toUnixTimestamp64Milli(assumeNotNull(_source_ts))), \
             toUnixTimestamp64Milli(_ingested_at) \
             FROM {DATABASE}.{} WHERE _ingested_at >= fromUnixTimestamp64Milli({since}) ORDER BY _topic, _partition, _offset \
             FORMAT TSV",
            watched.table
        );
        for line in world.clickhouse.query(&query).lines() {
            let (topic, numbers) = line.split_once('\t').expect("a topic");
            let numbers: Vec<u64> = numbers.split('\t').map(|field| field.parse().expect("a number")).collect();
            let [partition, offset, lane, epoch, commit, clock] = numbers[..] else { panic!("six numbers: {line}") };
            let partition = i32::try_from(partition).expect("a partition");
            let [offset, commit, clock] = [offset, commit, clock].map(u64::cast_signed);
            let messages = sent
                .entry((topic.to_owned(), partition))
                .or_insert_with(|| world.kafka.timestamps(topic, partition, offset));
            let message = *messages.get(&offset).expect("a row is of a message");
            let visible = visible[&(lane, epoch)];
            let begin = if watched.begins == Begins::Commit { commit } else { message };
            self.whole.push(visible - begin);
            self.to_kafka.push(message - begin);
            self.to_epoch.push(clock - message);
            self.to_visible.push(visible - clock);
        }
        for all in [&mut self.whole, &mut self.to_kafka, &mut self.to_epoch, &mut self.to_visible] {
            all.sort_unstable();
        }
    }

    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a few million")]
        let events = self.events as f64;
        let whole = [50, 95, 99].map(|percent| quantile(&self.whole, percent)).join(" | ");
        let stages = [&self.to_kafka, &self.to_epoch, &self.to_visible].map(|stage| quantile(stage, 99)).join(" | ");
        let (rate, cpu) = (events / seconds, self.cpu.as_secs_f64() * 1e6 / events);
        format!("| {} | {} | {seconds:.1} | {rate:.0} | {whole} | {stages} | {cpu:.1} |", self.name, self.events)
    }
}

/// Prints a pipeline's table: what came in and went out, what it took, and what the original says of itself.
pub(crate) fn print(name: &str, counts: &[(&str, u64)], phases: &[Phase], original: &str) {
    println!("\n### {name}\n\n| | rows |\n|---|---|");
    for (what, count) in counts {
        println!("| {what} | {count} |");
    }
    println!(
        "\n| | events | s | events/s | p50 ms | p95 ms | p99 ms | p99 to Kafka | p99 to the epoch | p99 to visible | \
         engine's CPU µs an event |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    phases.iter().for_each(|phase| println!("{}", phase.line()));
    println!("\nThe original: {original}\n");
}

/// Which rows the table has of the epochs since then.
fn sight(world: &World, table: &str, since: i64) -> Sight {
    let query = format!(
        "SELECT _lane, _epoch, count() FROM {DATABASE}.{table} WHERE _ingested_at >= fromUnixTimestamp64Milli({since}) \
         GROUP BY ALL FORMAT TSV"
    );
    let answer = world.clickhouse.try_query(&query).unwrap_or_default(); // no table yet: no rows
    let epochs = answer.lines().map(|line| {
        let numbers: Vec<u64> = line.split('\t').map(|field| field.parse().expect("a number")).collect();
        let [lane, epoch, rows] = numbers[..] else { panic!("three numbers: {line}") };
        ((lane, epoch), rows)
    });
    let epochs = epochs.collect();
    (now_ms(), epochs)
}

/// When each epoch was seen with all the rows that it has in the end.
fn visible_at(sights: &[Sight]) -> HashMap<Epoch, i64> {
    let (_, last) = sights.last().expect("somebody looked");
    let mut visible = HashMap::new();
    for (at, epochs) in sights {
        for (epoch, rows) in epochs {
            if last[epoch] == *rows {
                visible.entry(*epoch).or_insert(*at);
            }
        }
    }
    visible
}

fn quantile(sorted: &[i64], percent: usize) -> String {
    match sorted.len() {
        0 => "".to_owned(),
        rows => sorted[(rows - 1) * percent / 100].to_string(),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("64 bits last")
}
