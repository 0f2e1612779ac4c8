//! The engine, as its users run it: a process with arguments, signals, an exit code and an HTTP port.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use engine::crash_point::CrashPoint;
use serde_json::Value;
use tempfile::TempDir;

pub use crate::process::Signal;

use crate::metrics::Metrics;
use crate::place;
use crate::process::{Ending, Process};
use crate::wait::wait_for;

/// Counter: messages that became rows and are committed. A process counts from its own start.
pub const ROWS_IN: &str = "engine_rows_in_total";
/// Counter: failed attempts to insert, each of which was or will be repeated.
pub const INSERT_FAILURES: &str = "engine_insert_failures_total";

const START: Duration = Duration::from_secs(60);

/// The engine's program: `$TEST_ENGINE`, else built now from the sources that lie here, in this profile, so that no test
/// ever runs yesterday's.
///
/// # Panics
/// When it can't be built.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| env::var_os("TEST_ENGINE").map_or_else(build, PathBuf::from));
    &PROGRAM
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("path of the test"); // TARGET/PROFILE/deps/NAME
    let folder = test.parent().and_then(Path::parent).expect("tests are built below the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(place::repository()).args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "engine",
        "--profile",
        profile,
    ]);
    let target = folder.parent().expect("the profile's folder lies in the target folder");
    command.arg("--target-dir").arg(target);
    assert!(command.status().expect("cargo runs").success(), "the engine does not build");
    folder.join("engine")
}

/// The repository's plugins, built now: the folder for `--plugins`.
///
/// # Panics
/// When they can't be built.
#[must_use]
pub fn plugins() -> PathBuf {
    static BUILT: LazyLock<()> = LazyLock::new(|| {
        if env::var_os("PLUGINS_BUILT").is_none() {
            let _ = place::script("plugin-sdk/toolchain/build-plugins.sh", &[]);
        }
    });
    LazyLock::force(&BUILT);
    place::repository().join("plugins")
}

/// How an engine is started. It keeps its journal in a folder of its own over all its starts.
#[derive(Debug)]
pub struct Setup {
    /// Folder of plugins.
    pub plugins: PathBuf,
    /// ClickHouse's URL.
    pub clickhouse: String,
    /// The database of its tables.
    pub database: String,
    /// Arguments beside those: the source, a configuration file.
    pub arguments: Vec<String>,
    folder: TempDir,
    port: u16,
}

impl Setup {
    /// An engine with the repository's plugins and an empty journal.
    #[must_use]
    pub fn new(clickhouse: &str, database: &str) -> Self {
        Self {
            plugins: plugins(),
            clickhouse: clickhouse.to_owned(),
            database: database.to_owned(),
            arguments: Vec::new(),
            folder: place::folder("engine"),
            port: place::free_port(),
        }
    }

    /// Gives it a folder of plugins of its own in place of the repository's.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn with_plugins(mut self, plugins: &[Plugin<'_>]) -> Self {
        let own = self.folder.path().join("plugins");
        for plugin in plugins {
            let folder = own.join(plugin.name);
            fs::create_dir_all(&folder).expect("folder of a plugin");
            fs::write(folder.join("plugin.toml"), plugin.settings).expect("plugin.toml");
            if let Some(artifact) = plugin.artifact {
                let file = self.plugins.join(artifact).join("plugin.wasm");
                symlink(file, folder.join("plugin.wasm")).expect("plugin.wasm");
            }
        }
        self.plugins = own;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Where its journal and artifacts are, over all its starts.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the engine. The same setup can be started again after its engine has ended.
    ///
    /// # Panics
    /// When the program can't be started.
    #[must_use]
    pub fn start(&self) -> Engine {
        self.start_with(&[])
    }

    /// Starts the engine with these arguments besides.
    ///
    /// # Panics
    /// When the program can't be started.
    #[must_use]
    pub fn start_with(&self, arguments: &[&str]) -> Engine {
        self.run(&mut self.command(arguments))
    }

    /// Starts the engine, which dies when a lane reaches this step for so many times.
    ///
    /// # Panics
    /// When the program can't be started.
    #[must_use]
    pub fn start_to_die(&self, step: CrashPoint, times: u32) -> Engine {
        self.run(self.command(&[]).env("ENGINE_CRASH_AT", format!("{}:{times}", step.as_str())))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        // Whoever runs the tests may have settings of an engine of their own.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ENGINE_")) {
            command.env_remove(name);
        }
        command.arg("--plugins").arg(&self.plugins);
        command.args(["--clickhouse", &self.clickhouse, "--database", &self.database, "--listen", &self.listen()]);
        command.arg("--data-dir").arg(self.data_dir()).args(&self.arguments).args(arguments);
        command
    }

    /// Runs another command of the program with this setup's settings to its end: exit code and all that it said. `dies`
    /// lets it die as [`Setup::start_to_die`] does.
    ///
    /// # Panics
    /// When the program can't be started.
    #[must_use]
    pub fn ask(&self, command: &[&str], dies: Option<(CrashPoint, u32)>) -> (Option<i32>, String) {
        let mut asked = Command::new(program());
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ENGINE_")) {
            asked.env_remove(name);
        }
        if let Some((step, times)) = dies {
            asked.env("ENGINE_CRASH_AT", format!("{}:{times}", step.as_str()));
        }
        asked.args(command).arg("--plugins").arg(&self.plugins).arg("--data-dir").arg(self.data_dir());
        asked.args(["--clickhouse", &self.clickhouse, "--database", &self.database]).args(&self.arguments);
        let output = asked.output().expect("the program runs");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{command:?}: {}\n{}", output.status, words.chars().take(4000).collect::<String>());
        (output.status.code(), words)
    }

    /// Where its engines listen.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen())
    }

    fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn run(&self, command: &mut Command) -> Engine {
        let process = Process::start("engine", command, &self.folder.path().join("engine.log"), Ending::Common);
        Engine { process, url: self.url() }
    }

    /// Makes its data folder a copy of this one's, as a restored backup or a second container has it.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn copy_data_of(&self, other: &Self) {
        let (from, to) = (other.data_dir(), self.data_dir());
        let status = Command::new("cp").args(["-a", "-T", "--"]).arg(&from).arg(&to).status();
        assert!(status.expect("cp runs").success(), "{} can't be copied", from.display());
    }
}

/// A plugin as a deployment has it.
#[derive(Clone, Copy, Debug)]
pub struct Plugin<'a> {
    /// Its folder.
    pub name: &'a str,
    /// The content of `plugin.toml`.
    pub settings: &'a str,
    /// Which of the repository's plugins it runs; none for bronze.
    pub artifact: Option<&'a str>,
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    process: Process,
    url: String,
}

impl Engine {
    /// Waits until it listens.
    ///
    /// # Panics
    /// When it does not, or ends.
    pub fn wait_until_up(&mut self) {
        let url = format!("{}/health", self.url);
        self.process.wait_until_up(START, || reqwest::blocking::get(&url).is_ok());
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET /metrics`. An error where it does not listen (yet, or any more).
    ///
    /// # Errors
    /// What the HTTP client says.
    pub fn metrics(&self) -> reqwest::Result<Metrics> {
        let response = reqwest::blocking::get(format!("{}/metrics", self.url))?.error_for_status()?;
        Ok(Metrics::parse(&response.text()?))
    }

    /// Waits until a counter, summed over all its labels, is at least `least`.
    ///
    /// # Panics
    /// When that takes longer than `bound`, or the engine ends.
    pub fn wait_for_count(&mut self, counter: &str, least: f64, bound: Duration) {
        wait_for(&format!("{counter} to reach {least}"), bound, || {
            let ended = self.process.exited();
            assert!(ended.is_none(), "the engine ended: {ended:?}");
            match self.metrics() {
                Ok(metrics) if metrics.sum(counter, &[]) >= least => Ok(()),
                Ok(metrics) => Err(metrics.sum(counter, &[]).to_string()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// Sends it `SIGTERM` and waits for its end in good order.
    ///
    /// # Panics
    /// When it takes longer than half a minute, or does not exit with 0.
    pub fn terminate(mut self) {
        let status = self.process.stop();
        assert!(status.success(), "after SIGTERM: {status}");
    }

    /// Freezes it, as a machine that swaps or is being moved does.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn wake(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Ends it with `SIGKILL`, wherever it is.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within `bound`.
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        wait_for("end of the engine", bound, || self.process.exited().ok_or_else(|| self.health()))
    }

    /// `GET /health` as text; where it does not answer, why.
    #[must_use]
    pub fn health(&self) -> String {
        let answer = reqwest::blocking::get(format!("{}/health", self.url)).and_then(|response| response.text());
        answer.unwrap_or_else(|error| error.to_string())
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// The last line of a run to the end: counts of everything, as JSON.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn totals(&self) -> Value {
        let output = self.output();
        let line = output.lines().rev().find(|line| line.starts_with('{') && line.contains("\"rows_in\""));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no totals in:\n{output}"))).expect("JSON")
    }

    /// The most memory that it has had, in bytes.
    ///
    /// # Panics
    /// When it does not run any more.
    #[must_use]
    pub fn most_memory(&self) -> usize {
        self.process.most_memory()
    }

    /// CPU time of all its threads so far.
    ///
    /// # Panics
    /// When it does not run any more.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// What it printed, in all its starts.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }
}
