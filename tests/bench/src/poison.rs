//! What rows cost on which a plugin traps: CPU time of an epoch of 100,000 messages of which it traps on three, beside the same
//! epoch without them. All that is done on the lane's own thread is in it (decoding, plugin, blocks, digests), but neither
//! fetching nor inserting, which cost the same in both, so that the ratio of a whole run is smaller.

use std::path::PathBuf;

use clap::Args;
use engine::batch::{Message, RawBatch};
use engine::cpu::thread_time;
use engine::input::Decimals;
use engine::offsets::{LaneId, OffsetRange, TopicPartition};
use engine::plugin::{Host, HostSettings};
use engine::registry::Schemas;
use engine::state::State;
use engine::transform::{Epoch, Kind, Transform, TransformSettings, Transformed};

use crate::Failure;
use crate::figures::Figures;

/// Messages of an epoch, and the offsets of those on which the plugin traps: in three of its calls.
const MESSAGES: i64 = 100_000;
const POISON: [i64; 3] = [17_000, 50_001, 99_999];

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder with `bench_poison.wasm`
    #[arg(long)]
    plugins: PathBuf,
    /// Epochs of each kind
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let host = Host::new(HostSettings::default())?;
    let file = options.plugins.join("bench_poison.wasm");
    let wasm = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut settings = TransformSettings::new("default", "poison", Kind::Plugin, "default");
    settings.decimals = Decimals::String;
    let transform = Transform::build(&host, settings, Some(wasm.into()))?;
    let (clean, poisoned) = (batch(&[]), batch(&POISON));
    let mut figures = Figures::default();
    for round in 0..=options.rounds {
        let [(_, clean), (made, poisoned)] = [epoch(&transform, &clean)?, epoch(&transform, &poisoned)?];
        let offsets: Vec<i64> = made.rejects.iter().map(|reject| reject.offset).collect();
        if offsets != POISON || made.tally.rows_out != usize::try_from(MESSAGES)? - POISON.len() {
            return Err(format!("{offsets:?} were set aside, and {} rows made", made.tally.rows_out).into());
        }
        if round > 0 {
            figures.add("poison_clean_us_per_event", "µs", clean / MESSAGES as f64);
            figures.add("poison_us_per_row", "µs", (poisoned - clean) / POISON.len() as f64);
            figures.add("poison_cost_ratio", "times", poisoned / clean);
        }
    }
    figures.print();
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// An epoch and its CPU time in µs.
fn epoch(transform: &Transform, raw: &RawBatch) -> Result<(Transformed, f64), Failure> {
    let name = |text: &str| text.to_owned();
    let lane = LaneId {
        tenant: name("default"),
        plugin: name("poison"),
        topic: name("orders"),
        topic_id: String::new(),
        partition: 0,
    };
    let epoch = Epoch { generation: 1, number: 1, clock_ms: 0, watermark_ms: None };
    let began = thread_time();
    let made = transform.run(&lane, raw, &Schemas::default(), epoch, &mut State::default())?;
    let took = thread_time() - began;
    Ok((made, took.as_secs_f64() * 1e6))
}

/// Orders, of which those of these offsets have a note on which the plugin traps.
fn batch(poison: &[i64]) -> RawBatch {
    let message = |offset: i64| {
        let note = if poison.contains(&offset) { "poison" } else { "leave it at the door, please" };
        let value = format!(
            "{{\"before\":null,\"after\":{{\"id\":{offset},\"customer_id\":{},\"order_number\":\"SO-2026-{offset:08}\",\
             \"email\":\"Customer.{offset}@Example.org\",\"status\":\"confirmed\",\"note\":\"{note}\",\"quantity\":{},\
             \"price\":\"{}.50\",\"created_at\":\"2026-01-01T00:00:00.123456Z\",\"country\":\"DE\"}},\
             \"source\":{{\"connector\":\"postgresql\",\"ts_ms\":1767225600000,\"db\":\"shop\",\"schema\":\"public\",\
             \"table\":\"orders\",\"lsn\":{offset}}},\"op\":\"c\",\"ts_ms\":1767225600123}}",
            offset % 9_973,
            1 + offset % 9,
            1 + offset % 500,
        );
        Message::owned(offset, Some(1_767_225_600_000), None, Some(value.into_bytes()), Vec::new())
    };
    let messages: Vec<Message> = (0..MESSAGES).map(message).collect();
    let bytes = messages.iter().map(Message::bytes).sum();
    let partition = TopicPartition { topic: "orders".into(), partition: 0 };
    RawBatch { partition, range: OffsetRange { start: 0, end: MESSAGES }, messages, bytes }
}
