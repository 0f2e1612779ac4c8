//! What decoding costs in each format: CPU nanoseconds per message of one recorded topic of orders (15 to 17 columns, of
//! which 12 are wanted), as Avro, as JSON with embedded schema, and as bare JSON. The few messages are repeated, so caches
//! and branch predictors are warmer than with a topic of millions: compare the formats, not the figures of other programs.
//!
//! ```text
//! cargo run --release -p debezium-decode --example avro_speed [messages] [rounds]
//! ```

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use debezium_decode::avro::{self, Registered};
use debezium_decode::input::{Format, Input};
use debezium_decode::{Decoder, OwnedMessage, TopicPartition};
use serde_json::Value;

/// Messages of one call: what the engine gives to a plugin at once.
const BATCH: usize = 8192;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let messages = arguments.next().unwrap_or(200_000);
    let rounds = arguments.next().unwrap_or(7);
    let schemas: BTreeMap<String, Value> = serde_json::from_str(&recorded("schemas.json")).expect("JSON");
    let registry = schemas.iter().map(|(id, answer)| {
        let schema = avro::Schema::parse(answer["schema"].as_str().expect("a schema"), &[]).expect("Avro");
        (id.parse().expect("an id"), Registered::Schema(Arc::new(schema)))
    });
    let registry = Arc::new(registry.collect());

    let avro = topic("orders.jsonl");
    let with_schema = topic("orders-as-json.jsonl");
    let bare = with_schema.iter().map(|value| {
        let text = std::str::from_utf8(value).expect("JSON");
        let start = text.rfind(",\"payload\":").expect("a payload") + ",\"payload\":".len();
        text.as_bytes()[start..text.len() - 1].to_vec()
    });
    let bare = bare.collect();
    println!("{:<18} {:>8} {:>10} {:>8}", "", "bytes", "ns/message", "GB/s");
    for (name, values) in [("avro", avro), ("json, bare", bare), ("json, with schema", with_schema)] {
        measure(name, &values, &registry, messages, rounds);
    }
}

fn recorded(file: &str) -> String {
    let path = format!("{}/../../schemas/debezium/avro/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a recorded topic that have a row after the change.
fn topic(file: &str) -> Vec<Vec<u8>> {
    let text = recorded(file);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let rows = lines.filter(|line| [0, 1, 2, 3, 6, 7].contains(&line["offset"].as_i64().expect("an offset")));
    let value = |line: Value| match line["value_b64"].as_str() {
        Some(base64) => STANDARD.decode(base64).expect("base64"),
        None => line["value"].as_str().expect("a value").as_bytes().to_vec(),
    };
    rows.map(value).collect()
}

fn measure(name: &str, values: &[Vec<u8>], registry: &Arc<avro::Registry>, messages: usize, rounds: usize) {
    let all = (0..).zip(values.iter().cycle().take(messages));
    let all: Vec<OwnedMessage> =
        all.map(|(offset, value)| OwnedMessage::new(offset, None, Some(value.clone()))).collect();
    let bytes: usize = all.iter().filter_map(|message| message.value.as_ref()).map(Vec::len).sum();
    let partition = TopicPartition { topic: "orders".into(), partition: 0 };
    let mut decoder = Decoder::new(&input(), &partition, 1).expect("the input's types can be decoded");
    decoder.set_registry(registry);
    let mut fastest = f64::INFINITY;
    for _ in 0..rounds {
        let start = cpu_ns();
        for batch in all.chunks(BATCH) {
            let decoded = black_box(decoder.decode(batch));
            assert_eq!(decoded.rows.num_rows(), batch.len(), "every message is a row: {:?}", decoded.rejects.first());
        }
        fastest = fastest.min(cpu_ns() - start);
    }
    println!("{name:<18} {:>8} {:>10.0} {:>8.2}", bytes / messages, fastest / messages as f64, bytes as f64 / fastest);
}

/// CPU time of this thread, where Linux tells it; else the clock's.
fn cpu_ns() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_cpu = on_cpu.and_then(|stat| stat.split(' ').next()?.parse().ok());
    on_cpu.unwrap_or_else(|| START.get_or_init(Instant::now).elapsed().as_nanos() as f64)
}

fn input() -> Input {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("order_number", DataType::Utf8, false),
        Field::new("order_date", DataType::Date32, false),
        Field::new("order_time", time.clone(), true),
        Field::new("purchaser", DataType::Int32, false),
        Field::new("quantity", DataType::Int32, false),
        Field::new("product_id", DataType::Int32, false),
        Field::new("unit_price", DataType::Decimal128(10, 2), false),
        Field::new("total_amount", DataType::Decimal128(12, 2), true),
        Field::new("status", DataType::Utf8, true),
        Field::new("created_at", time.clone(), true),
        Field::new("updated_at", time, true),
    ];
    Input::by_names(&Schema::new(columns), Format::Envelope)
}
