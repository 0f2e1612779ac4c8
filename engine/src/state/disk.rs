//! The folder in which a lane's runs lie, and how much may.
//!
//! | crash | found | at the next take |
//! |---|---|---|
//! | while a run is written | a file that no record names | removed |
//! | before the commit whose record names a run | the same | removed; the epoch is made again |
//! | after a commit that names other runs in place of some | files that no record names any more | removed |

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::StateError;
use super::run::{RunName, failed};

/// Holds the seed of the lane's hashes, which decide where an entry lies in a run. It is drawn once, and is a secret as any.
const SEED: &str = "seed";

/// A lane's place on the disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    owner: u64,
    next: u64,
    seed: u64,
    /// Bytes that its runs may have.
    pub(super) limit_bytes: u64,
}

impl Disk {
    /// Opens a folder, or makes it. `owner` writes under names of its own: no two that are alive have the same.
    ///
    /// # Errors
    /// The folder can't be used.
    pub fn open(folder: &Path, owner: u64, limit_bytes: u64) -> Result<Self, StateError> {
        let seed = seed(folder).map_err(|error| failed(folder, &error))?;
        let next = next(folder, owner).map_err(|error| failed(folder, &error))?;
        Ok(Self { folder: folder.to_owned(), owner, next, seed, limit_bytes })
    }

    /// Makes a folder whose seed is known: for simulations, in which one run is to write the same bytes as another.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(crate) fn sow(folder: &Path, seed: u64) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(SEED), seed.to_le_bytes())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs that were written.
    #[cfg(test)]
    pub(super) fn written(&self) -> u64 {
        self.next
    }

    /// A file for a new run.
    pub(super) fn create(&mut self) -> Result<(File, PathBuf, RunName), StateError> {
        let name = RunName { owner: self.owner, number: self.next, bytes: 0, tail: 0, checksum: 0 };
        self.next += 1;
        let path = name.path(&self.folder);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        Ok((file.map_err(|error| failed(&path, &error))?, path, name))
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> Result<(), StateError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&self.folder, &error))
    }

    /// Removes the files that are not named.
    pub(super) fn keep_only(&self, named: &[RunName]) -> Result<(), StateError> {
        let named: BTreeSet<PathBuf> = named.iter().map(|name| name.path(&self.folder)).collect();
        let clean = || {
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "run") && !named.contains(&path) {
                    fs::remove_file(&path)?;
                }
            }
            Ok(())
        };
        clean().map_err(|error: io::Error| failed(&self.folder, &error))
    }
}

/// The number of an owner's next run: it may have opened the folder before, for another version of the plugin.
fn next(folder: &Path, owner: u64) -> io::Result<u64> {
    let mut next = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
        if let Some((of, number)) = number
            && of.parse() == Ok(owner)
            && let Ok(number) = number.parse::<u64>()
        {
            next = next.max(number.saturating_add(1));
        }
    }
    Ok(next)
}

/// The folder's seed, durable before anything depends on it.
fn seed(folder: &Path) -> io::Result<u64> {
    let path = folder.join(SEED);
    match fs::read(&path) {
        Ok(bytes) => {
            let seed = bytes.try_into().map(u64::from_le_bytes);
            seed.map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("{} holds no seed", path.display())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            let (seed, draft) = (RandomState::new().hash_one(0_u64), folder.join("seed.draft"));
            let mut file = File::create(&draft)?;
            file.write_all(&seed.to_le_bytes())?;
            file.sync_all()?;
            fs::rename(draft, path)?;
            File::open(folder)?.sync_all()?;
            if let Some(parent) = folder.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(seed)
        }
        Err(error) => Err(error),
    }
}
