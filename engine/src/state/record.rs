//! Records of state, as the journal keeps them: what an epoch changed, or everything.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version of the format: 1 |
//! | 1 | 0: changes; 1: everything, in place of what was before |
//! | 1, then for each 2 + length | tables: how many; of each its name's length, its name, and 0 (drops) or 1 (calls). Operations name a table by its place in this list |
//! | … | operations, until the record ends |
//!
//! | operation | |
//! |---|---|
//! | 1, table, count (32 bits), keys, expiries, values | writes entries, of keys that come twice the last |
//! | 2, table, count (32 bits), keys | deletes entries |
//! | 3, table, watermark (64 bits) | takes out all entries whose expiry it has reached |
//! | 4, table, shard, count, runs | all that was written to this part of the table before lies in these runs, the older first: of each owner, number, bytes, place of its tail, checksum (64 bits each) |
//! | 5, the same | the runs of this part of the table are these; what was written since the last 4 is not in them |
//!
//! Keys and values are columns: 0, width (32 bits), bytes; or 1, 2 or 4 (the bytes of a length), a length for each, bytes.
//! Expiries are 0 (never), or 1 and 64 bits for each. All numbers are little-endian.

use super::cells::{Cells, Checked};
use super::hash::SHARDS;
use super::run::RunName;
use super::{Key, MOST_KEYS, OnExpire, StateError, StateTable};

const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const EXPIRE: u8 = 3;
const RUNS: u8 = 4;
const MERGED: u8 = 5;
/// Entries of one operation of a snapshot: read and applied at once.
const SNAPSHOT_ROWS: usize = 8_192;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Changes = 0,
    Snapshot = 1,
}

/// A record that is being written.
#[derive(Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    /// Bytes before the first operation.
    header: usize,
}

impl Changes {
    pub(super) fn new(kind: Kind, tables: &[StateTable]) -> Self {
        let mut bytes = vec![VERSION, kind as u8, byte(tables.len())];
        for table in tables {
            bytes.push(byte(table.name.len()));
            bytes.extend_from_slice(table.name.as_bytes());
            bytes.push(u8::from(table.on_expire == OnExpire::Call));
        }
        Self { header: bytes.len(), bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == self.header
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len.max(self.header));
    }

    pub(super) fn put(&mut self, table: u8, keys: Checked<'_>, values: Checked<'_>, expiries: &[i64]) {
        if keys.len() == 0 {
            return;
        }
        self.operation(PUT, table, keys.len());
        self.column(keys.iter());
        self.expiries(expiries.iter().copied());
        self.column(values.iter());
    }

    /// Those of the keys, with empty values.
    pub(super) fn insert(&mut self, table: u8, keys: Checked<'_>, expiries: &[i64], which: &[usize]) {
        if which.is_empty() {
            return;
        }
        self.operation(PUT, table, which.len());
        self.column(which.iter().map(|index| keys.get(*index)));
        self.expiries(which.iter().filter_map(|index| expiries.get(*index).copied()));
        self.column(which.iter().map(|_| [].as_slice()));
    }

    /// Those of the keys.
    pub(super) fn delete(&mut self, table: u8, keys: Checked<'_>, which: &[usize]) {
        if which.is_empty() {
            return;
        }
        self.operation(DELETE, table, which.len());
        self.column(which.iter().map(|index| keys.get(*index)));
    }

    pub(super) fn expire(&mut self, table: u8, watermark_ms: i64) {
        self.bytes.extend_from_slice(&[EXPIRE, table]);
        self.bytes.extend_from_slice(&watermark_ms.to_le_bytes());
    }

    /// Where a shard lies; `all`: with all that memory had of it.
    pub(super) fn runs(&mut self, table: u8, shard: usize, runs: &[RunName], all: bool) {
        self.bytes.extend_from_slice(&[if all { RUNS } else { MERGED }, table, byte(shard), byte(runs.len())]);
        for RunName { owner, number, bytes, tail, checksum } in runs {
            for part in [owner, number, bytes, tail, checksum] {
                self.bytes.extend_from_slice(&part.to_le_bytes());
            }
        }
    }

    /// Deletes keys, however many.
    pub(super) fn delete_all<'a>(&mut self, table: u8, keys: impl Iterator<Item = Key<'a>>) {
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let some: Vec<_> = keys.by_ref().take(SNAPSHOT_ROWS).collect();
            self.operation(DELETE, table, some.len());
            self.column(some.iter().map(|key| key.as_ref()));
        }
    }

    /// Entries, however many.
    pub(super) fn put_all<'a>(&mut self, table: u8, entries: impl Iterator<Item = (Key<'a>, &'a [u8], i64)>) {
        let mut entries = entries.peekable();
        while entries.peek().is_some() {
            let some: Vec<_> = entries.by_ref().take(SNAPSHOT_ROWS).collect();
            self.operation(PUT, table, some.len());
            self.column(some.iter().map(|(key, _, _)| key.as_ref()));
            self.expiries(some.iter().map(|(_, _, expiry)| *expiry));
            self.column(some.iter().map(|(_, value, _)| *value));
        }
    }

    fn operation(&mut self, operation: u8, table: u8, count: usize) {
        self.bytes.extend_from_slice(&[operation, table]);
        self.bytes.extend_from_slice(&length(count).to_le_bytes());
    }

    fn column<'a>(&mut self, cells: impl Iterator<Item = &'a [u8]> + Clone) {
        let (least, most) =
            cells.clone().fold((usize::MAX, 0), |(least, most), cell| (least.min(cell.len()), most.max(cell.len())));
        if least >= most {
            self.bytes.push(0);
            self.bytes.extend_from_slice(&length(most).to_le_bytes());
        } else {
            let width = if most <= 0xff {
                1
            } else if most <= 0xffff {
                2
            } else {
                4
            };
            self.bytes.push(width);
            for cell in cells.clone() {
                let bytes = length(cell.len()).to_le_bytes();
                self.bytes.extend_from_slice(bytes.get(..width.into()).expect("at most 4 of 4 bytes"));
            }
        }
        cells.for_each(|cell| self.bytes.extend_from_slice(cell));
    }

    fn expiries(&mut self, expiries: impl Iterator<Item = i64> + Clone) {
        if expiries.clone().all(|expiry| expiry == i64::MAX) {
            self.bytes.push(0);
        } else {
            self.bytes.push(1);
            expiries.for_each(|expiry| self.bytes.extend_from_slice(&expiry.to_le_bytes()));
        }
    }
}

/// An operation of a record. The table is the index of the one that is described now under the name; none: it is not
/// described any more.
#[derive(Debug)]
pub(super) enum Operation<'a> {
    Put { table: Option<usize>, count: usize, keys: Column<'a>, expiries: Vec<i64>, values: Column<'a> },
    Delete { table: Option<usize>, count: usize, keys: Column<'a> },
    Expire { table: Option<usize>, watermark_ms: i64 },
    Runs { table: Option<usize>, shard: usize, runs: Vec<RunName>, all: bool },
}

/// Cells as they lie in a record.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Fixed { width: usize, bytes: &'a [u8] },
    Variable { offsets: Vec<u32>, bytes: &'a [u8] },
}

impl Column<'_> {
    /// Bytes of each, where all are of one length.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Fixed { width, .. } => Some(*width),
            Self::Variable { .. } => None,
        }
    }

    pub(super) fn checked(&self, count: usize) -> Result<Checked<'_>, StateError> {
        let cells = match self {
            Self::Fixed { width, bytes } => Cells::Fixed { width: *width, bytes },
            Self::Variable { offsets, bytes } => Cells::Variable { offsets, bytes },
        };
        Checked::counted("cells", cells, count)
    }
}

/// What a record is, and its operations.
pub(super) fn read<'a>(
    record: &'a [u8],
    described: &[StateTable],
) -> Result<(Kind, impl Iterator<Item = Result<Operation<'a>, StateError>> + use<'a>), StateError> {
    let mut reader = Reader { rest: record };
    let (kind, named) = reader.header()?;
    let index = |table: &StateTable| described.iter().position(|described| described.name == table.name);
    let tables: Vec<_> = named.iter().map(index).collect();
    let mut failed = false;
    let next = move || {
        if failed || reader.rest.is_empty() {
            return None;
        }
        let operation = reader.operation(&tables);
        failed = operation.is_err();
        Some(operation)
    };
    Ok((kind, std::iter::from_fn(next)))
}

/// The tables that there were when a record was written.
pub(super) fn tables(record: &[u8]) -> Result<Vec<StateTable>, StateError> {
    Reader { rest: record }.header().map(|(_, tables)| tables)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(StateError::Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(StateError::Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn count(&mut self) -> Result<usize, StateError> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn header(&mut self) -> Result<(Kind, Vec<StateTable>), StateError> {
        if self.byte()? != VERSION {
            return Err(StateError::Damaged("it is of another version of the format: is this an older engine?"));
        }
        let kind = match self.byte()? {
            0 => Kind::Changes,
            1 => Kind::Snapshot,
            _ => return Err(StateError::Damaged("it is neither changes nor a snapshot")),
        };
        let count = self.byte()?;
        let tables = (0..count).map(|_| self.table()).collect::<Result<_, _>>()?;
        Ok((kind, tables))
    }

    fn table(&mut self) -> Result<StateTable, StateError> {
        let length = self.byte()?;
        let name = String::from_utf8(self.take(length.into())?.to_vec());
        let name = name.map_err(|_| StateError::Damaged("a table's name is no text"))?;
        let on_expire = match self.byte()? {
            0 => OnExpire::Drop,
            1 => OnExpire::Call,
            _ => return Err(StateError::Damaged("a table neither drops nor calls")),
        };
        Ok(StateTable { name, on_expire })
    }

    fn operation(&mut self, tables: &[Option<usize>]) -> Result<Operation<'a>, StateError> {
        let operation = self.byte()?;
        let unknown = StateError::Damaged("an operation is on a table that it does not name");
        let table = *tables.get(usize::from(self.byte()?)).ok_or(unknown)?;
        match operation {
            PUT => {
                let count = self.entries()?;
                let keys = self.column(count)?;
                let (expiries, values) = (self.expiries(count)?, self.column(count)?);
                Ok(Operation::Put { table, count, keys, expiries, values })
            }
            DELETE => {
                let count = self.entries()?;
                Ok(Operation::Delete { table, count, keys: self.column(count)? })
            }
            EXPIRE => Ok(Operation::Expire { table, watermark_ms: i64::from_le_bytes(self.array()?) }),
            RUNS | MERGED => {
                let (shard, count) = (self.byte()?.into(), self.byte()?);
                if shard >= SHARDS {
                    return Err(StateError::Damaged("it names a part of a table that there is not"));
                }
                let runs = (0..count).map(|_| self.run()).collect::<Result<_, _>>()?;
                Ok(Operation::Runs { table, shard, runs, all: operation == RUNS })
            }
            _ => Err(StateError::Damaged("it has an unknown operation: is this an older engine?")),
        }
    }

    fn run(&mut self) -> Result<RunName, StateError> {
        let mut number = || self.array().map(u64::from_le_bytes);
        Ok(RunName { owner: number()?, number: number()?, bytes: number()?, tail: number()?, checksum: number()? })
    }

    /// How many entries an operation is on. Bounded, or a few bytes could stand for four billion entries of no bytes.
    fn entries(&mut self) -> Result<usize, StateError> {
        let count = self.count()?;
        if count > MOST_KEYS { Err(StateError::Damaged("it has an operation on too many entries")) } else { Ok(count) }
    }

    fn column(&mut self, count: usize) -> Result<Column<'a>, StateError> {
        let too_many = || StateError::Damaged("it has more cells than bytes can be");
        let bytes_of_length = match self.byte()? {
            0 => {
                let width = self.count()?;
                let bytes = self.take(count.checked_mul(width).ok_or_else(too_many)?)?;
                return Ok(Column::Fixed { width, bytes });
            }
            width @ (1 | 2 | 4) => usize::from(width),
            _ => return Err(StateError::Damaged("it has a column of an unknown form")),
        };
        let lengths = self.take(count.checked_mul(bytes_of_length).ok_or_else(too_many)?)?;
        let mut offsets = Vec::with_capacity(count + 1);
        let mut end = 0_u32;
        offsets.push(end);
        for length in lengths.chunks_exact(bytes_of_length) {
            let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            end = end.checked_add(length).ok_or_else(too_many)?;
            offsets.push(end);
        }
        Ok(Column::Variable { offsets, bytes: self.take(end as usize)? })
    }

    fn expiries(&mut self, count: usize) -> Result<Vec<i64>, StateError> {
        match self.byte()? {
            0 => Ok(Vec::new()),
            1 => {
                let bytes = self.take(count.checked_mul(8).ok_or(StateError::Damaged("it has too many expiries"))?)?;
                Ok(bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
            }
            _ => Err(StateError::Damaged("its expiries are of an unknown form")),
        }
    }
}

/// Tables and their names are counted in a byte: the description's check allows no more.
fn byte(count: usize) -> u8 {
    u8::try_from(count).expect("at most 255 tables, with names of at most 255 bytes")
}

/// A batch and its cells come from a memory of 32 bits.
fn length(count: usize) -> u32 {
    u32::try_from(count).expect("a guest's memory has 32 bits")
}
