//! How the state of a lane is written: a log of records, its beginning a snapshot or nothing.
//!
//! ```text
//! file    = MAGIC record(name) record*
//! record  = length: u64 LE, checksum: u64 LE, bytes
//! ```
//!
//! The name is the lane's key and the log's number, so that a file under another lane's name is no state of this one. A
//! checksum is XXH3-64 of the bytes, seeded with the checksum before it: it vouches for all that lies before, and where a
//! log ends, says [`LogEnd`], which is committed beside the position. So whatever lies behind the end was never committed, and
//! what lies before it is what was committed, or reading it is an error.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::state::{Sealed, StateError};

const MAGIC: &[u8; 16] = b"engine state v1\n";
/// Length and checksum.
const HEAD_BYTES: u64 = 16;

/// Where a lane's log ends: part of its commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogEnd {
    /// Which log: a snapshot begins the next one. Never used again.
    pub number: u64,
    /// Its bytes; 0: there is no log, the lane remembers nothing.
    pub bytes: u64,
    /// Of its last record.
    checksum: u64,
}

/// A record to be written, and where the log ends then.
#[derive(Debug)]
pub(super) struct Append<'a> {
    /// Where the log ends when both parts are written.
    pub end: LogEnd,
    /// At which byte of log [`LogEnd::number`] they go; 0 begins it.
    pub at: u64,
    /// What stands before the record.
    pub head: Vec<u8>,
    /// The record's bytes.
    pub record: &'a [u8],
}

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file is not there, or can't be read.
    #[error("it can't be read")]
    Io(#[from] io::Error),
    /// No log, or another lane's.
    #[error("it is no log of this lane's state")]
    Foreign,
    /// It ends before its end.
    #[error("it ends before its {bytes} bytes")]
    Short {
        /// What it should have.
        bytes: u64,
    },
    /// Its bytes are not those that were written.
    #[error("the record at byte {at} is damaged")]
    Damaged {
        /// Where the record begins.
        at: u64,
    },
    /// The bytes are those that were written, and say nothing.
    #[error(transparent)]
    Record(#[from] StateError),
}

impl LogEnd {
    /// What has to be written for an epoch's changes; `None`: nothing.
    pub(super) fn append<'a>(&self, lane: &[u8], sealed: &'a Sealed) -> Option<Append<'a>> {
        match sealed {
            Sealed::Unchanged => None,
            Sealed::Changes(record) if self.bytes > 0 => Some(self.behind(record, Vec::new())),
            Sealed::Changes(record) => Some(Self { number: self.number, ..Self::default() }.first(lane, record)),
            Sealed::Snapshot(record) => Some(self.next().first(lane, record)),
        }
    }

    /// The log after this one, not begun.
    pub(super) fn next(&self) -> Self {
        Self { number: self.number + 1, ..Self::default() }
    }

    fn first<'a>(&self, lane: &[u8], record: &'a [u8]) -> Append<'a> {
        let name = name(lane, self.number);
        let named = Self { bytes: MAGIC.len() as u64, ..*self }.behind(&name, MAGIC.to_vec());
        let head = [named.head, named.record.to_vec()].concat();
        Append { at: 0, ..named.end.behind(record, head) }
    }

    fn behind<'a>(&self, record: &'a [u8], mut head: Vec<u8>) -> Append<'a> {
        let checksum = XxHash3_64::oneshot_with_seed(self.checksum, record);
        let length = record.len() as u64;
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&checksum.to_le_bytes());
        let end = Self { number: self.number, bytes: self.bytes + HEAD_BYTES + length, checksum };
        Append { end, at: self.bytes, head, record }
    }

    /// Reads the records that lie before this end, in order.
    pub(super) fn read(
        &self,
        lane: &[u8],
        log: &mut impl Read,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), LogError> {
        let mut magic = [0; MAGIC.len()];
        self.fill(log, &mut magic)?;
        if magic != *MAGIC {
            return Err(LogError::Foreign);
        }
        let (mut at, mut checksum, mut record) = (MAGIC.len() as u64, 0, Vec::new());
        while at < self.bytes {
            let mut head = [[0; 8]; 2];
            self.fill(log, head.as_flattened_mut())?;
            let [length, expected] = head.map(u64::from_le_bytes);
            // The length is not to be believed before its checksum is; nor is room made for it.
            if length > self.bytes.saturating_sub(at + HEAD_BYTES) {
                return Err(LogError::Damaged { at });
            }
            record.resize(usize::try_from(length).map_err(|_| LogError::Damaged { at })?, 0);
            self.fill(log, &mut record)?;
            checksum = XxHash3_64::oneshot_with_seed(checksum, &record);
            if checksum != expected {
                return Err(LogError::Damaged { at });
            }
            match at == MAGIC.len() as u64 {
                true if record != name(lane, self.number) => return Err(LogError::Foreign),
                true => {}
                false => each(&record)?,
            }
            at += HEAD_BYTES + length;
        }
        // All records hold together, and are not those that were committed.
        if checksum == self.checksum { Ok(()) } else { Err(LogError::Damaged { at: self.bytes }) }
    }

    fn fill(&self, log: &mut impl Read, bytes: &mut [u8]) -> Result<(), LogError> {
        log.read_exact(bytes).map_err(|error| {
            let short = error.kind() == io::ErrorKind::UnexpectedEof;
            if short { LogError::Short { bytes: self.bytes } } else { LogError::Io(error) }
        })
    }
}

fn name(lane: &[u8], number: u64) -> Vec<u8> {
    [lane, &number.to_le_bytes()].concat()
}
