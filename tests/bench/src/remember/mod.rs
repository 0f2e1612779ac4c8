//! What a plugin that remembers costs: CPU time per row of the plugin's code in the sandbox, the border and the host's state
//! together, at ten million live keys, beside the same logic in plain Rust over the standard library's map.
//!
//! Epochs of twelve batches, as the engine runs them: what expires, the batches, the sealing of the changes.

mod native;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow_schema::SchemaRef;
use clap::Args;
use engine::cpu::thread_time;
use engine::plugin::{Answer, Context, Host, HostSettings, Limits, Plugin};
use engine::state::{DUE_ROWS, Disk, State};
use engine::transform::SandboxLimits;
use tempfile::TempDir;

use crate::Failure;
use crate::figures::Figures;

/// Rows of a batch, and batches of an epoch, as the engine makes them.
const ROWS: u64 = 8_192;
const BATCHES: u64 = 12;
/// The first event, ms since 1970-01-01 UTC.
const BEGIN_MS: i64 = 1_735_689_600_000;
/// Later than all events.
const NOW_MS: i64 = BEGIN_MS + 4_000_000_000;

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder with `bench_dedup_number.wasm`, `bench_dedup_text.wasm` and `bench_clicks.wasm`
    #[arg(long)]
    plugins: PathBuf,
    /// Live keys of the deduplication, and clicks of the sessions
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Memory for what the plugin remembers, MiB; the rest goes to the disk. Nothing said: all stays in memory
    #[arg(long)]
    state_mib: Option<usize>,
    /// Epochs measured at that many keys
    #[arg(long, default_value_t = 31)]
    rounds: u64,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let host = Host::new(HostSettings::default())?;
    let mut figures = Figures::default();
    for (name, file, batch) in [
        ("dedup_u64", "bench_dedup_number.wasm", numbers as fn(&SchemaRef, u64) -> _),
        ("dedup_text", "bench_dedup_text.wasm", texts),
    ] {
        let mut plugin = Remembering::load(&host, &options.plugins.join(file), options.state_mib)?;
        dedup(options, name, &mut plugin, batch, &mut figures)?;
    }
    let clicks = options.plugins.join("bench_clicks.wasm");
    sessions(options, &mut Remembering::load(&host, &clicks, options.state_mib)?, &mut figures)?;
    figures.print();
    for name in ["dedup_u64_ns_per_row", "dedup_text_ns_per_row", "sessions_ns_per_event"] {
        if let (Some(own), Some(plain)) = (figures.median(name), figures.median(&format!("native_{name}"))) {
            println!("{name}: {:.2} times the plain map's", own / plain);
        }
    }
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// A plugin with its state.
struct Remembering {
    plugin: Plugin,
    state: State,
    limits: Limits,
    watermark_ms: Option<i64>,
    delay_ms: i64,
    /// Of what memory has no room for.
    _folder: Option<TempDir>,
}

impl Remembering {
    fn load(host: &Host, file: &Path, state_mib: Option<usize>) -> Result<Self, Failure> {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let plugin = host.load(bytes)?;
        let SandboxLimits { memory_bytes, call_ms, output_bytes, .. } = SandboxLimits::default();
        let described = plugin.description();
        let tables = described.state.as_ref().ok_or("the plugin keeps nothing")?.tables.clone();
        let delay_ms = i64::try_from(described.event_time.as_ref().ok_or("the plugin has no event time")?.delay_ms)?;
        let limits = Limits { memory_bytes, call_ms, output_bytes };
        let mut state = State::new(tables, state_mib.map_or(usize::MAX, |mib| mib << 20));
        let folder = state_mib.map(|_| TempDir::new()).transpose()?;
        if let Some(folder) = &folder {
            state.keep_on(Disk::open(folder.path(), 1, u64::MAX)?);
        }
        Ok(Self { state, plugin, limits, watermark_ms: None, delay_ms, _folder: folder })
    }

    fn schema(&self) -> SchemaRef {
        self.plugin.description().input.clone()
    }

    /// An epoch; gives back the rows of its first table and what it cost, in ns of CPU time.
    fn epoch(&mut self, batches: &[RecordBatch]) -> Result<(u64, f64), Failure> {
        let (mut rows, mut greatest) = (0, None);
        let start = cpu_ns();
        let context = Context { parameters: Arc::from([]), now_ms: NOW_MS, watermark_ms: self.watermark_ms };
        let mut instance = self.plugin.instance(&context, self.limits)?;
        for due in self.state.begin(self.watermark_ms, DUE_ROWS)? {
            self.state.begin_call();
            drop(instance.expire(&due, &mut self.state)?);
        }
        for batch in batches {
            self.state.begin_call();
            let answer = instance.process(batch, &mut self.state)?;
            rows += first_table(&answer, batch.num_rows());
            greatest = greatest.max(answer.event_time_ms);
        }
        drop(instance);
        for file in self.state.seal()?.replaced {
            std::fs::remove_file(file)?;
        }
        self.watermark_ms = self.watermark_ms.max(greatest.map(|greatest| greatest - self.delay_ms));
        Ok((rows, cpu_ns() - start))
    }
}

fn first_table(answer: &Answer, rows: usize) -> u64 {
    let first = answer.emitted.iter().filter(|emitted| emitted.output == 0);
    first.map(|emitted| emitted.rows.count(rows) as u64).sum()
}

/// Fills the state, then measures epochs of new keys of which one in twenty comes a second time.
fn dedup(
    options: &Options,
    name: &str,
    plugin: &mut Remembering,
    batch: fn(&SchemaRef, u64) -> Result<RecordBatch, Failure>,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let schema = plugin.schema();
    let mut plain = native::Dedup::default();
    let (mut epoch, mut live, mut measured) = (0, 0, 0);
    while measured < options.rounds {
        let batches: Vec<_> =
            (0..BATCHES).map(|number| batch(&schema, epoch * BATCHES + number)).collect::<Result<_, _>>()?;
        let (rows, cost) = plugin.epoch(&batches)?;
        let (expected, plain_cost) = plain.epoch(&batches)?;
        if rows != expected {
            return Err(format!("{name}: {rows} rows stay, right is {expected}").into());
        }
        live += rows;
        epoch += 1;
        if live >= options.keys {
            let all = as_f64(BATCHES * ROWS);
            figures.add(format!("{name}_ns_per_row"), "ns", cost / all);
            figures.add(format!("native_{name}_ns_per_row"), "ns", plain_cost / all);
            measured += 1;
        }
    }
    Ok(())
}

/// Clicks of a million users, some ten in each visit; measured over all of them, by epochs.
fn sessions(options: &Options, plugin: &mut Remembering, figures: &mut Figures) -> Result<(), Failure> {
    let schema = plugin.schema();
    let mut plain = native::Sessions::default();
    for epoch in 0..options.keys.div_ceil(BATCHES * ROWS) {
        let batches: Vec<_> =
            (0..BATCHES).map(|number| clicks(&schema, epoch * BATCHES + number)).collect::<Result<_, _>>()?;
        let (rows, cost) = plugin.epoch(&batches)?;
        if rows != BATCHES * ROWS {
            return Err(format!("{rows} clicks have a visit, right is {}", BATCHES * ROWS).into());
        }
        let all = as_f64(BATCHES * ROWS);
        figures.add("sessions_ns_per_event", "ns", cost / all);
        figures.add("native_sessions_ns_per_event", "ns", plain.epoch(&batches)? / all);
    }
    Ok(())
}

/// The number of a row's key: each new, but every twentieth is that of a row some thousands before.
fn key(batch: u64, row: u64) -> u64 {
    let number = batch * ROWS + row;
    let number = if number % 20 == 19 { number.saturating_sub(10_001) } else { number };
    scattered(number)
}

/// The numbers in no order, each once.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn numbers(schema: &SchemaRef, batch: u64) -> Result<RecordBatch, Failure> {
    let keys = Arc::new((0..ROWS).map(|row| key(batch, row)).collect::<UInt64Array>());
    Ok(RecordBatch::try_new(schema.clone(), vec![keys, times(schema, batch, 1)?])?)
}

fn texts(schema: &SchemaRef, batch: u64) -> Result<RecordBatch, Failure> {
    let text = |row| Some(format!("{:022x}", u128::from(key(batch, row)) * 7_919));
    let keys = Arc::new((0..ROWS).map(text).collect::<StringArray>());
    Ok(RecordBatch::try_new(schema.clone(), vec![keys, times(schema, batch, 1)?])?)
}

/// Of two thousand users that are there at a time one after the other is new: each clicks about ten times in half an hour.
fn clicks(schema: &SchemaRef, batch: u64) -> Result<RecordBatch, Failure> {
    let user = |row| {
        let number = batch * ROWS + row;
        (number / 10 + (scattered(number) >> 40) % 2_000) % 1_000_000
    };
    let users = Arc::new((0..ROWS).map(user).collect::<UInt64Array>());
    let cents = Arc::new((0..ROWS).map(|row| i64::try_from(row % 100).unwrap_or(0)).collect::<Int64Array>());
    Ok(RecordBatch::try_new(schema.clone(), vec![users, times(schema, batch, 100)?, cents])?)
}

/// Times of events that are so many ms apart, as the input wants them.
fn times(schema: &SchemaRef, batch: u64, apart_ms: u64) -> Result<ArrayRef, Failure> {
    let time = |row| i64::try_from((batch * ROWS + row) * apart_ms).map(|ms| BEGIN_MS + ms);
    let times = (0..ROWS).map(time).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(TimestampMillisecondArray::from(times).with_data_type(schema.field(1).data_type().clone())))
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    thread_time().as_secs_f64() * 1e9
}

/// Exact up to 2^53.
fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
    let float = count as f64;
    float
}
