//! A ClickHouse server for the demo: the installed `clickhouse` if there is one, else the engine library's launcher.
//!
//! **Promise.** The server listens on free ports of 127.0.0.1, keeps its data in the given folder, and ends with its
//! guard, also when this process is killed: both kinds watch a pipe whose other end only this process holds.
//! **Assumed.** `tests/stack/clickhouse/fetch.sh` has brought the launcher where no `clickhouse` is installed.
//! **After a crash** nothing is left but the folder.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The server's standard error, in its folder.
const LOG: &str = "clickhouse.log";

/// A running server. Dropping it ends the server.
pub struct ClickHouse {
    child: Child,
    http: u16,
    tcp: u16,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// No binary was found.
    #[error(
        "no ClickHouse: there is neither a `clickhouse` binary on PATH nor a launcher at {}. \
         `make demo` fetches one; by hand: tests/stack/clickhouse/fetch.sh",
        launcher.display()
    )]
    Missing {
        /// Where the launcher would be.
        launcher: PathBuf,
    },
    /// It could not be started.
    #[error("ClickHouse could not be started from {}", program.display())]
    Start {
        /// The binary.
        program: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It ended, or does not answer.
    #[error("ClickHouse did not come up: {message}")]
    Silent {
        /// Its last words.
        message: String,
    },
}

impl ClickHouse {
    /// Starts a server with its data and configuration in `folder`.
    pub fn start(folder: &Path) -> Result<Self, ClickHouseError> {
        let (program, installed) = match find_on_path("clickhouse") {
            Some(binary) => (binary, true),
            None => (find_launcher()?, false),
        };
        let started = if installed { start_installed(&program, folder) } else { start_launcher(&program, folder) };
        let (child, ports) = started.map_err(|source| ClickHouseError::Start { program, source })?;
        let (http, tcp) = ports.unwrap_or_default();
        // The guard exists from here on: a server that does not come up is ended like any other.
        let mut server = Self { child, http, tcp };
        server.wait_until_ready(ports.is_some()).map_err(|words| {
            let message = format!("{words}{}", last_words(folder));
            ClickHouseError::Silent { message }
        })?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, ports_known: bool) -> Result<(), String> {
        if ports_known {
            return wait_for_port(&mut self.child, self.http);
        }
        (self.http, self.tcp) = read_ports(&mut self.child)?;
        Ok(())
    }

    /// URL of the HTTP interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Port of the native protocol, on 127.0.0.1.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.tcp
    }

    /// Process id of the server, or of the shell that guards it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Nothing to report to: the server either is gone or cannot be ended by us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn find_launcher() -> Result<PathBuf, ClickHouseError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let launcher = variable("CLICKHOUSE_SERVE").unwrap_or_else(|| {
        let home = || variable("HOME").unwrap_or_default().join(".cache/clickhouse");
        variable("CLICKHOUSE_HOME").unwrap_or_else(home).join("clickhouse-serve")
    });
    if launcher.is_file() { Ok(launcher) } else { Err(ClickHouseError::Missing { launcher }) }
}

type Started = io::Result<(Child, Option<(u16, u16)>)>;

/// The launcher takes free ports itself and prints them.
fn start_launcher(program: &Path, folder: &Path) -> Started {
    let config = write_config(folder, None)?;
    let mut command = Command::new(program);
    command.arg("--path").arg(folder.join("data")).arg("--config").arg(config).arg("--watch-stdin");
    Ok((spawn(command, folder)?, None))
}

/// A server that was installed neither reports its ports nor watches its standard input, so free ports are looked for
/// (a moment in which another process could take them remains) and a shell watches for it.
fn start_installed(program: &Path, folder: &Path) -> Started {
    const GUARD: &str = r#""$0" server --config-file "$1" & cat >/dev/null; kill $!; wait $!"#;
    let ports = (free_port()?, free_port()?);
    let config = write_config(folder, Some(ports))?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(GUARD).arg(program).arg(config);
    Ok((spawn(command, folder)?, Some(ports)))
}

fn spawn(mut command: Command, folder: &Path) -> io::Result<Child> {
    // A group of its own: Ctrl-C at the terminal is for the engine, which still has rows to insert.
    // Its messages go to a file: a pipe that nobody reads would stop it once full.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(folder.join(LOG))?);
    command.current_dir(folder).spawn()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Writes `config.xml` and `users.xml`. The launcher takes ports and paths as arguments.
fn write_config(folder: &Path, server: Option<(u16, u16)>) -> io::Result<PathBuf> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    let listen = server.map_or_else(String::new, |(http, tcp)| {
        format!(
            "<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>\
             <path>{}/</path><logger><level>warning</level><console>1</console></logger>",
            data.display()
        )
    });
    let users = folder.join("users.xml");
    let config = format!(
        "<clickhouse><max_server_memory_usage>4000000000</max_server_memory_usage>\
         <mark_cache_size>67108864</mark_cache_size><users_config>{}</users_config>{listen}</clickhouse>\n",
        users.display()
    );
    std::fs::write(
        users,
        "<clickhouse><profiles><default/></profiles><users><default><password></password>\
         <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>\
         <access_management>1</access_management></default></users><quotas><default/></quotas></clickhouse>\n",
    )?;
    let file = folder.join("config.xml");
    std::fs::write(&file, config)?;
    Ok(file)
}

/// The launcher's one line: `{"http":PORT,"tcp":PORT}`, printed once it accepts connections.
fn read_ports(child: &mut Child) -> Result<(u16, u16), String> {
    #[derive(serde::Deserialize)]
    struct Ports {
        http: u16,
        tcp: u16,
    }
    let stdout = child.stdout.take().ok_or("it has no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    let ports: Ports = serde_json::from_str(&line).map_err(|_| "it ended before it listened".to_owned())?;
    Ok((ports.http, ports.tcp))
}

fn wait_for_port(child: &mut Child, http: u16) -> Result<(), String> {
    let end = Instant::now() + START_TIMEOUT;
    while Instant::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended with {status}"));
        }
        if std::net::TcpStream::connect(("127.0.0.1", http)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("it did not listen within {} s", START_TIMEOUT.as_secs()))
}

/// The end of what a server that failed wrote to its standard error.
fn last_words(folder: &Path) -> String {
    // What cannot be read cannot be shown; the error is told without it.
    let text = std::fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].iter().map(|line| format!("\n  {line}")).collect()
}
