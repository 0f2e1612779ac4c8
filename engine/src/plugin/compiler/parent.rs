//! The engine's side of a child: start it, feed it, take its answer, and end it when its time is over.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::ChildLimits;
use super::child::{CODE, CompileChildArgs, REFUSED};
use crate::plugin::LoadError;
use crate::plugin::sandbox::printable;

/// What is kept of the child's last words.
const WORDS_BYTES: u64 = 4 << 10;
/// How often it is looked whether a child is gone that has closed its output.
const LOOK: Duration = Duration::from_millis(1);

/// The code of an artifact, from a child.
pub(super) fn compile(
    program: &Path,
    args: &CompileChildArgs,
    limits: &ChildLimits,
    bytes: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let ended = run(program, args, limits, bytes).map_err(|error| LoadError::NoCompiler { why: error.to_string() })?;
    ended.answer(limits)
}

/// A child at its end.
struct Ended {
    /// What it has written, if it did so in time.
    output: Option<Vec<u8>>,
    words: String,
    status: ExitStatus,
}

fn run(program: &Path, args: &CompileChildArgs, limits: &ChildLimits, bytes: &[u8]) -> io::Result<Ended> {
    let deadline = Instant::now() + limits.wall;
    let mut child = Reaped(command(program, args).spawn()?);
    let no_pipe = || io::Error::other("the child has no pipe");
    let stdin = child.0.stdin.take().ok_or_else(no_pipe)?;
    let stdout = child.0.stdout.take().ok_or_else(no_pipe)?;
    let stderr = child.0.stderr.take().ok_or_else(no_pipe)?;
    let most = limits.code_bytes as u64 + CODE.len() as u64;
    thread::scope(|scope| {
        let feed = || {
            let mut stdin = stdin;
            // A child that ends before it has read everything says why elsewhere.
            drop(stdin.write_all(bytes));
        };
        named(scope, feed)?;
        let output = read(scope, stdout, most + 1)?;
        let words = read(scope, stderr, WORDS_BYTES)?;
        let output = output.recv_timeout(limits.wall).ok();
        let status = child.end_by(if output.is_some() { deadline } else { Instant::now() })?;
        let words = words.recv().unwrap_or_default();
        Ok(Ended { output, words: String::from_utf8_lossy(&words).into_owned(), status })
    })
}

/// The child gets nothing of the engine's environment, which holds passwords, and no folder.
fn command(program: &Path, args: &CompileChildArgs) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", path);
    }
    command
        .arg("compile-child")
        .arg(format!("--code-bytes={}", args.code_bytes))
        .arg(format!("--cpu-s={}", args.cpu_s))
        .arg(format!("--memory-bytes={}", args.memory_bytes))
        .args(args.moving.then_some("--moving"))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn named<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    thread::Builder::new().name("plugin-compile".to_owned()).spawn_scoped(scope, work).map(drop)
}

/// Reads so many bytes at most, in a thread of its own; what comes behind them meets a closed pipe.
fn read<'scope>(
    scope: &'scope Scope<'scope, '_>,
    from: impl Read + Send + 'scope,
    most: u64,
) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver): (Sender<Vec<u8>>, _) = mpsc::channel();
    named(scope, move || {
        let mut bytes = Vec::new();
        drop(from.take(most).read_to_end(&mut bytes));
        drop(sender.send(bytes));
    })?;
    Ok(receiver)
}

/// A child that does not outlive the call that started it.
struct Reaped(Child);

impl Reaped {
    /// Waits for its end until a deadline, and makes it then.
    fn end_by(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.0.kill()?;
                return self.0.wait();
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // It is gone already, or an error comes from elsewhere.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Ended {
    fn answer(mut self, limits: &ChildLimits) -> Result<Vec<u8>, LoadError> {
        let Some(mut output) = self.output.take() else {
            let wall_s = limits.wall.as_secs_f32();
            return Err(LoadError::NoCompiler { why: format!("it has not compiled the plugin within {wall_s} s") });
        };
        if output.len() > limits.code_bytes + CODE.len() {
            let what = format!("more than {} KiB of machine code", limits.code_bytes >> 10);
            return Err(LoadError::TooCostly { what });
        }
        if self.status.success() && output.starts_with(CODE) {
            output.drain(..CODE.len());
            return Ok(output);
        }
        let refused = output.strip_prefix(REFUSED).filter(|_| self.status.success());
        Err(refused.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_else(|| self.death(limits)))
    }

    /// Why a child has died, from how it did and its last words.
    fn death(&self, limits: &ChildLimits) -> LoadError {
        let signal = self.status.signal();
        let says = |text: &str| self.words.contains(text);
        let what = if signal == Some(libc::SIGXCPU) {
            format!("more than {} s of CPU time", limits.cpu_s)
        } else if says("memory allocation of") || says("out of memory") {
            format!("more than {} MiB of memory", limits.memory_bytes >> 20)
        } else if says("has overflowed its stack") {
            "more than the compiler's stack: what nests within what, in code or in types?".to_owned()
        } else if says("panicked at") {
            format!("more than the compiler could: {}", printable(&self.words, 500))
        } else if matches!(signal, Some(libc::SIGKILL | libc::SIGXFSZ)) {
            // Not by this engine: it would have said so.
            "more memory than the system had".to_owned()
        } else if let Some(signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGABRT)) = signal {
            format!("more than the compiler could, which was ended by signal {signal}: {}", printable(&self.words, 500))
        } else {
            let why = format!("it ended with {}: {}", self.status, printable(&self.words, 500));
            return LoadError::NoCompiler { why };
        };
        LoadError::TooCostly { what }
    }
}
