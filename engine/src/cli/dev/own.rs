//! An engine of the author's own: a process beside this one, that runs the one plugin, from Kafka or from recorded messages that
//! are played to it again and again, into ClickHouse.
//!
//! **Promise.** It ends with this process, and leaves nothing but rows in a database of its own, where ClickHouse is not of
//! its own as well.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::DevArgs;
use super::player::Player;
use crate::cli::control::Control;
use crate::cli::plugin::Failure;
use crate::cli::plugin::project::Project;
use crate::demo::ClickHouse;

/// How long it may take to begin: its plugin is compiled.
const START: Duration = Duration::from_secs(120);
/// The database of its tables.
const DATABASE: &str = "dev";

/// The engine and what it needs; all ends with it.
pub(super) struct OwnEngine {
    child: Child,
    /// Where it keeps what it has compiled: shared with this process.
    pub data_dir: PathBuf,
    pub control: Control,
    _player: Option<Player>,
    _clickhouse: Option<ClickHouse>,
    folder: TempDir,
}

impl OwnEngine {
    /// Starts it, and waits until it answers.
    pub(super) async fn start(args: &DevArgs, project: &Project) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name);
        // The project itself, by a link: what is built there is what the engine sees.
        fs::create_dir_all(place("plugins"))?;
        symlink(fs::canonicalize(&project.folder)?, place("plugins").join(&project.name))?;
        let clickhouse = match &args.run.clickhouse {
            Some(_) => None,
            None => Some(ClickHouse::start(folder.path()).map_err(Failure::failed)?),
        };
        let (player, kafka) = match &args.run.source[..] {
            [] => (None, args.run.kafka.clone()),
            files => {
                let player = Player::start(files, &project.file()?.topics).await?;
                let addresses = player.addresses().to_owned();
                (Some(player), Some(addresses))
            }
        };
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--plugins").arg(place("plugins")).arg("--data-dir").arg(place("data"));
        command.arg("--listen").arg(address.to_string());
        let url = clickhouse.as_ref().map(ClickHouse::url).or_else(|| args.run.clickhouse.clone());
        let database = args.run.database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let named = [("--kafka", kafka), ("--clickhouse", url), ("--database", Some(database))];
        for (flag, value) in named.iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?))) {
            command.arg(flag).arg(value);
        }
        if let Some(config) = &args.run.config {
            command.arg("--config").arg(config);
        }
        command.args(args.run.set.iter().flat_map(|pair| ["--set", pair]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(place("engine.log"))?);
        die_with_parent(&mut command);
        let (child, data_dir) = (command.spawn()?, place("data"));
        let control = Control::at(&format!("http://{address}"));
        let mut own = Self { child, data_dir, control, _player: player, _clickhouse: clickhouse, folder };
        own.wait_until_up().await?;
        Ok(own)
    }

    async fn wait_until_up(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + START;
        while self.control.plugins().await.is_err() {
            self.look()?;
            if Instant::now() > until {
                return Err(Failure::in_words(format!("the engine does not answer:{}", self.last_words())));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether it still runs.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Failure::in_words(format!("the engine ended ({status}):{}", self.last_words()))),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("engine.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(5)).map(|line| format!("\n  {line}")).collect()
    }
}

impl Drop for OwnEngine {
    /// By force: its journal goes with it.
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Where Linux can see to it, the engine ends with this process however that ends.
fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: `prctl` takes numbers alone and may be called between `fork` and `exec`.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}
