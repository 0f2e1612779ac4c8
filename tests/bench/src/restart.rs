//! From `kill -9` to the first new row: how long nothing arrives when an engine dies that remembers much.
//!
//! The engine reads a topic of one partition on a real Kafka, whose every message has a new key, and deduplicates it into a real
//! ClickHouse: so all keys are one lane's. Then it is killed and started again, each time with messages that are sent right
//! after the kill. Measured is time on the clock, from the kill until the first of them can be read in the table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use engine::demo::ClickHouse;
use rdkafka::producer::{BaseRecord, Producer};

use crate::Failure;
use crate::events::ask;
use crate::events::topics::{self, Many};
use crate::figures::Figures;

/// The first event, ms since 1970-01-01 UTC; one a millisecond.
const BEGIN_MS: u64 = 1_735_689_600_000;
/// Within this the engine has to read all, and to come up again.
const PATIENCE: Duration = Duration::from_secs(600);

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Bootstrap servers of a Kafka whose topics `bench.*` are this benchmark's
    #[arg(long)]
    kafka: String,
    /// The engine's binary, release build
    #[arg(long)]
    engine: PathBuf,
    /// `bench_dedup_number.wasm`
    #[arg(long)]
    plugin: PathBuf,
    /// Live keys
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Memory for them, MiB: the plugin's `state_mib`
    #[arg(long, default_value_t = 512)]
    memory_mib: usize,
    /// Kills
    #[arg(long, default_value_t = 7)]
    rounds: u64,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let server = ClickHouse::start(&folder.path().join("clickhouse"))?;
    let world = World { options, folder: folder.path(), url: server.url(), topic: "bench.restart".to_owned() };
    topics::create(&options.kafka, &world.topic, 1)?;
    let producer = topics::producer(&options.kafka)?;
    world.write_plugin()?;
    let mut engine = world.start()?;
    world.send(&producer, 0..options.keys)?;
    world.wait(options.keys)?;
    let mut figures = Figures::default();
    for round in 0..options.rounds {
        let before = options.keys + round;
        engine.kill()?; // SIGKILL
        let began = Instant::now();
        engine.wait()?;
        engine = world.start()?;
        world.send(&producer, before..before + 1)?;
        world.wait(before + 1)?;
        let took = began.elapsed().as_secs_f64();
        println!("after kill {} the first new row was there in {took:.2} s", round + 1);
        figures.add(format!("restart_{}m_keys_s", options.keys / 1_000_000), "s", took);
    }
    engine.kill()?;
    engine.wait()?;
    println!("{}", world.what_was_read()?);
    figures.print();
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// What the engine works in.
struct World<'a> {
    options: &'a Options,
    folder: &'a Path,
    url: String,
    topic: String,
}

impl World<'_> {
    fn write_plugin(&self) -> Result<(), Failure> {
        let folder = self.folder.join("plugins/events");
        fs::create_dir_all(&folder)?;
        fs::copy(&self.options.plugin, folder.join("plugin.wasm"))?;
        let (topic, memory) = (&self.topic, self.options.memory_mib);
        Ok(fs::write(folder.join("plugin.toml"), format!("topics = [\"{topic}\"]\n[limits]\nstate_mib = {memory}\n"))?)
    }

    fn start(&self) -> Result<Child, Failure> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.options.engine);
        command.arg("--plugins").arg(self.folder.join("plugins")).arg("--data-dir").arg(self.folder.join("data"));
        command.args(["--kafka", &self.options.kafka, "--clickhouse", &self.url, "--database", "bench_restart"]);
        command.arg("-v").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }

    fn send(&self, producer: &Many, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
        for number in numbers {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15); // in no order, each once
            let value = format!(r#"{{"key":{key},"at":{}}}"#, BEGIN_MS + number);
            let record = BaseRecord::<Vec<u8>, _>::to(&self.topic).partition(0).payload(value.as_bytes());
            topics::send_record(producer, record)?;
        }
        Ok(producer.flush(PATIENCE)?)
    }

    /// Waits until the table has so many rows.
    #[expect(clippy::disallowed_methods, reason = "the server is asked a hundred times a second, not more")]
    fn wait(&self, rows: u64) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let there = ask(&self.url, "SELECT count() FROM bench_restart.events").ok();
            let there = there.map_or(Ok(0), |count| count.trim().parse::<u64>())?;
            if there == rows {
                return Ok(());
            }
            if there > rows || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.log())?;
                return Err(format!("{there} rows, right is {rows}; the engine said:\n{log}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the engine said last of what it read from its journal.
    fn what_was_read(&self) -> Result<String, Failure> {
        let log = fs::read_to_string(self.log())?;
        Ok(log.lines().rfind(|line| line.contains("what the plugin remembers")).unwrap_or_default().to_owned())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}
