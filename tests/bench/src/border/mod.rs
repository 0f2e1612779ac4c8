//! What the border to a plugin costs: a function in the sandbox against the same function of the same crate natively,
//! and against other ways to run functions in WebAssembly.
//!
//! Measured is CPU time of the calling thread. In each round every contestant runs once, one after the other, so that
//! all see the same machine; a figure is the median of the rounds, a ratio the median of the rounds' ratios. The
//! sandbox is that of production: epoch interruption, a pool, a fresh instance for each epoch of twelve batches, whose
//! start and end count. So does all that crossing needs: copy in, call, validation, copy out.
//!
//! The native run is the SDK's, over the same buffers; what it writes is taken where it lies. What all contestants make
//! is compared first.

mod data;
mod foreign;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use clap::Args;
use engine::cpu::thread_time;
use engine::plugin::{Answer, Context, Host, HostSettings, Limits, Plugin, Rows};
use engine::state::State;
use engine::transform::SandboxLimits;
use plugin_sdk::plugin::Epoch;
use plugin_sdk::testing::NativeBatch;
use plugin_sdk::{Plugin as _, RowsFrom};

use crate::Failure;
use crate::figures::Figures;
use data::{Orders, any_batch, column_bytes};
use foreign::Foreign;

/// Rows of a batch, as the engine makes them.
const ROWS: usize = 8192;
/// Batches of an epoch.
const CALLS: u32 = 12;
/// Batch sizes of the linear model.
const SIZES: [usize; 8] = [1, 4, 16, 64, 256, 1024, 4096, 8192];

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder with the benchmark's plugins: bench_orders.wasm, bench_echo.wasm, bench_wide.wasm
    #[arg(long)]
    plugins: PathBuf,
    /// The runner of arrow-udf and its guest; without them, they are left out
    #[arg(long, num_args = 2, value_names = ["HOST", "GUEST"])]
    arrow_udf: Vec<PathBuf>,
    /// Rounds
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let host = Host::new(HostSettings::default())?;
    let load = |name: &str| Wasm::load(&host, &options.plugins.join(format!("bench_{name}.wasm")));
    let (orders, echo, wide) = (load("orders")?, load("echo")?, load("wide")?);
    let native = Native::new(ROWS)?;
    let batch = native.orders.batch(&orders.plugin.description().input)?;
    let wide_batch = any_batch(&wide.plugin.description().input, ROWS)?;
    let rows = compare(&native, &orders, &batch)?;
    let mut foreign = match &options.arrow_udf[..] {
        [host, guest] => Some(Foreign::start(host, guest, &batch, CALLS)?),
        _ => None,
    };

    let mut figures = Figures::default();
    bytes(&orders, &batch, "border_orders", &mut figures)?;
    bytes(&wide, &wide_batch, "border_wide", &mut figures)?;
    for round in 0..=options.rounds {
        // The first round warms caches and pools up.
        let mut warm_up = Figures::default();
        let figures = if round == 0 { &mut warm_up } else { &mut figures };
        let per_row = |ns: f64| ns / as_f64(ROWS);
        let (native, wasm) = (per_row(native.run()?), per_row(orders.run(&batch)?));
        let echo = per_row(echo.run(&batch)?);
        figures.add("border_native_ns_per_row", "ns", native);
        figures.add("border_wasm_ns_per_row", "ns", wasm);
        figures.add("border_wasm_over_native", "", wasm / native);
        figures.add("border_echo_ns_per_row", "ns", echo);
        figures.add("border_wide_ns_per_row", "ns", per_row(wide.run(&wide_batch)?));
        if let Some(foreign) = &mut foreign {
            let [clean, same, json] = foreign.round(rows, ROWS)?.map(per_row);
            figures.add("arrow_udf_ns_per_row", "ns", clean);
            figures.add("arrow_udf_echo_ns_per_row", "ns", same);
            figures.add("json_per_record_ns_per_row", "ns", json);
            figures.add("border_wasm_over_arrow_udf", "", wasm / clean);
            figures.add("border_echo_over_arrow_udf", "", echo / same);
            figures.add("border_wasm_over_json", "", wasm / json);
        }
        let (fixed, each) = linear_model(&orders, &batch)?;
        figures.add("border_fixed_us_per_call", "us", fixed / 1e3);
        figures.add("border_model_ns_per_row", "ns", each);
    }
    figures.print();
    if let Some(ratio) = figures.median("border_wasm_over_native") {
        println!("\nin the sandbox the function takes {ratio:.2} times as long as natively");
    }
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// A plugin in the sandbox.
struct Wasm {
    plugin: Plugin,
    context: Context,
    limits: Limits,
}

impl Wasm {
    fn load(host: &Host, file: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let SandboxLimits { memory_bytes, call_ms, output_bytes, .. } = SandboxLimits::default();
        Ok(Self {
            plugin: host.load(bytes)?,
            context: Context { parameters: Arc::from([]), now_ms: 1_735_689_600_000, watermark_ms: None },
            limits: Limits { memory_bytes, call_ms, output_bytes },
        })
    }

    /// CPU nanoseconds of a batch, its share of the epoch's start and end included.
    fn run(&self, batch: &RecordBatch) -> Result<f64, Failure> {
        let start = cpu_ns();
        let mut instance = self.plugin.instance(&self.context, self.limits)?;
        for _ in 0..CALLS {
            black_box(instance.process(batch, &mut State::default())?);
        }
        drop(instance);
        Ok((cpu_ns() - start) / f64::from(CALLS))
    }

    fn once(&self, batch: &RecordBatch) -> Result<Answer, Failure> {
        Ok(self.plugin.instance(&self.context, self.limits)?.process(batch, &mut State::default())?)
    }
}

/// The same function natively.
struct Native {
    orders: &'static Orders,
    batch: NativeBatch<bench_orders::Order<'static>>,
    process: plugin_sdk::plugin::Instance,
}

impl Native {
    fn new(rows: usize) -> Result<Self, Failure> {
        // The rows borrow their texts, and both live as long as the benchmark.
        let orders: &'static Orders = Box::leak(Box::new(Orders::new(rows)));
        let process = bench_orders::Orders::start(&[], Epoch { now_ms: 1_735_689_600_000, watermark_ms: None })?;
        Ok(Self { orders, batch: NativeBatch::new(orders.rows()), process })
    }

    fn run(&self) -> Result<f64, Failure> {
        let start = cpu_ns();
        for _ in 0..CALLS {
            black_box(self.batch.process(&self.process, &mut Taken)?);
        }
        Ok((cpu_ns() - start) / f64::from(CALLS))
    }
}

/// A host that takes the buffers where they lie.
struct Taken;

impl plugin_sdk::Host for Taken {
    fn emit(&mut self, output: u32, from: RowsFrom<'_>, _: &[u8], buffers: &[&[u8]]) {
        black_box((output, from, buffers));
    }
}

/// A host that keeps all bytes.
#[derive(Default)]
struct Kept(Vec<Vec<u8>>);

impl plugin_sdk::Host for Kept {
    fn emit(&mut self, _: u32, _: RowsFrom<'_>, _: &[u8], buffers: &[&[u8]]) {
        self.0.extend(buffers.iter().map(|buffer| buffer.to_vec()));
    }
}

/// Both make the same of the batch, to the byte; how many rows that is.
fn compare(native: &Native, wasm: &Wasm, batch: &RecordBatch) -> Result<usize, Failure> {
    let mut kept = Kept::default();
    native.batch.process(&native.process, &mut kept)?;
    let answer = wasm.once(batch)?;
    let [emitted] = &answer.emitted[..] else { return Err("the plugin emits once".into()) };
    let rows = emitted.made.num_rows();
    let buffers = emitted.made.columns().iter().flat_map(|column| {
        let data = column.to_data();
        let validity = data.nulls().map_or(Vec::new(), |nulls| nulls.buffer().as_slice()[..rows.div_ceil(8)].to_vec());
        std::iter::once(validity)
            .chain(data.buffers().iter().map(|buffer| buffer.as_slice().to_vec()))
            .collect::<Vec<_>>()
    });
    if buffers.ne(kept.0) || !answer.rejected.is_empty() {
        return Err("the sandbox and the native run answer differently".into());
    }
    Ok(rows)
}

/// How many bytes cross, in and out, and what share of the batch's own bytes that is.
fn bytes(wasm: &Wasm, batch: &RecordBatch, name: &str, figures: &mut Figures) -> Result<(), Failure> {
    let per_row = |bytes: usize| as_f64(bytes) / as_f64(batch.num_rows());
    let all: usize = batch.columns().iter().map(|column| column_bytes(column)).sum();
    let crossing = batch.columns().iter().zip(&wasm.plugin.description().crosses).filter(|(_, crosses)| **crosses);
    let into: usize = crossing.map(|(column, _)| column_bytes(column)).sum();
    let out: usize = wasm
        .once(batch)?
        .emitted
        .iter()
        .map(|emitted| {
            let selection = match &emitted.rows {
                Rows::All | Rows::None(_) => 0,
                Rows::Selected(bits) => bits.len().div_ceil(8),
                Rows::Taken(indices) => indices.len() * 4,
            };
            selection + emitted.made.columns().iter().map(|column| column_bytes(column)).sum::<usize>()
        })
        .sum();
    figures.add(format!("{name}_batch_bytes_per_row"), "B", per_row(all));
    figures.add(format!("{name}_in_bytes_per_row"), "B", per_row(into));
    figures.add(format!("{name}_out_bytes_per_row"), "B", per_row(out));
    figures.add(format!("{name}_bytes_share"), "", as_f64(into + out) / as_f64(all));
    Ok(())
}

/// Fixed nanoseconds of a call and nanoseconds of a row: least squares over [`SIZES`], relative errors.
fn linear_model(wasm: &Wasm, batch: &RecordBatch) -> Result<(f64, f64), Failure> {
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for rows in SIZES {
        let (x, y) = (as_f64(rows), wasm.run(&batch.slice(0, rows))?);
        let weight = 1.0 / (y * y);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    let each = (w * wxy - wx * wy) / (w * wxx - wx * wx);
    Ok(((wy - each * wx) / w, each))
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    thread_time().as_secs_f64() * 1e9
}

/// Exact up to 2^53.
fn as_f64(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
    let float = count as f64;
    float
}
