//! The logs of lanes' state, as files: `state/<hash of the lane's key>-<number>.log` in the data folder. Beside them, in
//! `state/<hash>.runs`, lies what memory has no room for: the state's own business, of which a log has the names.
//!
//! **Promise.** What lies before a committed [`LogEnd`] is on the disk. A log is only appended to at its committed end, and
//! only by the journal's thread.
//!
//! | crash | found | at the next take |
//! |---|---|---|
//! | while a record is appended | bytes behind the end | cut off |
//! | while a snapshot is written | the log of the next number, whole or not | removed |
//! | while it is a draft, without its name yet | the draft | removed, when the folder is opened |
//! | after the commit that names a snapshot, or a restart | the log of the number before | removed |

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;

use super::super::state_log::{Append, LogEnd, LogError};
use crate::state::StateError;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// The folder of the logs.
#[derive(Clone, Debug)]
pub(super) struct StateFiles {
    folder: PathBuf,
}

impl StateFiles {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "draft") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder })
    }

    /// Writes and syncs a log under a name that no other owner writes to.
    pub(super) fn draft(&self, lane: &[u8], append: &Append<'_>, owner: u64) -> io::Result<PathBuf> {
        let path = self.path(lane, append.end.number).with_extension(format!("{owner}.draft"));
        let write = || {
            let file = File::create(&path)?;
            file.write_all_at(&append.head, 0)?;
            file.write_all_at(append.record, append.head.len() as u64)?;
            file.sync_data()
        };
        write().map_err(|error| named(&path, &error))?;
        Ok(path)
    }

    /// Gives a draft its name.
    pub(super) fn name(&self, draft: &Path, lane: &[u8], number: u64) -> io::Result<()> {
        fs::rename(draft, self.path(lane, number))?;
        File::open(&self.folder)?.sync_all()
    }

    /// The log of a lane, by the lane's key.
    pub(super) fn path(&self, lane: &[u8], number: u64) -> PathBuf {
        self.folder.join(format!("{:032x}-{number}.log", XxHash3_128::oneshot(lane)))
    }

    /// The folder of a lane, for what memory has no room for.
    pub(super) fn disk(&self, lane: &[u8]) -> PathBuf {
        self.folder.join(format!("{:032x}.runs", XxHash3_128::oneshot(lane)))
    }

    /// Removes what nothing names: bytes behind the end, logs of other numbers. What stays does no harm: a record is written
    /// at the end, a log begun anew is empty.
    pub(super) fn clean(&self, lane: &[u8], end: LogEnd) {
        let before = end.number.checked_sub(1).map(|number| self.path(lane, number));
        let own = self.path(lane, end.number);
        let unnamed = before.into_iter().chain([self.path(lane, end.number + 1)]);
        for path in unnamed.chain((end.bytes == 0).then(|| own.clone())) {
            warned(&path, fs::remove_file(&path));
        }
        if end.bytes > 0 {
            warned(&own, cut(&own, end.bytes));
        }
    }

    /// Writes a record and gives back the file, which is still to be synced.
    pub(super) fn append(&self, lane: &[u8], append: &Append<'_>) -> io::Result<File> {
        let path = self.path(lane, append.end.number);
        let write = || {
            let begins = append.at == 0;
            let file = File::options().write(true).create(begins).truncate(begins).open(&path)?;
            file.write_all_at(&append.head, append.at)?;
            file.write_all_at(append.record, append.at + append.head.len() as u64)?;
            if begins {
                File::open(&self.folder)?.sync_all()?;
            }
            Ok(file)
        };
        write().map_err(|error| named(&path, &error))
    }

    /// Gives the records before the end.
    pub(super) fn read(
        &self,
        lane: &[u8],
        end: LogEnd,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StateError>,
    ) -> Result<(), LogError> {
        if end.bytes == 0 {
            return Ok(());
        }
        let file = File::open(self.path(lane, end.number))?;
        end.read(lane, &mut BufReader::with_capacity(READ_BYTES, file), each)
    }
}

fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > bytes { file.set_len(bytes) } else { Ok(()) }
}

/// A file that is not there is as clean as can be: where it should be, reading it says so.
fn warned(path: &Path, cleaned: io::Result<()>) {
    if let Some(error) = cleaned.err().filter(|error| error.kind() != io::ErrorKind::NotFound) {
        tracing::warn!(path = %path.display(), %error, "what is not needed any more of a lane's state can't be removed");
    }
}

/// The error with the file's name, which the system leaves out.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
