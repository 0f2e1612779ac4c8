//! What a process costs: its CPU time, user and system, of all its threads, as the kernel accounts for it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::Failure;

/// A process that has ended.
pub(crate) struct Ended {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that it had resident, in bytes: as of a fiftieth of a second before its end.
    pub(crate) peak_bytes: u64,
    /// Its standard output.
    pub(crate) output: String,
}

/// Runs a command to its end. A status other than 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Result<Ended, Failure> {
    let shown = format!("{command:?}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("{shown}: {e}"))?;
    let (mut output, mut stdout) = (String::new(), child.stdout.take().ok_or("no standard output")?);
    let (ended, watched) = mpsc::channel::<()>();
    let status = format!("/proc/{}/status", child.id());
    let watching = std::thread::spawn(move || peak_until(&watched, &status));
    stdout.read_to_string(&mut output)?;
    drop(ended);
    let peak_bytes = watching.join().map_err(|_| "the thread that watches memory panicked")?;
    let (status, usage) = wait4(i32::try_from(child.id())?)?;
    if status != 0 {
        return Err(format!("{shown} ended with status {status:#x}:\n{output}").into());
    }
    let cpu = duration(usage.ru_utime)? + duration(usage.ru_stime)?;
    Ok(Ended { cpu, peak_bytes, output })
}

/// How often a process is asked for its greatest memory, which only grows.
const WATCH: Duration = Duration::from_millis(20);

/// The most memory that a process has had, until it closes its output. Not by `ru_maxrss`, which begins at what the process
/// had that started it.
fn peak_until(ended: &mpsc::Receiver<()>, status: &str) -> u64 {
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(status).unwrap_or_default();
        let kib =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        peak = kib.map_or(peak, |kib: u64| peak.max(kib * 1024));
        if ended.recv_timeout(WATCH) != Err(mpsc::RecvTimeoutError::Timeout) {
            return peak;
        }
    }
}

/// The wait status of a child and what it used. `std` waits without asking for the latter.
fn wait4(pid: i32) -> Result<(i32, libc::rusage), Failure> {
    let mut status = 0;
    // SAFETY: `rusage` is a struct of integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4(2) writes.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited == pid { Ok((status, usage)) } else { Err(std::io::Error::last_os_error().into()) }
}

fn duration(time: libc::timeval) -> Result<Duration, Failure> {
    Ok(Duration::from_secs(u64::try_from(time.tv_sec)?) + Duration::from_micros(u64::try_from(time.tv_usec)?))
}

/// CPU time that a running process has used so far, from `/proc`: for the server, in steps of 10 ms.
pub(crate) fn cpu_so_far(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; the fields after it are proc(5)'s third and following ones.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
