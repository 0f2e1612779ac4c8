//! Compiled code, kept in the data folder: what was compiled once need not be compiled again at the next start.
//!
//! **Promise.** Only code that this data folder's engine has written itself is ever run: each file begins with an
//! HMAC-SHA256 of its name and its code under a random key of the folder, and what was checked is what is loaded, from
//! memory. A file that is damaged, cut, of another name or another key is left aside with a warning, and the plugin is
//! compiled anew. The files together stay below a bound: those that were not used for the longest go.
//! **Assumed.** Who can read the key, which only its owner can, may run code as the engine anyway.
//! **After a crash** a file is complete or not there: it is written under another name and renamed. It is not synced:
//! one that the machine lost with its power does not carry its MAC.
//!
//! A file's name is the SHA-256 of the artifact's digest and of all that decides the code: wasmtime's version, its
//! settings and the processor's features. So other engines may share the folder, and none meets the other's code.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::load::hex;

/// All files together. Compiled code is about three times its WebAssembly, a large plugin has 6 MB: some eighty of them,
/// or as many versions of one.
const MOST_BYTES: u64 = 512 << 20;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

type Sha256Mac = Hmac<Sha256>;

/// The compiled code of a data folder.
#[derive(Clone)]
pub struct CompiledCode {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    most_bytes: u64,
}

/// Why there is no compiled code in a file.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("it can't be read")]
    Io(#[from] io::Error),
    #[error("this engine did not write it, or it was damaged")]
    Foreign,
    #[error("wasmtime does not take it: {0:#}")]
    Refused(wasmtime::Error),
}

impl CompiledCode {
    /// The compiled code below a data folder, which is made if it is missing, and so is its key.
    ///
    /// # Errors
    /// The folder or the key can't be made or read.
    pub fn open(data: &Path) -> io::Result<Self> {
        Self::bounded(data, MOST_BYTES)
    }

    pub(super) fn bounded(data: &Path, most_bytes: u64) -> io::Result<Self> {
        let folder = data.join("compiled");
        fs::create_dir_all(&folder)?;
        let key = match read_key(&folder.join("key"))? {
            Some(key) => key,
            None => write_key(&folder)?,
        };
        Ok(Self { folder, key, most_bytes })
    }

    /// The code of an artifact, if it is kept.
    pub(super) fn find(&self, engine: &Engine, artifact: &str) -> Option<Component> {
        let name = name(engine, artifact);
        let path = self.folder.join(&name);
        match self.read(engine, &name, &path) {
            Ok(component) => Some(component),
            Err(NotKept::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let error = crate::disposition::in_words(&error);
                tracing::warn!(file = %path.display(), error, "compiled code is left aside, the plugin is compiled anew");
                None
            }
        }
    }

    fn read(&self, engine: &Engine, name: &str, path: &Path) -> Result<Component, NotKept> {
        // A link would be somebody else's doing: files are only ever renamed into the folder.
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let mut kept = Vec::new();
        (&mut file).take(self.most_bytes).read_to_end(&mut kept)?;
        let (mac, code) = kept.split_at_checked(MAC_BYTES).ok_or(NotKept::Foreign)?;
        self.mac(name, code).verify_slice(mac).map_err(|_| NotKept::Foreign)?;
        // SAFETY: the code is what this engine's compiler gave to it, which alone has the key, and nobody can
        // change it any more: it was checked in this process's memory and is loaded from there.
        let component = unsafe { Component::deserialize(engine, code) }.map_err(NotKept::Refused)?;
        // When it was used last, for `make_room`; a folder that is read only keeps it from being known.
        drop(file.set_modified(SystemTime::now()));
        Ok(component)
    }

    /// Keeps the code of an artifact. That it can't be kept is a warning: the plugin runs.
    pub(super) fn keep(&self, engine: &Engine, artifact: &str, code: &[u8]) {
        if let Err(error) = self.write(engine, artifact, code) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code can't be kept: the next start compiles it again");
        }
    }

    fn write(&self, engine: &Engine, artifact: &str, code: &[u8]) -> io::Result<()> {
        let bytes = (MAC_BYTES + code.len()) as u64;
        if bytes > self.most_bytes {
            return Ok(());
        }
        self.make_room(bytes)?;
        let name = name(engine, artifact);
        let mut partial = NamedTempFile::new_in(&self.folder)?;
        partial.write_all(&self.mac(&name, code).finalize().into_bytes())?;
        partial.write_all(code)?;
        partial.persist(self.folder.join(name))?;
        Ok(())
    }

    /// Removes what was not used for the longest, until so many bytes are free. What a crash has left unfinished is oldest
    /// at some time.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != "key"
                && let Ok(metadata) = entry.metadata()
            {
                files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut used: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in files {
            if used + bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            used -= size;
        }
        Ok(())
    }

    fn mac(&self, name: &str, code: &[u8]) -> Sha256Mac {
        let mac = Sha256Mac::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.chain_update(name).chain_update(code) // a name is always as long
    }
}

/// The key, unless there is none, or one that others can have read.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let mut key = [0; KEY_BYTES];
    let whole = metadata.len() == KEY_BYTES as u64 && file.read_exact(&mut key).is_ok();
    // SAFETY: `geteuid` has no conditions and can't fail.
    let own = metadata.uid() == unsafe { libc::geteuid() };
    if whole && own && metadata.mode() & 0o077 == 0 {
        return Ok(Some(key));
    }
    tracing::warn!(key = %path.display(), "the key of compiled code is not this user's alone: a new one is made, and plugins are compiled anew");
    Ok(None)
}

/// Makes a key. Of two engines that do so at a time the later one wins; the other's code is compiled again.
fn write_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut partial = NamedTempFile::new_in(folder)?; // 0600
    partial.write_all(&key)?;
    partial.as_file().sync_all()?;
    partial.persist(folder.join("key"))?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

/// The file of an artifact's code, as this engine compiles it.
fn name(engine: &Engine, artifact: &str) -> String {
    let mut all = Sha256Hasher(Sha256::new());
    artifact.hash(&mut all);
    engine.precompile_compatibility_hash().hash(&mut all);
    hex(&all.0.finalize())
}

/// Everything that is hashed, through SHA-256: 64 bits would be few for a name that decides which code is run.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks for it: the digest is taken from within.
    fn finish(&self) -> u64 {
        0
    }
}
