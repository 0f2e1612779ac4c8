//! What a load notices when a plugin's versions change: latency and stalls beside those of the same run at rest, and how
//! long it takes from a saved file to the first row by the new version.
//!
//! A real Kafka, a real ClickHouse and the engine with its default batches, and a plugin that writes into each row a number
//! that stands in its code. Versions are saved one after the other: one that was never seen, and is compiled, then the first
//! again, whose code is kept. In the end every row must be there once, each epoch be of one version, and the versions
//! follow each other in each partition as they were saved; else there are no figures.
//!
//! Latency is from the moment before a message is sent until its epoch is seen to be committed, which is looked for every
//! 10 ms. These are wall-clock times of one machine on which the broker, the server and the load run as well: to be compared
//! with each other alone.

#[path = "../../src/figures.rs"]
mod figures;
mod load;
#[path = "../../src/quantile.rs"]
mod quantile;
mod verdict;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use sha2::{Digest, Sha256};

use load::Load;
use verdict::{Swap, verdict};
use watch::Watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Options {
    /// Bootstrap servers of a Kafka in which a topic `swaps.…` is made
    #[arg(long)]
    kafka: String,
    /// The address of a ClickHouse, in which a database `swaps` is made anew
    #[arg(long)]
    clickhouse: String,
    /// The engine's binary, release build
    #[arg(long)]
    engine: PathBuf,
    /// The built plugin `bench-marks`
    #[arg(long)]
    plugin: PathBuf,
    /// How long the load goes on, in seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Versions that are saved in that time
    #[arg(long, default_value_t = 100)]
    swaps: u32,
    /// Messages in a second
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Where the figures are written
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
}

/// The load goes on for so long before the first version is saved, and after the last.
const CALM: Duration = Duration::from_secs(10);
/// The longest that lanes may take to move over, or to end what was sent.
const BOUND: Duration = Duration::from_secs(120);
/// Where the engine listens.
const LISTEN: &str = "127.0.0.1:18099";

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let built = fs::read(&options.plugin)?;
    ask(&options.clickhouse, "DROP DATABASE IF EXISTS swaps SYNC")?;
    let began = Instant::now();
    let topic = format!("swaps.{}", std::process::id());
    let load = Load::start(&options.kafka, &topic, options.rate, began)?;
    let plugins = folder.path().join("plugins");
    let files = Files { folder: plugins.join("marks"), built };
    fs::create_dir_all(&files.folder)?;
    let settings = format!("topics = [\"{topic}\"]\nplugin_column = true\n[rollout]\nprobation_s = 1\n");
    fs::write(files.folder.join("plugin.toml"), settings)?;
    files.save(0)?;
    let log = folder.path().join("engine.log");
    let engine = Engine::start(&options, folder.path(), &plugins, &log)?;
    let watch = Watch::start(&format!("http://{LISTEN}"), began)?;
    wait("the first commits", || watch.look(|seen| seen.commits.iter().all(|commits| !commits.is_empty())))?;
    pause(CALM);
    let swaps = swap(&options, &files, &watch, began)?;
    pause(CALM);
    let sent = load.end()?;
    wait("all messages to be committed", || watch.look(|seen| seen.committed() == sent.messages()))?;
    let seen = watch.end()?;
    engine.end()?;
    let figures = verdict(&options.clickhouse, &sent, &seen, &swaps, &fs::read_to_string(&log)?)?;
    ask(&options.clickhouse, "DROP DATABASE swaps SYNC")?;
    figures.print();
    figures.write_into(&options.out)?;
    println!("\nwritten to {}", options.out.display());
    Ok(())
}

/// Saves one version after the other, at even distances, or as soon as the one before runs on all lanes.
fn swap(options: &Options, files: &Files, watch: &Watch, began: Instant) -> Result<Vec<Swap>, Failure> {
    let time = Duration::from_secs(options.seconds).saturating_sub(2 * CALM);
    let (first, period) = (began.elapsed(), time / options.swaps.max(1));
    let mut swaps = Vec::new();
    for number in 0..options.swaps {
        pause((first + period * number).saturating_sub(began.elapsed()));
        let mark = if number % 2 == 0 { u64::from(number) + 1 } else { 0 };
        let at = began.elapsed();
        let digest = files.save(mark)?;
        let stays = || watch.look(|seen| !seen.trial && seen.runs.iter().all(|runs| *runs == digest));
        wait("a version to pass its trial", stays)?; // else the one before it would not have to be taken from its file
        swaps.push(Swap { mark, at });
    }
    Ok(swaps)
}

/// The plugin's folder.
struct Files {
    folder: PathBuf,
    built: Vec<u8>,
}

impl Files {
    /// Saves the version with this mark, as editors and deployments do: by a rename. Answers its digest.
    fn save(&self, mark: u64) -> Result<String, Failure> {
        let mut wasm = self.built.clone();
        let place = wasm.windows(8).position(|bytes| bytes == b"the mark").ok_or("the plugin has no mark")? + 8;
        wasm.get_mut(place..place + 8).ok_or("the plugin has no mark")?.copy_from_slice(&mark.to_le_bytes());
        fs::write(self.folder.join(".new"), &wasm)?;
        fs::rename(self.folder.join(".new"), self.folder.join("plugin.wasm"))?;
        Ok(Sha256::digest(&wasm).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The engine, which ends with its value.
struct Engine(Child);

impl Engine {
    fn start(options: &Options, folder: &Path, plugins: &Path, log: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(&options.engine);
        command.arg("--plugins").arg(plugins).arg("--data-dir").arg(folder.join("data"));
        command.args(["--kafka", &options.kafka, "--clickhouse", &options.clickhouse, "--database", "swaps"]);
        command
            .args(["--listen", LISTEN])
            .env("ENGINE_LOG", "engine=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log)?);
        Ok(Self(command.spawn()?))
    }

    /// As Ctrl-C does.
    fn end(mut self) -> Result<(), Failure> {
        Command::new("kill").arg(self.0.id().to_string()).status()?;
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the engine ended with {status}").into()) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.0.kill()); // it may have ended
        drop(self.0.wait());
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > BOUND {
            return Err(format!("waited in vain for {what}").into());
        }
        pause(Duration::from_millis(10));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a schedule is made of pauses")]
fn pause(time: Duration) {
    sleep(time);
}

fn ask(url: &str, query: &str) -> Result<String, Failure> {
    let client = reqwest::blocking::Client::builder().timeout(BOUND).build()?;
    let answer = client.post(url).body(query.to_owned()).send()?;
    let accepted = answer.status().is_success();
    let text = answer.text()?;
    if accepted { Ok(text) } else { Err(text.into()) }
}
