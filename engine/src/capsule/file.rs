//! A capsule as a file: a line that says what it is, the length of a JSON text (u32, little-endian) and the text, then
//! Arrow streams, one for each call and one for the state. Their lengths are in the text.

use std::io;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{BinaryArray, Int64Array, RecordBatch, UInt32Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};

use super::{About, Capsule, Entry, MOST_BYTES, Seen};
use crate::state::Due;

const MAGIC: &[u8] = b"engine-capsule 1\n";

/// The text in the file.
#[derive(Serialize, Deserialize)]
struct Text {
    about: About,
    calls: Vec<Part>,
    /// Bytes of the stream.
    state: usize,
}

/// What a stream holds, and its bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Rows(usize),
    /// Of the table of this index.
    Expired(usize, usize),
}

/// A file is no capsule.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else.
    #[error("this is no capsule of this engine: it does not begin with `engine-capsule 1`")]
    Other,
    /// It ends too early.
    #[error("the capsule is cut off")]
    Cut,
    /// Its text.
    #[error("the capsule is damaged")]
    Json(#[from] serde_json::Error),
    /// Its data.
    #[error("the capsule's data is damaged")]
    Arrow(#[from] ArrowError),
    /// Its columns are others than a capsule's.
    #[error("the capsule's data has other columns than it must")]
    Columns,
}

pub(super) fn bytes(capsule: &Capsule) -> io::Result<Vec<u8>> {
    let (mut parts, mut data) = (Vec::new(), Vec::new());
    for call in &capsule.calls {
        let before = data.len();
        match call {
            Seen::Rows(rows) => {
                stream(rows, &mut data)?;
                parts.push(Part::Rows(data.len() - before));
            }
            Seen::Expired(due) => {
                stream(&entries_of(due), &mut data)?;
                parts.push(Part::Expired(due.table, data.len() - before));
            }
        }
        if data.len() > MOST_BYTES {
            return Err(io::Error::other(format!("it would have more than {} MiB", MOST_BYTES >> 20)));
        }
    }
    let before = data.len();
    stream(&state_of(&capsule.state), &mut data)?;
    let state = data.len() - before;
    let text = serde_json::to_vec(&Text { about: capsule.about.clone(), calls: parts, state })?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([MAGIC, &length.to_le_bytes(), &text, &data].concat())
}

fn stream(batch: &RecordBatch, to: &mut Vec<u8>) -> io::Result<()> {
    let written = StreamWriter::try_new(to, batch.schema_ref()).and_then(|mut writer| {
        writer.write(batch)?;
        writer.finish()
    });
    written.map_err(io::Error::other)
}

fn entries_of(due: &Due) -> RecordBatch {
    let entries = || (0..due.len()).filter_map(|index| due.entry(index));
    columns(
        [("key", Arc::new(BinaryArray::from_iter_values(entries().map(|(key, ..)| key))) as _, false)],
        entries().map(|(_, value, _)| Some(value)).collect(),
        entries().map(|(.., expiry)| Some(expiry)).collect(),
    )
}

fn state_of(entries: &[Entry]) -> RecordBatch {
    let table = |(table, ..): &Entry| u32::try_from(*table).unwrap_or(u32::MAX);
    let tables: UInt32Array = entries.iter().map(table).collect();
    let keys = BinaryArray::from_iter_values(entries.iter().map(|(_, key, _)| key));
    columns(
        [("table", Arc::new(tables) as _, false), ("key", Arc::new(keys) as _, false)],
        entries.iter().map(|(.., entry)| entry.as_ref().map(|(value, _)| value.as_slice())).collect(),
        entries.iter().map(|(.., entry)| entry.as_ref().map(|(_, expiry)| *expiry)).collect(),
    )
}

fn columns<const N: usize>(
    first: [(&str, arrow_array::ArrayRef, bool); N],
    values: BinaryArray,
    expiries: Int64Array,
) -> RecordBatch {
    let rest = [("value", Arc::new(values) as _, true), ("expiry", Arc::new(expiries) as _, true)];
    RecordBatch::try_from_iter_with_nullable(first.into_iter().chain(rest)).expect("columns of one length")
}

pub(super) fn read(bytes: &[u8]) -> Result<Capsule, ReadError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(ReadError::Other)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(ReadError::Cut)?;
    let (text, mut data) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(ReadError::Cut)?;
    let Text { about, calls, state } = serde_json::from_slice(text)?;
    let mut next = |length: usize| -> Result<RecordBatch, ReadError> {
        let (stream, rest) = data.split_at_checked(length).ok_or(ReadError::Cut)?;
        data = rest;
        StreamReader::try_new(stream, None)?.next().ok_or(ReadError::Cut)?.map_err(ReadError::Arrow)
    };
    let calls = calls.into_iter().map(|call| match call {
        Part::Rows(length) => Ok(Seen::Rows(next(length)?)),
        Part::Expired(table, length) => Ok(Seen::Expired(due(table, &next(length)?)?)),
    });
    let calls = calls.collect::<Result<_, ReadError>>()?;
    let state = entries(&next(state)?)?;
    Ok(Capsule { about, calls, state })
}

/// Row, key, and value with expiry.
type Cell<'a> = (usize, &'a [u8], Option<(&'a [u8], i64)>);

/// Key, value and expiry of each row.
fn cells(batch: &RecordBatch) -> Result<impl Iterator<Item = Cell<'_>>, ReadError> {
    let column = |name: &str| batch.column_by_name(name).ok_or(ReadError::Columns);
    let binary = |name: &str| column(name)?.as_binary_opt::<i32>().ok_or(ReadError::Columns);
    let (keys, values) = (binary("key")?, binary("value")?);
    let expiries = column("expiry")?.as_primitive_opt::<Int64Type>().ok_or(ReadError::Columns)?;
    let rows = keys.iter().zip(values.iter().zip(expiries.iter())).enumerate();
    Ok(rows.map(|(row, (key, (value, expiry)))| (row, key.unwrap_or_default(), value.zip(expiry))))
}

fn due(table: usize, batch: &RecordBatch) -> Result<Due, ReadError> {
    let mut due = Due::of(table);
    for (_, key, entry) in cells(batch)? {
        let (value, expiry) = entry.ok_or(ReadError::Columns)?;
        due.push(key, value, expiry);
    }
    Ok(due)
}

fn entries(batch: &RecordBatch) -> Result<Vec<Entry>, ReadError> {
    let tables = batch.column_by_name("table").ok_or(ReadError::Columns)?;
    let tables = tables.as_primitive_opt::<UInt32Type>().ok_or(ReadError::Columns)?;
    let entry = |(row, key, entry): Cell<'_>| {
        (tables.value(row) as usize, key.to_vec(), entry.map(|(value, expiry)| (value.to_vec(), expiry)))
    };
    Ok(cells(batch)?.map(entry).collect())
}
