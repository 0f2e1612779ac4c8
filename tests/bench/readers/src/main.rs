//! Other readers of JSON over the messages of the decoder's benchmark, in a process of their own.
//!
//! Reads questions, `READER SHAPE`, from standard input and answers each with a line: the CPU nanoseconds of one pass over
//! all messages of that shape, and how many it read. What they do is less than what the decoder does:
//!
//! | reader | makes of a message |
//! |---|---|
//! | `serde_json` | a `Value` |
//! | `simd_json` | a tape, from a copy that it may change; buffers are used again |
//! | `arrow_json` | columns of the same ten fields in Arrow batches; decimals stay base64, dates and times integers |

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_json::reader::Decoder;
use arrow_schema::{DataType, Field, Fields, Schema};

/// Rows of a batch, as the engine makes them.
const BATCH: usize = 8192;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("the folder with the messages is missing")?;
    let read = |shape: &str| std::fs::read_to_string(format!("{folder}/{shape}.jsonl"));
    let shapes = [("plain", read("plain")?), ("schema", read("schema")?), ("flat", read("flat")?)];
    for question in std::io::stdin().lines() {
        let question = question?;
        let (reader, shape) = question.split_once(' ').ok_or("a question is READER SHAPE")?;
        let (_, text) = shapes.iter().find(|(name, _)| *name == shape).ok_or("no such shape")?;
        let messages: Vec<&str> = text.lines().collect();
        let start = cpu_ns();
        let read = match reader {
            "serde_json" => serde_json_values(&messages)?,
            "simd_json" => simd_json_tapes(&messages)?,
            "arrow_json" => arrow_json_batches(&messages, shape)?,
            other => return Err(format!("no reader {other}").into()),
        };
        println!("{} {read}", cpu_ns() - start);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn serde_json_values(messages: &[&str]) -> Result<usize, Failure> {
    for message in messages {
        black_box(serde_json::from_str::<serde_json::Value>(message)?);
    }
    Ok(messages.len())
}

fn simd_json_tapes(messages: &[&str]) -> Result<usize, Failure> {
    let mut buffers = simd_json::Buffers::default();
    let mut copy = Vec::new();
    for message in messages {
        copy.clear();
        copy.extend_from_slice(message.as_bytes());
        black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers)?);
    }
    Ok(messages.len())
}

fn arrow_json_batches(messages: &[&str], shape: &str) -> Result<usize, Failure> {
    let mut decoder = ReaderBuilder::new(schema(shape)).with_batch_size(BATCH).build_decoder()?;
    let mut rows = 0;
    for batch in messages.chunks(BATCH) {
        for message in batch {
            let mut bytes = message.as_bytes();
            while !bytes.is_empty() {
                bytes = &bytes[decoder.decode(bytes)?..];
            }
        }
        rows += flush(&mut decoder)?;
    }
    Ok(rows)
}

fn flush(decoder: &mut Decoder) -> Result<usize, Failure> {
    Ok(black_box(decoder.flush()?).map_or(0, |batch| batch.num_rows()))
}

fn schema(shape: &str) -> Arc<Schema> {
    let columns = [
        ("id", DataType::Int32),
        ("order_number", DataType::Utf8),
        ("order_date", DataType::Int32),
        ("order_time", DataType::Int64),
        ("quantity", DataType::Int32),
        ("unit_price", DataType::Utf8),
        ("total_amount", DataType::Utf8),
        ("status", DataType::Utf8),
        ("created_at", DataType::Int64),
        ("updated_at", DataType::Int64),
    ];
    let row: Fields = columns.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
    let within = |name: &str, fields: Fields| Fields::from(vec![Field::new(name, DataType::Struct(fields), true)]);
    Arc::new(Schema::new(match shape {
        "flat" => row,
        "schema" => within("payload", within("after", row)),
        _ => within("after", row),
    }))
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type that clock_gettime(2) writes.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
