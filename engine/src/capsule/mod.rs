//! Crash capsules: what a plugin was doing when it trapped, ran too long or broke a limit, kept in a file, so that it can be
//! done again elsewhere.
//!
//! **Promise.** A capsule holds all that the failed call depends on: the calls of its instance from the beginning, the
//! batches as the plugin saw them, the state that they touched, parameters, clock and watermark. Replayed with the same
//! bytes it fails the same way. Columns, parameters and state that the rules name are not in it, only how long they were.
//! A tenant's plugin has at most so many files, none above [`MOST_BYTES`], readable by the engine's user alone.
//! **Assumed.** Whoever turns capsules on may see what they hold. A plugin's own words, in panics and errors, are kept.
//! **After a crash** a file is complete or not there. Nothing rests on it.

mod file;
mod recorder;
mod redact;
mod replay;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::artifacts::Artifacts;
use crate::disposition::in_words;
use crate::offsets::LaneId;
use crate::plugin::{Description, Limits, Plugin};
use crate::state::{Due, OnExpire, StateTable};

pub use file::ReadError;
pub(crate) use recorder::Recorder;
pub use replay::{Outcome, ReplayError, Replayed, replay};

/// Largest capsule that is kept: the batches of an epoch, mostly.
pub const MOST_BYTES: usize = 64 << 20;
/// Most files of a plugin.
pub const MOST_FILES: usize = 100;

/// What is kept, and what is left out: `[capsule]` in plugin.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many files of the plugin; the oldest go first.
    pub keep: usize,
    /// Columns of its input by name, `parameters.NAME`, and `state`.
    pub redact: Vec<String>,
}

impl Rules {
    /// What the rules name and the plugin does not have: a slip here would be a leak.
    #[must_use]
    pub fn unknown(&self, description: &Description) -> Vec<String> {
        let known = |name: &String| {
            name == STATE
                || description.input.fields().find(name).is_some()
                || parameter_of(name).is_some_and(|name| description.parameters.iter().any(|it| it.name == name))
        };
        self.redact.iter().filter(|name| !known(name)).cloned().collect()
    }
}

/// The word for all of the state.
const STATE: &str = "state";

fn parameter_of(name: &str) -> Option<&str> {
    name.strip_prefix("parameters.")
}

/// What a call was given.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Rows, to `process`.
    Rows(RecordBatch),
    /// Entries that had expired, to `expire`.
    Expired(Due),
}

impl Seen {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.num_rows(),
            Self::Expired(due) => due.len(),
        }
    }
}

/// A capsule.
#[derive(Clone, Debug)]
pub struct Capsule {
    /// What it is about.
    pub about: About,
    /// The calls of the instance, in order; the last one failed. None: its start did.
    pub calls: Vec<Seen>,
    /// Entries that the calls touched, as they were before: table, key, value and expiry.
    pub state: Vec<Entry>,
}

/// An entry of the state: table, key, and value with expiry; no value: there was none.
pub type Entry = (usize, Vec<u8>, Option<(Vec<u8>, i64)>);

/// Everything of a capsule but its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The engine that wrote it.
    pub engine: String,
    /// The lane.
    pub lane: LaneId,
    /// Its generation.
    pub generation: u16,
    /// The epoch.
    pub epoch: u64,
    /// Its clock, ms since 1970-01-01 UTC.
    pub clock_ms: i64,
    /// Its watermark, likewise.
    pub watermark_ms: Option<i64>,
    /// SHA-256 of the plugin's bytes, in hex.
    pub plugin_digest: String,
    /// The plugin's own name and version.
    pub plugin: String,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
    /// Its limits.
    pub limits: KeptLimits,
    /// What the failed call might take, ms: less than others where it had to hurry.
    pub call_ms: u64,
    /// Tables of its state: name, and whether it is called with what expires.
    pub tables: Vec<(String, bool)>,
    /// The fault's word.
    pub code: String,
    /// The fault in words.
    pub message: String,
    /// The guest's functions at the fault, innermost first.
    pub frames: Vec<String>,
    /// Offsets of the failed call's rows.
    pub offsets: Vec<i64>,
    /// Digest of the answer of each call that succeeded.
    pub answers: Vec<String>,
    /// Everything that the failed call depends on is here.
    pub complete: bool,
    /// What was left out by rule.
    pub redacted: Vec<String>,
}

/// [`Limits`], as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLimits {
    /// Most bytes of linear memory.
    pub memory_bytes: usize,
    /// Longest time of one call, ms.
    pub call_ms: u64,
    /// Most bytes that one call may give out.
    pub output_bytes: usize,
}

impl From<Limits> for KeptLimits {
    fn from(Limits { memory_bytes, call_ms, output_bytes }: Limits) -> Self {
        Self { memory_bytes, call_ms, output_bytes }
    }
}

impl From<KeptLimits> for Limits {
    fn from(KeptLimits { memory_bytes, call_ms, output_bytes }: KeptLimits) -> Self {
        Self { memory_bytes, call_ms, output_bytes }
    }
}

impl About {
    /// Tables of its state, as a plugin describes them.
    #[must_use]
    pub fn state_tables(&self) -> Vec<StateTable> {
        let on_expire = |calls: bool| if calls { OnExpire::Call } else { OnExpire::Drop };
        self.tables
            .iter()
            .map(|(name, calls)| StateTable { name: name.clone(), on_expire: on_expire(*calls) })
            .collect()
    }
}

impl Capsule {
    /// Reads one.
    ///
    /// # Errors
    /// The file can't be read, or is none.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        file::read(&fs::read(path)?)
    }
}

/// Where the capsules of a lane go, and by which rules.
#[derive(Clone, Debug)]
pub struct Capsules {
    artifacts: Artifacts,
    rules: Arc<Rules>,
    lane: LaneId,
}

impl Capsules {
    /// Those of a lane, beside the artifacts of a data folder.
    #[must_use]
    pub fn new(artifacts: Artifacts, rules: Rules, lane: LaneId) -> Self {
        Self { artifacts, rules: Arc::new(rules), lane }
    }

    /// Keeps a capsule, and the plugin that it is of. That it can't be kept is said and changes nothing.
    pub(crate) fn keep(&self, plugin: &Plugin, capsule: Capsule) {
        let (lane, epoch) = (self.lane.clone(), capsule.about.epoch);
        match self.write(plugin, capsule) {
            Ok(path) => {
                tracing::warn!(lane = %lane, epoch, file = %path.display(), "a crash capsule: engine capsule show")
            }
            Err(error) => tracing::warn!(lane = %lane, epoch, error = %in_words(&error), "no crash capsule is kept"),
        }
    }

    fn write(&self, plugin: &Plugin, capsule: Capsule) -> io::Result<PathBuf> {
        let unknown = self.rules.unknown(plugin.description());
        if !unknown.is_empty() {
            return Err(io::Error::other(format!(
                "capsule.redact names what the plugin does not have: {}",
                unknown.join(", ")
            )));
        }
        let name = format!(
            "{:013}-{:016x}-{}-{}.capsule",
            capsule.about.clock_ms.max(0),
            self.lane.number(),
            capsule.about.epoch,
            capsule.about.offsets.first().copied().unwrap_or(0)
        );
        let bytes = file::bytes(&redact::redacted(capsule, &self.rules, plugin.description()))?;
        self.artifacts.keep_plugin(plugin).map_err(io::Error::other)?;
        let folder = self.folder();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        make_room(&folder, self.rules.keep)?;
        let partial = NamedTempFile::new_in(&folder)?; // 0600
        io::Write::write_all(&mut partial.as_file(), &bytes)?;
        let path = folder.join(name);
        partial.persist(&path)?;
        Ok(path)
    }

    fn folder(&self) -> PathBuf {
        folder(self.artifacts.data()).join(&self.lane.tenant).join(&self.lane.plugin)
    }
}

/// All capsules of a data folder, by tenant and plugin.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("capsules")
}

/// Files of a folder, the oldest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Removes the oldest, so that there is room for one more.
fn make_room(folder: &Path, keep: usize) -> io::Result<()> {
    let files = files(folder)?;
    let over = (files.len() + 1).saturating_sub(keep.max(1));
    files.iter().take(over).try_for_each(fs::remove_file)
}

/// All capsules below a data folder, the oldest of each plugin first.
///
/// # Errors
/// A folder can't be read.
pub fn list(data: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = folder(data);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for tenant in files(&folder)? {
        for plugin in files(&tenant)? {
            all.extend(files(&plugin)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "capsule")));
        }
    }
    Ok(all)
}
