//! Who compiles plugins: this process, or a child that it starts for each of them.
//!
//! **Promise.** Of the child: whatever an artifact makes its compiler do, the engine gets the code or a refusal in words,
//! within [`ChildLimits`]. The child has no settings, files, network or secrets of the engine's, and goes first when memory
//! is short. Both ways give the same code: what compiles is [`super::compile::compile`].
//! **Assumed.** The program that the child runs is this engine's own, and the compiler writes sound code of what it
//! accepts: where it runs does not change that.
//! **After a crash** of the engine the child is killed by the system.

mod child;
mod confine;
mod parent;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::Engine;

pub use child::{CompileChildArgs, compile_child};

use super::compile::compile;
use super::{HostSettings, LoadError};

/// Whether this process runs the engine's own program, which is a compiler if it is told to.
static IS_ENGINE: AtomicBool = AtomicBool::new(false);

/// Who compiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// This process: for the author's own plugins, and for tests.
    #[default]
    Here,
    /// A child for each artifact.
    Child {
        /// The engine's program.
        program: PathBuf,
        /// What the child may take.
        limits: ChildLimits,
    },
}

/// What a child may take to compile one artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildLimits {
    /// CPU time, s.
    pub cpu_s: u64,
    /// Address space, bytes.
    pub memory_bytes: u64,
    /// From start to end, however busy the machine is.
    pub wall: Duration,
    /// Most code that is taken from it, bytes.
    pub code_bytes: usize,
}

impl Default for ChildLimits {
    /// The largest artifact that is let in, 16 MiB of code, takes some 20 s and 1 GiB; its code has some 50 MiB.
    fn default() -> Self {
        Self { cpu_s: 60, memory_bytes: 2 << 30, wall: Duration::from_secs(300), code_bytes: 256 << 20 }
    }
}

impl Compiler {
    /// Says that this process runs the engine's own program: [`Self::of_this_program`] may start it again.
    pub fn this_is_the_engine() {
        IS_ENGINE.store(true, Ordering::Relaxed);
    }

    /// A child where the program is the engine's; this process where it only uses the engine's library.
    #[must_use]
    pub fn of_this_program() -> Self {
        if IS_ENGINE.load(Ordering::Relaxed) {
            // Not by its name: another version may lie under it by now.
            Self::Child { program: PathBuf::from("/proc/self/exe"), limits: ChildLimits::default() }
        } else {
            Self::Here
        }
    }

    /// The code of an artifact, for this engine.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        moving: bool,
        settings: HostSettings,
        bytes: &[u8],
    ) -> Result<Vec<u8>, LoadError> {
        match self {
            Self::Here => compile(engine, bytes, settings.code_bytes),
            Self::Child { program, limits } => {
                let args = CompileChildArgs {
                    code_bytes: settings.code_bytes,
                    moving,
                    cpu_s: limits.cpu_s,
                    memory_bytes: limits.memory_bytes,
                };
                parent::compile(program, &args, limits, bytes)
            }
        }
    }
}
