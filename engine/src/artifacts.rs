//! Artifacts: the plugins, settings and schemas that epochs were made with, kept by digest in the data folder.
//!
//! **Promise.** What an intent names can be had again, byte for byte, whatever has become of the plugins folder.
//! A file is complete or not there: it is written under another name, synced, and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::plugin::Host;
use crate::registry::KeptSchema;
use crate::transform::{BuildError, Kind, Transform, TransformSettings};

/// The artifacts of a data folder.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
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
        Ok(Self { folder })
    }

    /// Keeps what a transform is made of, before its first intent.
    ///
    /// # Errors
    /// The disk.
    pub fn keep(&self, transform: &Transform) -> Result<(), ArtifactError> {
        if let Some(plugin) = transform.plugin() {
            self.write(&format!("{}.wasm", plugin.digest()), plugin.bytes())?;
        }
        let settings = serde_json::to_vec_pretty(transform.settings()).expect("settings are plain data");
        self.write(&format!("{}.json", transform.settings_digest()), &settings)
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
            Kind::Bronze { .. } => None,
            Kind::Plugin => {
                let path = self.folder.join(format!("{plugin_digest}.wasm"));
                Some(fs::read(&path).map_err(|source| ArtifactError::Io { path, source })?.into())
            }
        };
        Ok(Transform::build(host, settings, wasm)?)
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
