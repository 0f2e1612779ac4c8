//! From files to a version that may run: read, compiled, compared, its tables made ready. Nothing here touches a lane.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::compare::{Compatibility, compare, reads_otherwise};
use super::folder::Files;
use super::version::{Version, VersionId};
use crate::config::{PluginFile, Problems, Tenant, parse_plugin};
use crate::disposition::in_words;
use crate::plan::{Plan, Weight};
use crate::plugin::Host;
use crate::registry::Registry;
use crate::sink::{SinkError, Sinks};
use crate::source::Source;
use crate::transform::{BuildError, Kind, SettingsError, Transform};

/// Why a version is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which; where plugin.toml is wrong, nobody can tell.
    pub version: Option<VersionId>,
    /// In which respect.
    pub cause: Cause,
    /// Everything that is wrong, each with its place.
    pub problems: Problems,
    /// What an operator would have to run.
    pub statement: Option<String>,
}

/// In which respect a version is not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// plugin.toml, by itself or beside what the plugin knows.
    Settings,
    /// Its tenant's tenant.toml.
    Tenant,
    /// There is no plugin.wasm.
    Unbuilt,
    /// plugin.wasm is no plugin.
    Plugin,
    /// The engine could not compile or describe it.
    Engine,
    /// It can't read what is kept.
    State,
    /// It would set every message aside.
    Topics,
    /// It does not fit its tables.
    Tables,
    /// The disk.
    Disk,
}

impl Cause {
    /// The word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Tenant => "tenant",
            Self::Unbuilt => "unbuilt",
            Self::Plugin => "plugin",
            Self::Engine => "engine",
            Self::State => "state",
            Self::Topics => "topics",
            Self::Tables => "tables",
            Self::Disk => "disk",
        }
    }

    /// Whether the same files may be let in later: what stands against them lies elsewhere.
    #[must_use]
    pub fn passes(self) -> bool {
        match self {
            Self::Engine | Self::State | Self::Topics | Self::Tables | Self::Disk => true,
            Self::Settings | Self::Tenant | Self::Unbuilt | Self::Plugin => false,
        }
    }
}

impl Refusal {
    pub(super) fn new(cause: Cause, problems: Problems) -> Self {
        Self { version: None, cause, problems, statement: None }
    }

    pub(super) fn of_folder(cause: Cause, folder: &Path, why: impl Into<String>) -> Self {
        let mut problems = Problems::default();
        problems.of_path(folder, why, None);
        Self::new(cause, problems)
    }

    pub(super) fn of_state(newcomer: &Version, why: String, statement: Option<String>) -> Self {
        Self::of_folder(Cause::State, &newcomer.file.folder, why).of_version(newcomer.id()).with_statement(statement)
    }

    fn with_statement(self, statement: Option<String>) -> Self {
        Self { statement, ..self }
    }

    fn of_version(self, version: &VersionId) -> Self {
        Self { version: Some(version.clone()), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problems)?;
        if let Some(statement) = &self.statement {
            write!(f, "\n  to run: {statement}")?;
        }
        Ok(())
    }
}

/// Reads plugin.toml.
pub(super) fn read(files: &Files, tenant: &Arc<Tenant>) -> Result<PluginFile, Refusal> {
    match &files.text {
        Ok(text) => parse_plugin(&files.folder, text, tenant).map_err(|it| Refusal::new(Cause::Settings, it)),
        Err(error) => {
            let file = files.folder.join("plugin.toml");
            Err(Refusal::of_folder(Cause::Settings, &file, format!("can't be read: {error}")))
        }
    }
}

/// The version that a folder holds; empty digest where there is no plugin.
pub(super) fn id(file: &PluginFile, wasm: &io::Result<Bytes>) -> VersionId {
    let plugin_digest = match (&file.settings.kind, wasm) {
        (Kind::Plugin, Ok(wasm)) => Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect(),
        (Kind::Plugin, Err(_)) | (Kind::Bronze { .. } | Kind::Unclaimed { .. }, _) => String::new(),
    };
    VersionId { plugin_digest, settings_digest: file.settings.digest() }
}

/// Makes a version: compiles for seconds where the code is not kept from before.
///
/// # Errors
/// Everything that is wrong with it.
pub fn build(host: &Host, file: PluginFile, wasm: &io::Result<Bytes>) -> Result<Version, Refusal> {
    let artifact = file.artifact.clone();
    let id = id(&file, wasm);
    let bytes = match (&file.settings.kind, wasm) {
        (Kind::Bronze { .. } | Kind::Unclaimed { .. }, _) => None,
        (Kind::Plugin, Ok(bytes)) => Some(bytes.clone()),
        (Kind::Plugin, Err(error)) => return Err(unreadable(&file, error)),
    };
    if let Some(pinned) = file.sha256.as_ref().filter(|pinned| **pinned != id.plugin_digest) {
        let mut problems = Problems::default();
        let message = format!("its SHA-256 is {}, and plugin.toml lets only {pinned} run", id.plugin_digest);
        let hint = "put the artifact there that was meant; if this one is, set sha256 in plugin.toml to its digest";
        problems.of_path(&artifact, message, Some(hint.to_owned()));
        return Err(Refusal::new(Cause::Plugin, problems).of_version(&id));
    }
    match Transform::build(host, file.settings.clone(), bytes) {
        Ok(transform) => match misnamed(&file, &transform) {
            Some(problems) => Err(Refusal::new(Cause::Settings, problems).of_version(&id)),
            None => Ok(Version::new(file, transform)),
        },
        Err(BuildError::Settings(SettingsError::Misfit { problems: misfits })) => {
            let mut problems = Problems::default();
            misfits.into_iter().for_each(|misfit| problems.add(file.place(&misfit.key), misfit.message, None));
            Err(Refusal::new(Cause::Settings, problems).of_version(&id))
        }
        Err(error @ (BuildError::Settings(SettingsError::NoPlugin) | BuildError::Load(_) | BuildError::Input(_))) => {
            let passes = matches!(&error, BuildError::Load(error) if error.passes());
            let cause = if passes { Cause::Engine } else { Cause::Plugin };
            Err(Refusal::of_folder(cause, &artifact, in_words(&error)).of_version(&id))
        }
    }
}

/// What capsules are to leave out, and the plugin does not have.
fn misnamed(file: &PluginFile, transform: &Transform) -> Option<Problems> {
    let unknown = file.capsule.as_ref()?.unknown(transform.plugin()?.description());
    let mut problems = Problems::default();
    for name in unknown {
        let hint = Some("a column of the plugin's input, parameters.NAME, or state".to_owned());
        problems.add(file.place("capsule.redact"), format!("capsule.redact: the plugin has no {name}"), hint);
    }
    (!problems.0.is_empty()).then_some(problems)
}

fn unreadable(file: &PluginFile, error: &io::Error) -> Refusal {
    let name = file.key();
    let (cause, hint) = if error.kind() != io::ErrorKind::NotFound {
        (Cause::Plugin, None)
    } else if file.folder.join("Cargo.toml").is_file() {
        (Cause::Unbuilt, Some(format!("this project is not built: engine plugin build {name}")))
    } else {
        (Cause::Unbuilt, Some("put the built plugin there: engine plugin build makes it".to_owned()))
    };
    let mut problems = Problems::default();
    problems.of_path(&file.artifact, format!("can't be read: {error}"), hint);
    Refusal::new(cause, problems)
}

/// Where a version would run.
#[derive(Clone)]
pub(super) struct World {
    pub source: Arc<dyn Source>,
    pub sinks: Arc<dyn Sinks>,
    pub registry: Option<Arc<Registry>>,
}

/// How long each step took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    /// From the first sight of a change until it had come to rest, and was read.
    pub read: Duration,
    /// Until there was code, and whether it was compiled for that.
    pub code: Option<(Duration, bool)>,
    /// Comparing, and making tables ready.
    pub prepare: Duration,
}

/// Makes sure that a newcomer fits: beside the version that runs, its topics, and its tables, which are altered where they
/// lack columns. Waits for a server that is away. Says what an operator should know.
pub(super) async fn fit(
    world: &World,
    newcomer: &Version,
    incumbent: Option<(&Version, &[u32])>,
) -> Result<(Vec<String>, Duration), Refusal> {
    let began = Instant::now();
    let of_folder =
        |cause, why: String| Refusal::of_folder(cause, &newcomer.file.folder, why).of_version(newcomer.id());
    let mut notes = Vec::new();
    if let Some((incumbent, kept)) = incumbent {
        match compare(newcomer, incumbent, kept) {
            Compatibility::Same => {}
            Compatibility::Compatible { notes: more } => notes.extend(more),
            Compatibility::Migrates { from, to, and_back, notes: more } => {
                notes.push(migration(from, to, and_back));
                notes.extend(more);
            }
            Compatibility::Refused { why, statement } => {
                return Err(Refusal::of_state(newcomer, why, statement));
            }
        }
    }
    if incumbent.is_none_or(|(incumbent, _)| reads_otherwise(newcomer, incumbent)) {
        let plan =
            Plan::of_topics(&*world.source, world.registry.as_deref(), &newcomer.file, &newcomer.transform).await;
        let (stops, others): (Vec<_>, Vec<_>) =
            plan.findings.into_iter().partition(|finding| finding.weight == Weight::Stops);
        // A first version says so in its dead letters; one that would take over from a sound one is not let in.
        if !stops.is_empty() && incumbent.is_some() {
            let why: Vec<_> = stops.into_iter().map(|finding| finding.message).collect();
            return Err(of_folder(Cause::Topics, why.join("; ")));
        }
        notes.extend(stops.into_iter().chain(others).map(|finding| finding.message));
    }
    let incumbent = incumbent.map(|(incumbent, _)| incumbent);
    let prepared = match world.sinks.of(&newcomer.file.tenant) {
        Ok(sink) => newcomer.prepare_beside(&*sink, incumbent).await,
        Err(error) => Err(error),
    };
    prepared.map_err(|error| {
        if let SinkError::Table { table, mismatch, statement } = error {
            of_folder(Cause::Tables, format!("table {table} does not fit: {mismatch}")).with_statement(statement)
        } else {
            of_folder(Cause::Tables, in_words(&error))
        }
    })?;
    Ok((notes, began.elapsed()))
}

fn migration(from: u32, to: u32, and_back: bool) -> String {
    let back = if and_back {
        "which the version before reads as well"
    } else {
        "which the version before does not read: there is no way back to it once an epoch is committed"
    };
    format!("what it keeps goes from version {from} of the state to {to}, {back}")
}
