//! The plugins folder as it is: what lies in it, and when it has come to rest.
//!
//! **Promise.** What is given out was whole: its files' places, sizes and times did not change for [`SETTLE`], they had
//! the same content before and after, and nobody had one of them open for writing where the system says so. Every state
//! that lasts is given out once, in the end; states in between may be passed over.
//! **Assumed.** Whoever writes a file in place over a network does not pause for longer than [`SETTLE`] in the middle: a
//! file that was cut then is not a plugin, is refused, and the whole one is taken when it is there.
//!
//! Everything is found by looking: how a file came to be there (renamed, written in place, by way of a link that was
//! exchanged, in a folder that was deleted and made again) makes no difference. [`super::watch`] says when to look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::writer::is_written;
use crate::config::plugin_folders;

/// For how long nothing must have changed.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// For how long a plugin must have been away until it is removed: editors and deployments take a file away for a moment.
pub(super) const ABSENCE: Duration = Duration::from_secs(2);

/// No larger artifact is read: [`crate::plugin::HostSettings`] refuses it by its size.
const MOST_WASM_BYTES: u64 = (64 << 20) + 1;
/// Far above any plugin.toml.
const MOST_TEXT_BYTES: u64 = 4 << 20;

/// The files of a plugin, read at a time when nobody changed them.
#[derive(Debug)]
pub(super) struct Files {
    /// The plugin's folder, whose name is the plugin's.
    pub(super) folder: PathBuf,
    /// What is in plugin.toml.
    pub(super) text: io::Result<String>,
    /// What is in plugin.wasm.
    pub(super) wasm: io::Result<Bytes>,
    /// When they were first seen so.
    pub(super) seen: Instant,
}

/// What has become of a plugin's folder.
#[derive(Debug)]
pub(super) enum Change {
    /// It is there with other files than before.
    Holds(Box<Files>),
    /// It is gone, or its plugin.toml is.
    Gone {
        /// The plugin's name.
        name: String,
    },
}

/// What a file looks like from outside: another content, or another file, looks otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    place: (u64, u64),
    bytes: u64,
    changed: [(i64, i64); 2],
}

/// plugin.toml and plugin.wasm.
type Looks = [Option<Look>; 2];

/// The plugins folder, as it was told of and as it changes.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    plugins: BTreeMap<String, Seen>,
    /// While it can't be read, plugins go on as they are: they may be on a disk that is about to come back.
    unreadable: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// As it was told of last.
    told: Option<Looks>,
    /// It looks otherwise since then.
    changing: Option<Changing>,
    absent_since: Option<Instant>,
}

#[derive(Debug)]
struct Changing {
    looks: Looks,
    since: Instant,
    /// The content at that time; none where somebody was writing.
    content: Option<[u8; 32]>,
}

/// Looks that were taken.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What has come to rest.
    pub(super) changes: Vec<Change>,
    /// When to look again, unless something happens before.
    pub(super) look_again: Option<Instant>,
}

impl Folder {
    /// A folder of which nothing is known yet.
    #[must_use]
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), plugins: BTreeMap::new(), unreadable: false }
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something is about to be told of.
    #[must_use]
    pub(super) fn is_changing(&self) -> bool {
        self.plugins.values().any(|seen| seen.changing.is_some())
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, now: Instant) -> Found {
        let mut found = Found::default();
        let folders = match plugin_folders(&self.path) {
            Ok(folders) => folders,
            Err(error) => {
                if !self.unreadable {
                    tracing::warn!(folder = %self.path.display(), %error, "the plugins folder can't be read: plugins go on as they are");
                }
                self.unreadable = true;
                return found;
            }
        };
        self.unreadable = false;
        let there = folders.iter().map(|folder| name_of(folder));
        let names: BTreeSet<_> = there.chain(self.plugins.keys().cloned()).collect();
        for name in names {
            let folder = self.path.join(&name);
            let seen = self.plugins.entry(name.clone()).or_default();
            seen.look(&folder, now, &mut found);
            if seen.is_nothing() {
                self.plugins.remove(&name);
            }
        }
        found
    }
}

impl Seen {
    fn look(&mut self, folder: &Path, now: Instant, found: &mut Found) {
        let looks = looks(folder);
        if looks[0].is_none() {
            return self.is_absent(folder, now, found);
        }
        self.absent_since = None;
        if self.told.as_ref() == Some(&looks) {
            self.changing = None;
            return;
        }
        let wait = self.settle(&looks);
        match self.changing.as_mut().filter(|changing| changing.looks == looks) {
            None => {
                let content = read(folder, now).map(|(_, content)| content);
                self.changing = Some(Changing { looks, since: now, content });
                found.again_at(now + SETTLE);
            }
            Some(changing) if now < changing.since + wait => found.again_at(changing.since + wait),
            Some(changing) => match read(folder, changing.since) {
                Some((files, content)) if changing.content == Some(content) && self::looks(folder) == looks => {
                    (self.told, self.changing) = (Some(looks), None);
                    found.changes.push(Change::Holds(Box::new(files)));
                }
                read => {
                    changing.content = read.map(|(_, content)| content);
                    found.again_at(now + SETTLE);
                }
            },
        }
    }

    /// How long these files must stay as they are: a plugin.wasm that was there will be there again.
    fn settle(&self, looks: &Looks) -> Duration {
        let gone = looks[1].is_none() && self.told.as_ref().is_some_and(|told| told[1].is_some());
        if gone { ABSENCE } else { SETTLE }
    }

    fn is_absent(&mut self, folder: &Path, now: Instant, found: &mut Found) {
        self.changing = None;
        if self.told.is_none() {
            return;
        }
        let since = *self.absent_since.get_or_insert(now);
        if now < since + ABSENCE {
            return found.again_at(since + ABSENCE);
        }
        *self = Self::default();
        found.changes.push(Change::Gone { name: name_of(folder) });
    }

    fn is_nothing(&self) -> bool {
        self.told.is_none() && self.changing.is_none() && self.absent_since.is_none()
    }
}

impl Found {
    fn again_at(&mut self, at: Instant) {
        self.look_again = Some(self.look_again.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            changed: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        }
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    ["plugin.toml", "plugin.wasm"].map(|name| folder.join(name))
}

/// Links are followed: what counts is the file at their end.
fn looks(folder: &Path) -> Looks {
    paths(folder).map(|path| fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Look::of(&metadata)))
}

/// Reads both files, and what tells their content from another; none while somebody writes one of them.
fn read(folder: &Path, seen: Instant) -> Option<(Files, [u8; 32])> {
    let [text, wasm] = paths(folder);
    let text = read_file(&text, MOST_TEXT_BYTES)?;
    let wasm = read_file(&wasm, MOST_WASM_BYTES)?;
    let content = content(&text, &wasm);
    let utf8 = |bytes| String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let (text, wasm) = (text.and_then(utf8), wasm.map(Bytes::from));
    Some((Files { folder: folder.to_owned(), text, wasm, seen }, content))
}

fn read_file(path: &Path, most: u64) -> Option<io::Result<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    if is_written(&file) {
        return None;
    }
    let mut bytes = Vec::new();
    Some(file.take(most).read_to_end(&mut bytes).map(|_| bytes))
}

fn content(text: &io::Result<Vec<u8>>, wasm: &io::Result<Vec<u8>>) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for file in [text, wasm] {
        match file {
            Ok(bytes) => {
                digest.update((bytes.len() as u64).to_le_bytes());
                digest.update(bytes);
            }
            Err(error) => digest.update(format!("{:?}", error.kind())),
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
