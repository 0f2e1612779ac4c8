//! Artifacts: the plugins, settings and schemas that epochs were made with, kept by digest in the data folder.
//!
//! **Promise.** What an intent names can be had again, byte for byte, whatever has become of the plugins folder.
//! A file is complete or not there: it is written under another name, synced, and renamed.
//!
//! Beside them stands which of them made which epochs of a lane ([`Maker`]): for audits, so that rows are compared with
//! what their own plugin makes. Nothing else rests on it, so it is not synced.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::deploy::VersionId;
use crate::journal::Intent;
use crate::offsets::LaneId;
use crate::sink::epoch_column;

use crate::plugin::{Host, Plugin};
use crate::registry::KeptSchema;
use crate::transform::{BuildError, Kind, Transform, TransformSettings};

/// The artifacts of a data folder.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
    /// The last maker of each lane that was noted.
    noted: Arc<Mutex<HashMap<u64, Maker>>>,
    /// Digests of plugins and settings that are known to be there: epochs ask many times a second.
    kept: Arc<Mutex<HashSet<Digests>>>,
}

/// Of a plugin, where there is one, and of settings.
type Digests = (Option<String>, String);

/// From an epoch on, a lane's rows are made by this plugin with these settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The value of `_epoch` of the first of them.
    pub epoch: u64,
    /// Digest of the plugin's bytes; empty for bronze.
    pub plugin_digest: String,
    /// Digest of the settings.
    pub settings_digest: String,
    /// The first offset of that epoch; `None` where it was noted by an engine that did not say.
    #[serde(default)]
    pub offset: Option<i64>,
    /// The clock of that epoch, ms since 1970-01-01 UTC.
    #[serde(default)]
    pub at_ms: Option<i64>,
}

impl Maker {
    /// What it is.
    #[must_use]
    pub fn version(&self) -> VersionId {
        VersionId { plugin_digest: self.plugin_digest.clone(), settings_digest: self.settings_digest.clone() }
    }
}

/// An artifact can't be kept or had again.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The folder can't be read or written.
    #[error("artifact {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Settings of another engine.
    #[error("an open epoch was made by another version of the engine: end it with that version, then change over")]
    OtherVersion,
    /// Damaged settings.
    #[error("artifact {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// It no longer builds: which it did.
    #[error("the plugin of an open epoch can't be loaded again")]
    Build(#[from] BuildError),
}

impl Artifacts {
    /// The artifacts below a data folder, which is made if it is missing.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn open(data: &Path) -> Result<Self, ArtifactError> {
        let folder = data.join("artifacts");
        fs::create_dir_all(&folder).map_err(|source| ArtifactError::Io { path: folder.clone(), source })?;
        Ok(Self { folder, noted: Arc::default(), kept: Arc::default() })
    }

    /// Keeps what a transform is made of, before its first intent.
    ///
    /// # Errors
    /// The disk.
    pub fn keep(&self, transform: &Transform) -> Result<(), ArtifactError> {
        let of = (transform.plugin().map(|plugin| plugin.digest().to_owned()), transform.settings_digest().to_owned());
        if self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(&of) {
            return Ok(());
        }
        if let Some(plugin) = transform.plugin() {
            self.keep_plugin(plugin)?;
        }
        let settings = serde_json::to_vec_pretty(transform.settings()).expect("settings are plain data");
        self.write(&format!("{}.json", transform.settings_digest()), &settings)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(of);
        Ok(())
    }

    /// Keeps a plugin's bytes.
    ///
    /// # Errors
    /// The disk.
    pub fn keep_plugin(&self, plugin: &Plugin) -> Result<(), ArtifactError> {
        self.write(&format!("{}.wasm", plugin.digest()), plugin.bytes())
    }

    /// The data folder that they lie in.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("."))
    }

    /// The transform that made an epoch, from the digests in its intent.
    ///
    /// # Errors
    /// It is not there, or can't be built again.
    pub fn rebuild(&self, host: &Host, plugin_digest: &str, settings_digest: &str) -> Result<Transform, ArtifactError> {
        let path = self.folder.join(format!("{settings_digest}.json"));
        let json = fs::read(&path).map_err(|source| ArtifactError::Io { path: path.clone(), source })?;
        let settings: TransformSettings =
            serde_json::from_slice(&json).map_err(|source| ArtifactError::Damaged { path, source })?;
        if !settings.made_by_this_version() {
            return Err(ArtifactError::OtherVersion);
        }
        let wasm = match settings.kind {
            Kind::Bronze { .. } | Kind::Unclaimed { .. } => None,
            Kind::Plugin => {
                let path = self.folder.join(format!("{plugin_digest}.wasm"));
                Some(fs::read(&path).map_err(|source| ArtifactError::Io { path, source })?.into())
            }
        };
        Ok(Transform::build(host, settings, wasm)?)
    }

    /// Notes who makes an epoch of a lane, if it is another one than before.
    ///
    /// # Errors
    /// The disk.
    pub fn note_maker(&self, lane: &LaneId, intent: &Intent) -> Result<(), ArtifactError> {
        let maker = Maker {
            epoch: epoch_column(intent.generation, intent.epoch),
            plugin_digest: intent.plugin_digest.clone(),
            settings_digest: intent.settings_digest.clone(),
            offset: Some(intent.range.start),
            at_ms: Some(intent.clock_ms),
        };
        let same = |known: &Maker| {
            known.plugin_digest == maker.plugin_digest && known.settings_digest == maker.settings_digest
        };
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&lane.number()).is_some_and(same) || self.makers(lane)?.last().is_some_and(same) {
            noted.insert(lane.number(), maker);
            return Ok(());
        }
        // On a line of its own, also behind one that a crash has cut.
        let line = format!("\n{}\n", serde_json::to_string(&maker).expect("plain data"));
        let path = self.makers_file(lane);
        let written =
            File::options().create(true).append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|source| ArtifactError::Io { path, source })?;
        noted.insert(lane.number(), maker);
        Ok(())
    }

    /// Who made the epochs of a lane, in the order in which they were noted. An epoch's maker is the last one whose first
    /// epoch is not behind it.
    ///
    /// # Errors
    /// The disk.
    pub fn makers(&self, lane: &LaneId) -> Result<Vec<Maker>, ArtifactError> {
        let path = self.makers_file(lane);
        match fs::read_to_string(&path) {
            Ok(lines) => Ok(lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(ArtifactError::Io { path, source }),
        }
    }

    fn makers_file(&self, lane: &LaneId) -> PathBuf {
        self.folder.join(format!("makers-{:016x}.jsonl", lane.number()))
    }

    /// Keeps a schema, and that it is the one of this id in this registry.
    ///
    /// # Errors
    /// The disk.
    pub fn keep_schema(&self, registry: &str, id: u32, schema: &KeptSchema) -> Result<(), ArtifactError> {
        let digest = schema.digest();
        self.write(&format!("{digest}.schema.json"), &schema.to_json())?;
        self.write(&index_name(registry, id), digest.as_bytes())
    }

    /// The schema that was kept for an id of a registry, with its digest.
    ///
    /// # Errors
    /// The disk, or a damaged file.
    pub fn kept_schema(&self, registry: &str, id: u32) -> Result<Option<(String, KeptSchema)>, ArtifactError> {
        let path = self.schema_index(registry, id);
        let digest = match fs::read_to_string(&path) {
            Ok(digest) => digest,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ArtifactError::Io { path, source }),
        };
        let schema = self.schema(&digest)?;
        Ok(Some((digest, schema)))
    }

    /// A schema, from its digest.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn schema(&self, digest: &str) -> Result<KeptSchema, ArtifactError> {
        let path = self.folder.join(format!("{digest}.schema.json"));
        let json = fs::read(&path).map_err(|source| ArtifactError::Io { path: path.clone(), source })?;
        serde_json::from_slice(&json).map_err(|source| ArtifactError::Damaged { path, source })
    }

    /// The file that says which schema an id of a registry stands for.
    #[must_use]
    pub fn schema_index(&self, registry: &str, id: u32) -> PathBuf {
        self.folder.join(index_name(registry, id))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ArtifactError> {
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        // Lanes that share a transform may all be here at a time: each writes a file of its own, the last rename wins, and
        // all of them have the same content.
        let written = (|| {
            let mut partial = NamedTempFile::new_in(&self.folder)?;
            partial.write_all(bytes)?;
            partial.as_file().sync_all()?;
            partial.persist(&path)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|source| ArtifactError::Io { path, source })
    }
}

fn index_name(registry: &str, id: u32) -> String {
    format!("registry-{registry}-{id}")
}
