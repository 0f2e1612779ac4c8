//! `engine plugin bench`: what a built plugin costs, in CPU time of the thread that runs it.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arrow_array::{Array, ArrayRef, RecordBatch};

use super::Failure;
use super::cases::{CLOCK_MS, Case};
use super::fit::{Fit, Samples, fit};
use super::messages::{EPOCH, Epochs, RecordedBatch, recorded};
use super::project::{Project, host};
use crate::batch::{Message, RawBatch};
use crate::cpu::thread_time;
use crate::decode::Decoder;
use crate::disposition::in_words;
use crate::offsets::OffsetRange;
use crate::plugin::{Answer, Context, Emitted, Fault, Instance, Limits, Plugin, Rows};
use crate::random::Random;
use crate::sink::encoded_bytes;
use crate::transform::{CHUNK_MESSAGES, Transform};

/// Sizes of a batch at which calls are measured; the largest that there is comes to them.
const SIZES: [usize; 7] = [1, 16, 128, 512, 1024, 2048, 4096];
/// Samples of each size.
const SAMPLES: usize = 21;
/// A sample lasts so long at least, in as many calls as it takes: reading the clock costs about a microsecond.
const SAMPLE_TIME: Duration = Duration::from_micros(500);
/// Calls that warm up caches and the guest's memory.
const WARM_UP: u32 = 5;
/// Epochs that are measured for the shares of the stages.
const EPOCHS: usize = 11;
/// A line that misses a measurement by more does not say what a call costs.
const BAD_FIT: f64 = 0.2;

/// Arguments of `plugin bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// The plugin's name or folder.
    #[arg(value_name = "NAME|DIR")]
    pub name: String,
    /// The folder of plugins.
    #[arg(long, value_name = "DIR", default_value = "plugins", env = "ENGINE_PLUGINS")]
    pub plugins: PathBuf,
    /// Recorded messages (JSON lines) [default: those of the plugin's cases].
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Messages of an epoch; those that there are, are repeated.
    #[arg(long, value_name = "N", default_value = "8192", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub rows: u32,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin bench customers
  engine plugin bench customers --input recorded.jsonl --rows 100000

Times are CPU time of one thread, not wall-clock time. What a call costs is a line through the costs of batches of \
several sizes: what it costs by itself, and what each row adds; in brackets are the ranges in which 95 of 100 \
repetitions lie.

The engine calls a plugin once for 8192 messages at most. Measure on a quiet machine, with a release build of the engine.";

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("no message becomes a row, so there is nothing to measure; `engine plugin run` shows why")]
    NoRows,
    #[error("the plugin fails on these rows; `engine plugin run` shows on which")]
    Fault(#[source] Fault),
}

/// The command.
pub(super) fn bench(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let project = Project::find(&args.plugins, &args.name)?;
    let file = project.file()?;
    let transform = project.transform(&host()?, file.settings)?;
    let plugin = transform.plugin().expect("bronze was refused");
    let files = match &args.input {
        Some(file) => vec![file.clone()],
        None => Case::of(&project.folder)?.iter().map(Case::input).collect(),
    };
    let recorded = most(&files, &file.topics)?;
    let batch = repeated(&recorded, args.rows as usize);

    let progress = Progress::new();
    let stages = Stages::measure(&transform, &batch, &progress)?;
    let rows = decoded(&transform, plugin, &batch)?;
    let calls = Calls::measure(&transform, plugin, &rows, &progress)?;
    progress.done();
    println!(
        "{}: epochs of {} messages, {} of them recorded in {}",
        project.name,
        batch.raw.messages.len(),
        recorded.raw.messages.len(),
        recorded.found.partition
    );
    stages.show();
    calls.show(plugin);
    if cfg!(debug_assertions) {
        println!(
            "\nnote: this engine is a debug build; decode, assemble and encode are slower than in a release build"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The partition with the most messages.
fn most(files: &[PathBuf], topics: &[String]) -> Result<RecordedBatch, Failure> {
    let mut largest: Option<RecordedBatch> = None;
    for file in files {
        for batch in recorded(file, topics, EPOCH)? {
            if largest.as_ref().is_none_or(|other| batch.raw.messages.len() > other.raw.messages.len()) {
                largest = Some(batch);
            }
        }
    }
    largest.ok_or_else(|| Failure::mistake(BenchError::NoRows))
}

/// So many messages, one after the other from a recording, again and again.
fn repeated(recorded: &RecordedBatch, count: usize) -> RecordedBatch {
    let again = recorded.raw.messages.iter().cycle().take(count);
    let copy = |(offset, message): (i64, &Message)| {
        let (key, value) = (message.key().map(<[u8]>::to_vec), message.value().map(<[u8]>::to_vec));
        Message::owned(offset, message.timestamp, key, value, message.headers())
    };
    let messages: Vec<Message> = (0..).zip(again).map(copy).collect();
    let range = OffsetRange { start: 0, end: messages.last().map_or(0, |last| last.offset + 1) };
    let bytes = messages.iter().map(Message::bytes).sum();
    let raw = RawBatch { partition: recorded.found.partition.clone(), range, messages, bytes };
    RecordedBatch { found: recorded.found.clone(), raw, schemas: recorded.schemas.clone() }
}

/// The rows of one call: a chunk as the engine cuts it.
fn decoded(transform: &Transform, plugin: &Plugin, batch: &RecordedBatch) -> Result<RecordBatch, Failure> {
    let input = transform.settings().input(plugin.description());
    let RecordedBatch { raw, schemas, .. } = batch;
    let mut decoder = Decoder::new(&input, &raw.partition, 0).map_err(Failure::failed)?;
    schemas.answers.iter().for_each(|answers| decoder.set_registry(answers));
    let chunk = raw.messages.len().min(CHUNK_MESSAGES);
    let rows = decoder.decode(&raw.messages[..chunk]).rows;
    if rows.num_rows() < 2 { Err(Failure::mistake(BenchError::NoRows)) } else { Ok(rows) }
}

/// CPU time of the stages of an epoch, ns; the medians of some epochs.
struct Stages {
    rows: usize,
    decode: f64,
    plugin: f64,
    assemble: f64,
    encode: f64,
}

impl Stages {
    fn measure(transform: &Transform, batch: &RecordedBatch, progress: &Progress) -> Result<Self, Failure> {
        let (mut decode, mut plugin, mut assemble, mut encode, mut rows) = (vec![], vec![], vec![], vec![], 0);
        for epoch in 0..=EPOCHS {
            progress.at(&format!("epoch {epoch} of {EPOCHS}"));
            // Each the first of its lane: of a plugin that drops duplicates all later ones would be about nothing else.
            let made = Epochs::new(transform, &batch.found)
                .epoch(transform, &batch.raw, &batch.schemas, CLOCK_MS)
                .map_err(|error| Failure::in_words(in_words(&error)))?;
            let before = thread_time();
            for block in &made.blocks {
                encoded_bytes(block).map_err(Failure::failed)?;
            }
            if epoch == 0 {
                continue; // warms up
            }
            encode.push(nanoseconds(thread_time().saturating_sub(before)));
            decode.push(nanoseconds(made.tally.times.decode.0));
            plugin.push(nanoseconds(made.tally.times.plugin.0));
            assemble.push(nanoseconds(made.tally.times.assemble.0 + made.tally.times.digest.0));
            rows = made.tally.rows_in;
        }
        let middle = |costs| Samples { rows, costs }.median();
        let (decode, plugin) = (middle(decode), middle(plugin));
        Ok(Self { rows, decode, plugin, assemble: middle(assemble), encode: middle(encode) })
    }

    fn show(&self) {
        let stages = [
            ("decode", self.decode, "bytes to columns"),
            ("plugin", self.plugin, "the plugin, its border, a fresh instance"),
            ("assemble", self.assemble, "columns to blocks and their digests"),
            ("encode", self.encode, "blocks to the body of an INSERT"),
        ];
        let all: f64 = stages.iter().map(|(_, cost, _)| cost).sum();
        let rows = self.rows.max(1) as f64;
        println!("\n{:>12}  {:>7}", "ns per row", "share");
        for (name, cost, about) in stages {
            println!("{:>12.1}  {:>6.1}%  {name}: {about}", cost / rows, cost / all * 100.0);
        }
        println!("{:>12.1}           all, {} rows a second on one core", all / rows, thousands(rows / all * 1e9));
    }
}

/// What calls of several sizes cost, ns, and what crosses in the largest.
struct Calls {
    samples: Vec<Samples>,
    instance: Samples,
    fit: Fit,
    rows: usize,
    bytes_in: usize,
    bytes_out: usize,
}

impl Calls {
    fn measure(
        transform: &Transform,
        plugin: &Plugin,
        rows: &RecordBatch,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let fault = |fault| Failure::failed(BenchError::Fault(fault));
        let start = || instance(transform, plugin);
        let mut costs = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let before = thread_time();
            let instance = start().map_err(fault)?;
            costs.push(nanoseconds(thread_time().saturating_sub(before)));
            drop(instance);
        }
        let instance = Samples { rows: 0, costs };

        let mut samples = Vec::new();
        for size in SIZES.into_iter().filter(|size| *size < rows.num_rows()).chain([rows.num_rows()]) {
            progress.at(&format!("calls of {size} rows"));
            let mut instance = start().map_err(fault)?;
            samples.push(sample(&mut instance, &rows.slice(0, size), transform).map_err(fault)?);
        }
        let answer =
            start().and_then(|mut instance| instance.process(rows, &mut transform.empty_state())).map_err(fault)?;
        Ok(Self {
            fit: fit(&samples, &mut Random::new(1)),
            samples,
            instance,
            rows: rows.num_rows(),
            bytes_in: bytes_in(plugin, rows),
            bytes_out: bytes_out(&answer),
        })
    }

    fn show(&self, plugin: &Plugin) {
        let rows = self.rows as f64;
        let crosses = &plugin.description().crosses;
        let crossing = crosses.iter().filter(|crosses| **crosses).count();
        println!(
            "\nborder        {:.1} bytes a row into the plugin ({crossing} of {} columns), {:.1} out of it",
            self.bytes_in as f64 / rows,
            crosses.len(),
            self.bytes_out as f64 / rows,
        );
        println!("instance      {:.1} µs, once an epoch", self.instance.median() / 1e3);
        let Fit { line, fixed_range, per_row_range, worst } = &self.fit;
        println!(
            "call          {:.2} µs ({:.2} to {:.2}) + {:.2} ns a row ({:.2} to {:.2})",
            line.fixed / 1e3,
            fixed_range.0 / 1e3,
            fixed_range.1 / 1e3,
            line.per_row,
            per_row_range.0,
            per_row_range.1,
        );
        let sizes: Vec<_> = self.samples.iter().map(|it| it.rows.to_string()).collect();
        let spread = self.samples.iter().map(Samples::spread).fold(0.0, f64::max);
        println!(
            "              from calls of {} rows, {SAMPLES} samples each: half of the samples lie within {:.1}% of \
             their median,\n              and the line misses no median by more than {:.1}%",
            sizes.join(", "),
            spread * 100.0,
            worst * 100.0,
        );
        if *worst > BAD_FIT {
            println!(
                "              That is much: either another process disturbed the measurement, or the cost of a call \
                 is no line.\n              Trust the table above rather than the line."
            );
        }
    }
}

fn instance(transform: &Transform, plugin: &Plugin) -> Result<Instance, Fault> {
    let settings = transform.settings();
    let parameters = settings.parameters(plugin.description()).expect("they were checked when the transform was built");
    let limits = Limits {
        memory_bytes: settings.limits.memory_bytes,
        call_ms: settings.limits.call_ms,
        output_bytes: settings.limits.output_bytes,
    };
    plugin.instance(&Context { parameters: parameters.into(), now_ms: CLOCK_MS, watermark_ms: None }, limits)
}

/// The cost of one call, again and again.
fn sample(instance: &mut Instance, rows: &RecordBatch, transform: &Transform) -> Result<Samples, Fault> {
    let mut state = transform.empty_state();
    // What a call wrote is taken back, so that all of them find the same state.
    let mut call = || {
        state.begin_call();
        let answer = instance.process(rows, &mut state);
        state.undo_call();
        answer.map(drop)
    };
    let before = thread_time();
    for _ in 0..WARM_UP {
        call()?;
    }
    let each = (thread_time().saturating_sub(before) / WARM_UP).max(Duration::from_nanos(100));
    let calls = (SAMPLE_TIME.as_nanos() / each.as_nanos()).clamp(1, 1_000);
    let mut costs = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let before = thread_time();
        for _ in 0..calls {
            call()?;
        }
        costs.push(nanoseconds(thread_time().saturating_sub(before)) / calls as f64);
    }
    Ok(Samples { rows: rows.num_rows(), costs })
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn bytes_in(plugin: &Plugin, rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter().zip(&plugin.description().crosses);
    columns.filter(|(_, crosses)| **crosses).map(|(column, _)| bytes(column)).sum()
}

fn bytes_out(answer: &Answer) -> usize {
    let of = |emitted: &Emitted| {
        let rows = match &emitted.rows {
            Rows::All | Rows::None(_) => 0,
            Rows::Selected(bits) => bits.len().div_ceil(8),
            Rows::Taken(indices) => indices.len() * size_of::<u32>(),
        };
        rows + emitted.made.columns().iter().map(bytes).sum::<usize>()
    };
    answer.emitted.iter().map(of).sum()
}

/// The bytes of a column's buffers, as far as its rows go.
fn bytes(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or(0)
}

/// A whole number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|it| std::str::from_utf8(it).ok()).collect();
    groups.join(",")
}

/// One line at a terminal that says what is measured.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    fn at(&self, what: &str) {
        if self.terminal {
            eprint!("\r\x1b[2Kmeasuring {what} …");
            let _ = io::stderr().flush(); // a terminal that is gone is no reason to stop
        }
    }

    fn done(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(thousands(7.0), "7");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(123_456.4), "123,456");
    }
}
