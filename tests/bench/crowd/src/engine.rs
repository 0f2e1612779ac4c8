//! The engine as a process: what it costs, and how it stands.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Failure, Parts, wait};

/// A running engine, which ends with its value.
pub(crate) struct Engine {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
    began: Instant,
}

impl Engine {
    /// Starts it over a folder with `plugins`, with these settings besides.
    pub(crate) fn start(parts: &Parts, folder: &Path) -> Result<Self, Failure> {
        let log = folder.join("engine.log");
        let mut command = Command::new("nice");
        command
            .args(["-n", "10"])
            .arg(&parts.engine)
            .arg("--plugins")
            .arg(folder.join("plugins"))
            .arg("--data-dir")
            .arg(folder.join("data"));
        command.args(["--kafka", &parts.kafka, "--clickhouse", &parts.clickhouse, "--database", "crowd"]);
        command.args(["--listen", &parts.listen]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let url = format!("http://{}", parts.listen);
        Ok(Self { child: command.spawn()?, url, log, began: Instant::now() })
    }

    /// Waits until so many lanes run; gives the time since the start.
    pub(crate) fn until_running(&mut self, lanes: usize) -> Result<Duration, Failure> {
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let (url, child, log) = (format!("{}/health", self.url), &mut self.child, &self.log);
        wait(&format!("{lanes} lanes"), || {
            if let Some(status) = child.try_wait()? {
                let said = fs::read_to_string(log)?;
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(format!("the engine ended with {status}:\n{}", last.join("\n")).into());
            }
            let Ok(answer) = client.get(&url).send().and_then(reqwest::blocking::Response::text) else {
                return Ok(false);
            };
            let health: Value = serde_json::from_str(&answer)?;
            let running = |lane: &&Value| lane["state"] == "running";
            Ok(health["lanes"].as_array().is_some_and(|all| all.iter().filter(running).count() >= lanes))
        })?;
        Ok(self.began.elapsed())
    }

    /// CPU time of all its threads so far, to 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything; the fields after it are proc(5)'s third and following ones.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory now and at most, in MiB; and its threads.
    pub(crate) fn memory_and_threads(&self) -> Result<(f64, f64, f64), Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let of = |name| number(name).ok_or_else(|| format!("no {name} in /proc/PID/status"));
        Ok((of("VmRSS:")? / 1024.0, of("VmHWM:")? / 1024.0, of("Threads:")?))
    }

    /// As Ctrl-C does.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the engine ended with {status}").into()) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended
        drop(self.child.wait());
    }
}
