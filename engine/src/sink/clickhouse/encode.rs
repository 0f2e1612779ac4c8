//! A block as the body of a request: an Arrow IPC stream, written piece by piece while it is sent.
//!
//! Nothing is held twice but the piece on its way, and every attempt writes the same bytes again: the writer has no
//! state but the block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use futures::stream;
use lz4_flex::frame::FrameEncoder;
use reqwest::Body;

use super::Compression;
use crate::batch::Block;
use crate::cpu::thread_time;

/// Rows of one piece: small enough that writing it never holds a thread for long, large enough that the server's cost
/// for each piece disappears.
const PIECE_ROWS: usize = 65_536;

/// The body of one attempt, its `Content-Encoding`, and where its bytes are counted as they leave. The CPU time of
/// writing it is added to `nanoseconds`.
pub(super) fn body(
    block: &Block,
    compression: Compression,
    nanoseconds: &Arc<AtomicU64>,
) -> (Body, Option<&'static str>, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let pieces = Pieces {
        schema: wire_schema(&block.table.schema),
        batches: pieces(&block.batches).into_iter(),
        writer: None,
        packer: (compression == Compression::Lz4).then(|| FrameEncoder::new(Vec::new())),
        nanoseconds: Arc::clone(nanoseconds),
        done: false,
    };
    let counter = Arc::clone(&sent);
    let counted = pieces.inspect(move |piece| {
        counter.fetch_add(piece.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
    });
    let encoding = (compression == Compression::Lz4).then_some("lz4");
    (Body::wrap_stream(stream::iter(counted)), encoding, sent)
}

/// Writes the body of a block as it would be sent, uncompressed, and counts its bytes: for measuring what that costs.
///
/// # Errors
/// Arrow's.
pub fn encoded_bytes(block: &Block) -> Result<usize, ArrowError> {
    uncompressed(&block.table.schema, &block.batches).map(|piece| Ok(piece?.len())).sum()
}

/// The body of a block with this schema, whole and uncompressed.
pub(super) fn whole(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    for piece in uncompressed(schema, batches) {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

fn uncompressed(schema: &Schema, batches: &[RecordBatch]) -> Pieces {
    Pieces {
        schema: wire_schema(schema),
        batches: pieces(batches).into_iter(),
        writer: None,
        packer: None,
        nanoseconds: Arc::default(),
        done: false,
    }
}

fn pieces(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let cut = |batch: &RecordBatch| {
        let batch = batch.clone();
        let starts = (0..batch.num_rows()).step_by(PIECE_ROWS);
        starts.map(move |start| batch.slice(start, PIECE_ROWS.min(batch.num_rows() - start)))
    };
    batches.iter().flat_map(cut).collect()
}

/// The pieces of the stream: its head, each batch, its end.
struct Pieces {
    schema: SchemaRef,
    batches: std::vec::IntoIter<RecordBatch>,
    writer: Option<StreamWriter<Vec<u8>>>,
    packer: Option<FrameEncoder<Vec<u8>>>,
    nanoseconds: Arc<AtomicU64>,
    done: bool,
}

impl Iterator for Pieces {
    type Item = Result<Bytes, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let before = thread_time();
        let piece = self.write_next();
        let spent = thread_time().saturating_sub(before).as_nanos();
        self.nanoseconds.fetch_add(u64::try_from(spent).unwrap_or(0), Ordering::Relaxed);
        self.done |= piece.is_err();
        Some(piece)
    }
}

impl Pieces {
    fn write_next(&mut self) -> Result<Bytes, ArrowError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => StreamWriter::try_new(Vec::new(), &self.schema)?,
        };
        match self.batches.next() {
            Some(batch) => {
                // At once what it will need: growing step by step would copy it several times.
                writer.get_mut().reserve(batch.get_array_memory_size());
                writer.write(&wire_batch(&self.schema, &batch)?)?;
            }
            None => {
                writer.finish()?;
                self.done = true;
            }
        }
        let plain = std::mem::take(writer.get_mut());
        self.writer = Some(writer);
        self.pack(plain)
    }

    fn pack(&mut self, plain: Vec<u8>) -> Result<Bytes, ArrowError> {
        use std::io::Write;
        let Some(packer) = &mut self.packer else { return Ok(plain.into()) };
        packer.write_all(&plain)?;
        if self.done {
            packer.try_finish().map_err(|error| ArrowError::IpcError(error.to_string()))?;
        }
        Ok(std::mem::take(packer.get_mut()).into())
    }
}

/// The schema as it is sent: without metadata, and with every timestamp in `UTC`, because ClickHouse before 26.7 does
/// not know the zone `+00:00` and reads a timestamp without zone in the server's.
fn wire_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|field| wire_field(field)).collect();
    Arc::new(Schema::new(fields))
}

fn wire_field(field: &Field) -> Field {
    Field::new(field.name(), wire_type(field.data_type()), field.is_nullable())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other types are sent as they are")]
fn wire_type(data_type: &DataType) -> DataType {
    let child = |field: &FieldRef| Arc::new(wire_field(field));
    match data_type {
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(item) => DataType::List(child(item)),
        DataType::Map(entries, ordered) => DataType::Map(child(entries), *ordered),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        other => other.clone(),
    }
}

fn wire_batch(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().zip(batch.columns());
    let columns: Result<Vec<_>, _> = columns.map(|(field, array)| labelled(array, field.data_type())).collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

/// The same array under the type that it is sent with, its timestamps labelled `UTC`. Nothing is copied.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types are sent as they are")]
fn labelled(array: &ArrayRef, wire: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wire {
        return Ok(Arc::clone(array));
    }
    Ok(match wire {
        DataType::Timestamp(unit, _) => in_utc(array, *unit),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let items = labelled(list.values(), item.data_type())?;
            Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?)
        }
        DataType::Map(entries, ordered) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = labelled(&pairs, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *ordered)?)
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let columns = fields.iter().zip(parts.columns());
            let columns: Result<Vec<_>, _> = columns.map(|(field, part)| labelled(part, field.data_type())).collect();
            Arc::new(StructArray::try_new(fields.clone(), columns?, parts.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}

fn in_utc(array: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    match unit {
        TimeUnit::Second => Arc::new(array.as_primitive::<TimestampSecondType>().clone().with_timezone("UTC")),
        TimeUnit::Millisecond => {
            Arc::new(array.as_primitive::<TimestampMillisecondType>().clone().with_timezone("UTC"))
        }
        TimeUnit::Microsecond => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
        }
        TimeUnit::Nanosecond => Arc::new(array.as_primitive::<TimestampNanosecondType>().clone().with_timezone("UTC")),
    }
}
