//! The child: bytes of an artifact from standard input, code or a refusal to standard output.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use wasmtime::{Config, Engine};

use super::confine;
use crate::plugin::LoadError;
use crate::plugin::compile::compile;
use crate::plugin::host::{config, without_address_space};

/// Before code.
pub(super) const CODE: &[u8; 4] = b"code";
/// Before a refusal, as JSON.
pub(super) const REFUSED: &[u8; 4] = b"nope";

/// Arguments of the hidden command.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompileChildArgs {
    /// Most bytes of functions.
    #[arg(long)]
    pub code_bytes: usize,
    /// For an engine without address space for a pool.
    #[arg(long)]
    pub moving: bool,
    /// Most CPU time, s.
    #[arg(long)]
    pub cpu_s: u64,
    /// Most address space, bytes.
    #[arg(long)]
    pub memory_bytes: u64,
}

/// Compiles one artifact, and ends.
#[must_use]
pub fn compile_child(args: &CompileChildArgs) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &CompileChildArgs) -> io::Result<()> {
    confine::limit(args.cpu_s, args.memory_bytes)?;
    let mut config: Config = config();
    config.parallel_compilation(false);
    if args.moving {
        without_address_space(&mut config);
    }
    let engine = Engine::new(&config).map_err(|error| io::Error::other(format!("{error:#}")))?;
    confine::forbid_system_calls()?;
    // From here on nothing can be opened, started or reached, and the first of the plugin's bytes is read.
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let mut out = io::stdout().lock();
    match compile(&engine, &bytes, args.code_bytes) {
        Ok(code) => {
            out.write_all(CODE)?;
            out.write_all(&code)?;
        }
        Err(refused) => {
            out.write_all(REFUSED)?;
            out.write_all(&json(&refused)?)?;
        }
    }
    out.flush()
}

fn json(refused: &LoadError) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(refused)?)
}
