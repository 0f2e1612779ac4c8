//! What decoding costs: Debezium's messages to Arrow columns, against other readers of JSON.
//!
//! Changes of orders in envelopes of about 1 KB, row before and row after of twelve columns, of which ten are wanted; the same
//! with embedded schema, flattened, and in Avro. Measured is CPU time of one thread; GB are bytes of values. In each round
//! every contestant makes one pass over the same messages; a figure is the median of the rounds, a ratio the median of the
//! rounds' ratios. The others, in a process of their own, do less: see `tests/bench/readers`.

mod avro;
mod data;
mod readers;

use std::hint::black_box;
use std::path::PathBuf;

use clap::Args;
use engine::cpu::thread_time;
use engine::decode::{Decoder, TopicPartition};

use crate::Failure;
use crate::figures::Figures;
use data::Topic;
use readers::Readers;

/// Messages of a call: what the engine decodes at once.
const BATCH: usize = 8192;

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// The program that runs the other readers; without it, they are left out
    #[arg(long)]
    readers: Option<PathBuf>,
    /// Messages of each shape
    #[arg(long, default_value_t = 2 * BATCH)]
    messages: usize,
    /// Rounds
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut topics = data::topics(options.messages)?;
    let mut readers = options.readers.as_deref().map(|program| Readers::start(program, &topics)).transpose()?;
    let mut figures = Figures::default();
    for round in 0..=options.rounds {
        // The first round warms caches up.
        let mut warm_up = Figures::default();
        let figures = if round == 0 { &mut warm_up } else { &mut figures };
        for topic in &mut topics {
            one_round(topic, readers.as_mut(), figures)?;
        }
    }
    for topic in &topics {
        println!("{:<8} {} messages of {} bytes", topic.name, topic.messages.len(), topic.bytes / topic.messages.len());
    }
    figures.print();
    print_ratios(&topics, &figures);
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// One pass over a topic by the decoder, and by all that can read it.
fn one_round(topic: &mut Topic, readers: Option<&mut Readers>, figures: &mut Figures) -> Result<(), Failure> {
    let (name, bytes) = (topic.name, as_f64(topic.bytes));
    let own = pass(topic)?;
    figures.add(format!("decode_{name}_gb_s"), "GB/s", bytes / own);
    figures.add(format!("decode_{name}_ns_per_message"), "ns", own / as_f64(topic.messages.len()));
    let Some(readers) = readers.filter(|_| topic.is_json) else { return Ok(()) };
    for reader in readers::ALL {
        let other = readers.pass(reader, topic)?;
        figures.add(format!("{reader}_{name}_gb_s"), "GB/s", bytes / other);
        figures.add(format!("decode_{name}_times_{reader}"), "", other / own);
    }
    Ok(())
}

/// CPU nanoseconds of one pass, with a decoder of its own as each epoch has.
fn pass(topic: &Topic) -> Result<f64, Failure> {
    let partition = TopicPartition { topic: "orders".into(), partition: 0 };
    let start = cpu_ns();
    let mut decoder = Decoder::new(&topic.input, &partition, 1)?;
    if let Some(registry) = &topic.registry {
        decoder.set_registry(registry);
    }
    let mut rows = 0;
    for batch in topic.messages.chunks(BATCH) {
        rows += black_box(decoder.decode(batch)).rows.num_rows();
    }
    let ns = cpu_ns() - start;
    if rows != topic.messages.len() {
        return Err(format!("{}: {rows} rows of {} messages", topic.name, topic.messages.len()).into());
    }
    Ok(ns)
}

fn print_ratios(topics: &[Topic], figures: &Figures) {
    println!();
    for topic in topics.iter().filter(|topic| topic.is_json) {
        let times = |reader: &str| figures.median(&format!("decode_{}_times_{reader}", topic.name));
        let times: Vec<_> =
            readers::ALL.iter().filter_map(|reader| Some(format!("{:.1} times {reader}", times(reader)?))).collect();
        if !times.is_empty() {
            println!("{:<8} as fast as {}", topic.name, times.join(", "));
        }
    }
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
