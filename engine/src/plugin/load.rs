//! From bytes to a plugin: refuse what is not one, compile, ask what it is.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower};

use super::compile::refuse_foreign;
use super::contract::{self, Version, v0_2, v0_3};
use super::emit::OutputPlan;
use super::guest_log::{Author, LINES_PER_S, LogBudget};
use super::host::{Host, Shared};
use super::instance::{Cell, Instance};
use super::sandbox::Sandbox;
use super::{Context, Description, Fault, Limits, describe};

/// Limits of `describe`, which does nothing but build a small value.
/// 16 MiB of description are a hundred times what the largest that is accepted needs: so it is refused in words.
const DESCRIBE: Limits = Limits { memory_bytes: 64 << 20, call_ms: 2_000, output_bytes: 16 << 20 };

/// Why bytes are not a plugin. Nothing of it was run, unless it says so.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum LoadError {
    /// Larger than [`super::HostSettings::artifact_bytes`].
    #[error("the artifact has {bytes} bytes, at most {limit_bytes} are loaded")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// More code than [`super::HostSettings::code_bytes`].
    #[error(
        "it has {} MiB of code, at most {} MiB are compiled: is it built without optimisation, or data compiled as code?",
        bytes >> 20, limit_bytes >> 20
    )]
    TooMuchCode {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// More of something than a plugin needs.
    #[error("it has {found} {what}, at most {most} are let in")]
    TooMany {
        /// Of what.
        what: String,
        /// How many or how much.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// A part of WebAssembly that the contract has no use for.
    #[error("it has {what}, which no plugin needs: build it with the engine's SDK")]
    NotAllowed {
        /// What.
        what: String,
    },
    /// It was compiled in a child, which came to one of its limits.
    #[error("compiling it would take {what}")]
    TooCostly {
        /// The limit.
        what: String,
    },
    /// The engine could not have it compiled. Not the plugin's doing as far as anybody knows: it may be loaded later.
    #[error("there is no compiler for it: {why}")]
    NoCompiler {
        /// What is missing.
        why: String,
    },
    /// Something else than WebAssembly.
    #[error("this is no WebAssembly binary: it does not begin with the bytes 00 61 73 6d")]
    NotWasm,
    /// Damaged, truncated, or built with features that the sandbox does not have.
    #[error("the WebAssembly binary is damaged, truncated, or uses what the sandbox does not allow: {message}")]
    Invalid {
        /// What is wrong, and where.
        message: String,
    },
    /// It wants what no plugin gets.
    #[error(
        "it imports what a plugin does not get: {}. A plugin has no files, clock, network or randomness: build for \
         wasm32-unknown-unknown, and without crates that need them", names.join(", ")
    )]
    Imports {
        /// All of them.
        names: Vec<String>,
    },
    /// Built against a version of the contract that this engine does not have.
    #[error(
        "it was built for version {found} of the plugin contract, this engine loads {supported}: {}",
        if *newer { "take a newer engine, or build the plugin with the SDK of this one" }
        else { "build it again with the SDK of this engine" }
    )]
    Version {
        /// Its version.
        found: String,
        /// Ours, in words.
        supported: String,
        /// Whether it is newer than ours.
        newer: bool,
    },
    /// A WebAssembly binary, but not a plugin.
    #[error("it is not a plugin of this engine: {message}")]
    NotAPlugin {
        /// What is missing.
        message: String,
    },
    /// `describe` failed in the sandbox.
    #[error("it could not describe itself")]
    #[serde(skip)]
    Describe(#[source] Fault),
    /// What it says of itself can't be.
    #[error("its description is wrong:\n  {}", problems.join("\n  "))]
    Description {
        /// One line for each problem.
        problems: Vec<String>,
    },
}

impl LoadError {
    /// Whether the same bytes may be loaded later: what stood against them was the engine's.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::NoCompiler { .. } | Self::Describe(Fault::Engine { .. }))
    }
}

/// A plugin: compiled, described and checked. Cheap to clone. Those that are loaded from the same bytes share their code,
/// and nothing that runs.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
    compiling: Compiling,
    log: Arc<LogBudget>,
}

/// How a plugin came to its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiling {
    /// It was compiled before, and kept: on the disk, or because another plugin of the same bytes is loaded.
    pub cached: bool,
    /// How long it took to have it.
    pub took: Duration,
}

pub(super) struct Inner {
    bytes: Bytes,
    digest: String,
    description: Description,
    outputs: Arc<[OutputPlan]>,
    exports: Exports,
}

/// What can be called, shared by all instances.
pub(super) struct Exports {
    pub(super) pre: InstancePre<Sandbox>,
    describe: ComponentExportIndex,
    start: ComponentExportIndex,
    process: ComponentExportIndex,
    /// From version 0.3 on.
    expire: Option<ComponentExportIndex>,
    version: Version,
    /// Keeps the clock of the deadlines running for as long as there is something to stop.
    pub(super) shared: Arc<Shared>,
}

impl Host {
    /// Loads a plugin: a component, or a core module with the contract's metadata, as `cargo build --target
    /// wasm32-unknown-unknown` makes it. Compiles for seconds where the artifact is large: not for an async worker.
    ///
    /// # Errors
    /// Says what is wrong with the bytes; of a wrong description, everything.
    pub fn load(&self, bytes: impl Into<Bytes>) -> Result<Plugin, LoadError> {
        let bytes = bytes.into();
        let limit_bytes = self.shared.settings.artifact_bytes;
        if bytes.len() > limit_bytes {
            return Err(LoadError::TooLarge { bytes: bytes.len(), limit_bytes });
        }
        let digest = hex(&Sha256::digest(&bytes));
        let began = Instant::now();
        let mut cached = true;
        let loaded = self.shared.loaded.get_or_load(&digest, || {
            let inner;
            (inner, cached) = self.load_anew(bytes, &digest)?;
            Ok(inner)
        });
        let inner = loaded?;
        let log = Arc::new(LogBudget::new(Author::unnamed(&inner.description.name), LINES_PER_S));
        Ok(Plugin { inner, compiling: Compiling { cached, took: began.elapsed() }, log })
    }

    /// Loads what is not loaded. Says whether its code was kept.
    fn load_anew(&self, bytes: Bytes, digest: &str) -> Result<(Inner, bool), LoadError> {
        let (component, cached) = self.code(&bytes, digest)?;
        let version = contract_of(&self.shared.engine, &component)?;
        let exports = Exports::new(self, &component, version)?;
        let description = exports.describe(digest)?;
        let outputs = description.outputs.iter().map(OutputPlan::new).collect();
        Ok((Inner { outputs, bytes, digest: digest.to_owned(), description, exports }, cached))
    }

    /// The code of an artifact, and whether it was kept from an earlier time.
    fn code(&self, bytes: &[u8], digest: &str) -> Result<(Component, bool), LoadError> {
        let Shared { engine, settings, compiler, compiled, moving, .. } = &*self.shared;
        if let Some(component) = compiled.as_ref().and_then(|compiled| compiled.find(engine, digest)) {
            return Ok((component, true));
        }
        let code = compiler.compile(engine, *moving, *settings, bytes)?;
        // SAFETY: it is what the compiler made, in this process or in the child that was started for nothing else, whose
        // answer came through a pipe that nobody but the two has.
        let component = unsafe { Component::deserialize(engine, &code) };
        // What fits no slot of the pool is told here.
        let component = component.map_err(|error| LoadError::Invalid { message: format!("{error:#}") })?;
        if let Some(compiled) = compiled {
            compiled.keep(engine, digest, &code);
        }
        Ok((component, false))
    }
}

impl Plugin {
    /// SHA-256 of the artifact, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// How it came to its code.
    #[must_use]
    pub fn compiling(&self) -> Compiling {
        self.compiling
    }

    /// The same plugin, whose log lines are those of a tenant's plugin of this name: the name that it gives itself is its
    /// author's choice, who may choose another's.
    #[must_use]
    pub fn of(self, tenant: &str, name: &str) -> Self {
        Self { log: Arc::new(LogBudget::new(Author::new(tenant, name), LINES_PER_S)), ..self }
    }

    /// The same plugin, whose instances write so many log lines in a second in the long run.
    #[must_use]
    pub fn logging(self, lines_per_s: u32) -> Self {
        Self { log: Arc::new(LogBudget::new(self.log.author().clone(), lines_per_s)), ..self }
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// The artifact, as it was loaded.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.inner.bytes
    }

    /// A fresh instance, started with its context: it has seen nothing and shares nothing.
    ///
    /// # Errors
    /// [`Fault::Failed`]: the plugin refuses its parameters. Others: `start` did what no call may.
    pub fn instance(&self, context: &Context, limits: Limits) -> Result<Instance, Fault> {
        Instance::start(self.clone(), context, limits)
    }

    pub(super) fn exports(&self) -> &Exports {
        &self.inner.exports
    }

    pub(super) fn log(&self) -> &Arc<LogBudget> {
        &self.log
    }

    pub(super) fn outputs(&self) -> &Arc<[OutputPlan]> {
        &self.inner.outputs
    }
}

type Started = (Result<(), String>,);
type Processed = (Result<Vec<contract::Reject>, String>,);
type Expiring<'a> = (u32, v0_3::Texts<'a>, v0_3::Texts<'a>, &'a [i64]);

impl Exports {
    fn new(host: &Host, component: &Component, version: Version) -> Result<Self, LoadError> {
        let mut missing = Vec::new();
        let mut export = |name: &'static str| {
            let index = component.get_export_index(None, name);
            missing.extend(index.is_none().then_some(name));
            index
        };
        let [describe, start, process] = ["describe", "start", "process"].map(&mut export);
        let expire = match version {
            Version::V0_2 => None,
            Version::V0_3 => export("expire"),
        };
        let (Some(describe), Some(start), Some(process), []) = (describe, start, process, &missing[..]) else {
            return Err(LoadError::NotAPlugin { message: format!("it does not export {}", missing.join(", ")) });
        };
        let pre = host.shared.linker.instantiate_pre(component).map_err(|error| other_types(&error))?;
        Ok(Self { pre, describe, start, process, expire, version, shared: host.shared.clone() })
    }

    /// Starts the guest; its own error is its refusal of the parameters.
    pub(super) fn start(&self, cell: &mut Cell, context: &Context) -> Result<Result<(), String>, Fault> {
        let start = func(cell, &self.start)?;
        let Context { parameters, now_ms, watermark_ms } = context;
        let (now_ms, watermark_ms) = (*now_ms, *watermark_ms);
        let (started,) = match self.version {
            Version::V0_2 => cell.call::<_, Started>(start, (v0_2::Context { parameters, now_ms },))?,
            Version::V0_3 => cell.call::<_, Started>(start, (v0_3::Context { parameters, now_ms, watermark_ms },))?,
        };
        Ok(started)
    }

    pub(super) fn process(&self, cell: &mut Cell) -> Result<Func, Fault> {
        func(cell, &self.process)
    }

    pub(super) fn expire(&self, cell: &mut Cell) -> Result<Option<Func>, Fault> {
        self.expire.as_ref().map(|expire| func(cell, expire)).transpose()
    }

    /// Asks the plugin what it is, in an instance of its own.
    fn describe(&self, digest: &str) -> Result<Description, LoadError> {
        let log = Arc::new(LogBudget::new(Author::unnamed(digest), LINES_PER_S));
        let mut cell = Cell::new(self, log, &Arc::from([]), DESCRIBE).map_err(LoadError::Describe)?;
        self.compare_types(&mut cell)?;
        let described = match self.version {
            Version::V0_2 => self.described::<v0_2::Description>(&mut cell)?.into(),
            Version::V0_3 => self.described::<v0_3::Description>(&mut cell)?,
        };
        describe::check(self.version, described).map_err(|problems| LoadError::Description { problems })
    }

    fn described<Of: Lift + 'static>(&self, cell: &mut Cell) -> Result<Of, LoadError> {
        let describe = func(cell, &self.describe).map_err(LoadError::Describe)?;
        describe.typed::<(), (Of,)>(&cell.store).map_err(|error| other_types(&error))?;
        let (described,) = cell.call::<_, (Of,)>(describe, ()).map_err(LoadError::Describe)?;
        Ok(described)
    }

    /// The exports that an instance calls, so that it never meets a function of another type.
    fn compare_types(&self, cell: &mut Cell) -> Result<(), LoadError> {
        match self.version {
            Version::V0_2 => compare_type::<(v0_2::Context<'_>,), Started>(cell, &self.start)?,
            Version::V0_3 => compare_type::<(v0_3::Context<'_>,), Started>(cell, &self.start)?,
        }
        compare_type::<(contract::Batch<'_>,), Processed>(cell, &self.process)?;
        self.expire.as_ref().map_or(Ok(()), |expire| compare_type::<Expiring<'_>, Started>(cell, expire))
    }
}

fn compare_type<Params, Return>(cell: &mut Cell, index: &ComponentExportIndex) -> Result<(), LoadError>
where
    Params: ComponentNamedList + Lower,
    Return: ComponentNamedList + Lift,
{
    // What is no function at all is refused where it is called.
    let Some(func) = cell.instance.get_func(&mut cell.store, index) else { return Ok(()) };
    func.typed::<Params, Return>(&cell.store).map(drop).map_err(|error| other_types(&error))
}

fn func(cell: &mut Cell, index: &ComponentExportIndex) -> Result<Func, Fault> {
    let not_a_function = || Fault::Contract { message: "an export of the contract is not a function".to_owned() };
    cell.instance.get_func(&mut cell.store, index).ok_or_else(not_a_function)
}

fn other_types(error: &wasmtime::Error) -> LoadError {
    LoadError::NotAPlugin { message: format!("its functions have other types than the contract's: {error:#}") }
}

/// The version of the contract that a component is written for, if it imports nothing else.
fn contract_of(engine: &Engine, component: &Component) -> Result<Version, LoadError> {
    let imports = component.component_type();
    let imports: Vec<String> = imports.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let version = refuse_foreign(imports.iter().map(|name| (name.as_str(), name.clone())))?;
    version.ok_or_else(|| LoadError::NotAPlugin { message: "it knows nothing of engine:plugin".to_owned() })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
