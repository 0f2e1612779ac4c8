//! What decoding costs: CPU nanoseconds per message of Debezium JSON, for an orders table of 15 columns of which 12 are
//! wanted, beside what `serde_json::Value` takes for the parsing alone.
//!
//! ```text
//! cargo run --release -p debezium-decode --example decode_speed [messages] [rounds]
//! ```

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use debezium_decode::input::{Format, Input};
use debezium_decode::{Decoder, OwnedMessage, TopicPartition};

/// Messages of one call: what the engine gives to a plugin at once.
const BATCH: usize = 8192;

/// Its name, and how its message of each number is made.
type Case = (&'static str, Format, fn(usize) -> String);

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let messages = arguments.next().unwrap_or(100_000);
    let rounds = arguments.next().unwrap_or(5);
    println!("{:<18} {:>8} {:>10} {:>8} {:>12} {:>8}", "", "bytes", "ns/message", "GB/s", "serde_json", "times");
    let cases: [Case; 4] = [
        ("envelope, create", Format::Envelope, |id| envelope(id, false)),
        ("envelope, update", Format::Envelope, |id| envelope(id, true)),
        ("with schema", Format::Envelope, |id| {
            format!("{{\"schema\":{},\"payload\":{}}}", schema(), envelope(id, true))
        }),
        ("flat", Format::Flat, |id| format!("{{{},\"__op\":\"c\",\"__deleted\":\"false\"}}", columns(id))),
    ];
    for (name, format, message) in cases {
        let values: Vec<String> = (0..messages).map(message).collect();
        measure(name, format, &values, rounds);
    }
}

fn measure(name: &str, format: Format, values: &[String], rounds: usize) {
    let bytes: usize = values.iter().map(String::len).sum();
    let batches: Vec<Vec<OwnedMessage>> = values
        .chunks(BATCH)
        .map(|values| {
            let message = |(offset, value): (i64, &String)| {
                let key = format!("{{\"id\":{offset}}}");
                OwnedMessage::new(offset, Some(key.into()), Some(value.clone().into()))
            };
            (0..).zip(values).map(message).collect()
        })
        .collect();
    let partition = TopicPartition { topic: "orders".into(), partition: 0 };
    let mut decoder = Decoder::new(&input(format), &partition, 1).expect("the input's types can be decoded");
    let ours = fastest(rounds, || {
        for batch in &batches {
            let decoded = black_box(decoder.decode(batch));
            assert_eq!(decoded.rows.num_rows(), batch.len(), "every message is a row: {:?}", decoded.rejects.first());
        }
    });
    let serde = fastest(rounds.min(2), || {
        for value in values {
            let parsed: serde_json::Value = serde_json::from_str(value).expect("the messages are JSON");
            black_box(parsed);
        }
    });
    let each = |ns: f64| ns / values.len() as f64;
    println!(
        "{name:<18} {:>8} {:>10.0} {:>8.2} {:>12.0} {:>8.1}",
        bytes / values.len(),
        each(ours),
        bytes as f64 / ours,
        each(serde),
        serde / ours
    );
}

fn fastest(rounds: usize, mut run: impl FnMut()) -> f64 {
    let round = |_| {
        let start = cpu_ns();
        run();
        cpu_ns() - start
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread, where Linux tells it; else the clock's.
fn cpu_ns() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_cpu = on_cpu.and_then(|stat| stat.split(' ').next()?.parse().ok());
    on_cpu.unwrap_or_else(|| START.get_or_init(Instant::now).elapsed().as_nanos() as f64)
}

fn input(format: Format) -> Input {
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
    Input::by_names(&Schema::new(columns), format)
}

fn columns(id: usize) -> String {
    let time = 1_795_177_783_978_108 + id * 1_000_003;
    format!(
        "\"id\":{id},\"order_number\":\"ORD-{}\",\"order_date\":{},\"order_time\":{time},\"purchaser\":{},\
         \"quantity\":{},\"product_id\":{},\"unit_price\":\"BOI=\",\"total_amount\":\"Jvw=\",\"status\":\"{}\",\
         \"channel\":\"web\",\"note\":null,\"weight\":{}.5,\"created_at\":{time},\"updated_at\":{}",
        1000 + id,
        20_000 + id % 900,
        id % 5000,
        1 + id % 7,
        id % 311,
        ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED"][id % 4],
        id % 40,
        time + 17
    )
}

fn envelope(id: usize, update: bool) -> String {
    let row = columns(id);
    let before = if update { format!("{{{row}}}") } else { "null".to_owned() };
    let ms = 1_795_177_787_435 + id;
    let lsn = 36_067_144 + id * 56;
    format!(
        "{{\"before\":{before},\"after\":{{{row}}},\"source\":{{\"version\":\"3.7.0.Final\",\
         \"connector\":\"postgresql\",\"name\":\"postgres-plain\",\"ts_ms\":{ms},\"snapshot\":\"false\",\
         \"db\":\"inventory\",\"sequence\":\"[\\\"{lsn}\\\",\\\"{lsn}\\\"]\",\"ts_us\":{ms}814,\"ts_ns\":{ms}814000,\
         \"schema\":\"inventory\",\"table\":\"orders\",\"txId\":{},\"lsn\":{lsn},\"xmin\":null,\"origin\":null,\
         \"origin_lsn\":null}},\"transaction\":null,\"op\":\"{}\",\"ts_ms\":{ms},\"ts_us\":{ms}190,\
         \"ts_ns\":{ms}190678}}",
        759 + id,
        if update { "u" } else { "c" },
    )
}

fn schema() -> String {
    let mut row = String::new();
    let types = [
        ("id", "int64", ""),
        ("order_number", "string", ""),
        ("order_date", "int32", "io.debezium.time.Date"),
        ("order_time", "int64", "io.debezium.time.MicroTimestamp"),
        ("purchaser", "int32", ""),
        ("quantity", "int32", ""),
        ("product_id", "int32", ""),
        ("unit_price", "bytes", "org.apache.kafka.connect.data.Decimal"),
        ("total_amount", "bytes", "org.apache.kafka.connect.data.Decimal"),
        ("status", "string", ""),
        ("channel", "string", ""),
        ("note", "string", ""),
        ("weight", "double", ""),
        ("created_at", "int64", "io.debezium.time.MicroTimestamp"),
        ("updated_at", "int64", "io.debezium.time.MicroTimestamp"),
    ];
    for (field, kind, name) in types {
        let comma = if row.is_empty() { "" } else { "," };
        write!(row, "{comma}{{\"type\":\"{kind}\",\"optional\":true,").expect("a string takes text");
        if !name.is_empty() {
            write!(row, "\"name\":\"{name}\",\"version\":1,").expect("a string takes text");
        }
        if kind == "bytes" {
            row.push_str("\"parameters\":{\"scale\":\"2\",\"connect.decimal.precision\":\"10\"},");
        }
        write!(row, "\"field\":\"{field}\"}}").expect("a string takes text");
    }
    let row = format!("\"type\":\"struct\",\"fields\":[{row}],\"optional\":true,\"name\":\"orders.Value\"");
    format!(
        "{{\"type\":\"struct\",\"fields\":[{{{row},\"field\":\"before\"}},{{{row},\"field\":\"after\"}},\
         {{\"type\":\"struct\",\"fields\":[{{\"type\":\"string\",\"optional\":false,\"field\":\"version\"}},\
         {{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"}}],\"optional\":false,\
         \"name\":\"io.debezium.connector.postgresql.Source\",\"field\":\"source\"}},\
         {{\"type\":\"string\",\"optional\":false,\"field\":\"op\"}}],\"optional\":false,\
         \"name\":\"orders.Envelope\",\"version\":2}}"
    )
}
