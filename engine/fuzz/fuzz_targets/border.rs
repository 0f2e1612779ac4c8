//! The border: whatever lists a guest emits, for whatever schema, the answer is an error or columns that Arrow's full
//! validation accepts, of the described types and of as many rows as its selection says. Never a panic.
//!
//! The engine's own files are compiled into this target: nothing of the border is public for its sake.
#![no_main]

#[path = "../../src/plugin/frame/mod.rs"]
mod frame;
#[expect(dead_code, unreachable_pub, reason = "public in the engine, and used there")]
#[path = "../../src/plugin/rows.rs"]
mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use libfuzzer_sys::fuzz_target;

use rows::{Given, Rows};

/// More rows would only make inputs longer.
const MOST_ROWS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let schema = schema(&mut bytes);
    let batch_rows = bytes.below(MOST_ROWS);
    let (case, selection) = (bytes.below(4), bytes.buffer(batch_rows, 4));
    let indices: Vec<u32> =
        selection.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let given = match case {
        0 => Given::All,
        1 => Given::Selected(selection),
        2 => Given::Taken(&indices),
        _ => Given::None(bytes.below(MOST_ROWS)),
    };
    let Ok(rows) = given.check(batch_rows) else { return };
    check_rows(&rows, batch_rows);
    let count = rows.count(batch_rows);
    let honest: usize = schema.fields().iter().map(|field| frame::buffer_count(field.data_type())).sum();
    // Mostly as many buffers as there must be: other numbers end at the first check.
    let number = if bytes.below(64) == 0 { bytes.below(honest + 3) } else { honest };
    let buffers: Vec<&[u8]> = (0..number).map(|_| bytes.buffer(count, 16)).collect();
    if let Ok(batch) = frame::batch(&schema, count, &buffers) {
        check_batch(&schema, count, &batch);
    }
});

fn check_rows(rows: &Rows, batch_rows: usize) {
    match rows {
        Rows::All | Rows::None(_) => {}
        Rows::Selected(bits) => assert!(bits.len() == batch_rows && bits.null_count() == 0),
        Rows::Taken(indices) => assert!(indices.values().iter().all(|row| (*row as usize) < batch_rows)),
    }
}

/// What was accepted is valid, and goes back over the border unchanged.
fn check_batch(schema: &SchemaRef, rows: usize, batch: &RecordBatch) {
    assert_eq!((batch.num_rows(), &batch.schema()), (rows, schema));
    let mut buffers: Vec<Buffer> = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        assert!(field.is_nullable() || column.null_count() == 0);
        column.to_data().validate_full().expect("a column that was accepted");
        frame::push_buffers(column, &mut buffers).expect("a type of the contract");
    }
    let slices: Vec<&[u8]> = buffers.iter().map(Buffer::as_slice).collect();
    let again = frame::batch(schema, rows, &slices).expect("what the host gives is accepted");
    assert_eq!(batch, &again);
}

/// The fuzzer's input, taken piece by piece; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % bound
    }

    /// As long as some buffer of so many rows would be, or of any other length.
    fn buffer(&mut self, rows: usize, most_width: usize) -> &'a [u8] {
        let length = match self.byte() % 9 {
            0 => 0,
            1 => rows.div_ceil(8),
            2 => rows,
            3 => rows * 2,
            4 => rows * 4,
            5 => (rows + 1) * 4,
            6 => rows * 8,
            7 => rows * most_width,
            _ => self.below(1 << 12),
        };
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn schema(bytes: &mut Bytes<'_>) -> SchemaRef {
    let columns = 1 + bytes.below(3);
    Arc::new(Schema::new((0..columns).map(|index| field(index, bytes)).collect::<Vec<_>>()))
}

fn field(index: usize, bytes: &mut Bytes<'_>) -> Field {
    let (case, nullable) = (bytes.byte() % 3, bytes.byte() % 2 == 1);
    let data_type = match case {
        0 => return scalar(&format!("c{index}"), nullable, bytes),
        1 => DataType::List(Arc::new(scalar("item", bytes.byte() % 2 == 1, bytes))),
        _ => {
            let pair = [scalar("key", false, bytes), scalar("value", bytes.byte() % 2 == 1, bytes)];
            let entries = Field::new("entries", DataType::Struct(Fields::from_iter(pair)), false);
            DataType::Map(Arc::new(entries), false)
        }
    };
    Field::new(format!("c{index}"), data_type, nullable)
}

/// Any scalar type of the contract.
fn scalar(name: &str, nullable: bool, bytes: &mut Bytes<'_>) -> Field {
    let unit = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond][bytes.below(4)];
    let mut extension = None;
    let data_type = match bytes.byte() % 19 {
        0 => DataType::Boolean,
        1 => DataType::Int8,
        2 => DataType::Int16,
        3 => DataType::Int32,
        4 => DataType::Int64,
        5 => DataType::UInt8,
        6 => DataType::UInt16,
        7 => DataType::UInt32,
        8 => DataType::UInt64,
        9 => DataType::Float32,
        10 => DataType::Float64,
        11 => DataType::Utf8,
        12 => DataType::Binary,
        13 => {
            extension = Some("arrow.json");
            DataType::Utf8
        }
        14 => {
            extension = Some("arrow.uuid");
            DataType::FixedSizeBinary(16)
        }
        15 => DataType::Date32,
        16 => match unit {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
        },
        17 => DataType::Timestamp(unit, (bytes.byte() % 2 == 1).then(|| "UTC".into())),
        _ => match u8::try_from(1 + bytes.below(76)).expect("at most 76") {
            precision @ ..=38 => DataType::Decimal128(precision, 0),
            precision => DataType::Decimal256(precision, 0),
        },
    };
    let extension = extension.map(|name| ("ARROW:extension:name".to_owned(), name.to_owned()));
    Field::new(name, data_type, nullable).with_metadata(extension.into_iter().collect::<HashMap<_, _>>())
}
