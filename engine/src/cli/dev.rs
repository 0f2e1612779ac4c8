//! `engine dev`: an author's loop. Each time a plugin's source is saved it is built, its cases are run, and it is put where
//! an engine takes it over; then what it makes is shown beside what the version before made, and where the seconds went.

mod own;
mod player;
mod saved;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::signal;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::control::Control;
use super::difference;
use super::paint::Paint;
use super::plugin::messages::SchemaIds;
use super::plugin::project::{Project, host};
use super::plugin::{Failure, build, ended, test};
use super::recent::Recent;
use super::run::{engine_runtime, source};
use super::{RunArgs, overlay};
use crate::config::Config;
use crate::deploy::status::{FolderState, PluginStatus};
use crate::disposition::in_words;
use crate::offsets::{DEFAULT_TENANT, PluginKey};
use crate::plugin::{CompiledCode, Compiler, Host, HostSettings};
use crate::transform::Transform;
use own::OwnEngine;
use saved::Saved;

/// How often the engine is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long it may take to take a version over, and to make rows with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `dev`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DevArgs {
    /// The plugin's name or folder.
    #[arg(value_name = "NAME|DIR")]
    pub name: String,
    /// A running engine that has the plugin's folder among its plugins, as http://HOST:PORT. Without it, one is started for as
    /// long as this runs.
    #[arg(long, value_name = "URL")]
    pub engine: Option<String>,
    /// So many of the newest messages of each partition are compared.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub last: u32,
    /// End after so many versions.
    #[arg(long, value_name = "N", hide = true)]
    pub versions: Option<usize>,
    /// Settings.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  engine dev customers --source recorded.jsonl                       the recording is played again and again
  engine dev customers --kafka localhost:9092 --clickhouse http://localhost:8123
  engine dev customers --kafka localhost:9092 --engine http://127.0.0.1:8080

Without --clickhouse, a ClickHouse of its own is started, as `engine demo` does. Nothing but the last form touches what an \
engine of yours keeps or writes.";

/// The command.
pub(super) fn dev(args: &DevArgs) -> ExitCode {
    ended(developed(args))
}

fn developed(args: &DevArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&overlay(&args.run))?;
    let project = Project::find(&config.plugins, &args.name)?;
    let runtime = engine_runtime().map_err(Failure::failed)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = looped(args, &config, &project) => outcome,
            _ = signal::ctrl_c() => Ok(()),
        }
    });
    runtime.shutdown_background(); // a client that waits for its broker must not hold the program up
    outcome.map(|()| ExitCode::SUCCESS)
}

/// What an author's loop has at hand.
struct Desk<'a> {
    project: &'a Project,
    /// The plugin, as the engine names it.
    key: PluginKey,
    host: Host,
    control: Control,
    own: Option<OwnEngine>,
    recent: Recent,
    /// What was shown last.
    before: Transform,
}

async fn looped(args: &DevArgs, config: &Config, project: &Project) -> Result<(), Failure> {
    if !project.artifact().exists() || project.stale().is_some() {
        build::put(&host()?, project, &build::compiled(project)?)?;
    }
    let file = project.file()?;
    let source = source(config).map_err(Failure::failed)?;
    let ids = SchemaIds::of(&args.run.source, config.registry.as_ref())?;
    let recent = Recent::read(&*source, &ids, &file, i64::from(args.last)).await?;
    let mut own = None;
    let control = match &args.engine {
        Some(url) => Control::at(url),
        None => own.insert(OwnEngine::start(args, project).await?).control.clone(),
    };
    // What is compiled for the cases is there for an engine of its own as well.
    let compiled = own.as_ref().and_then(|own| CompiledCode::open(&own.data_dir).ok());
    let keeping = Host::with(HostSettings { instances: 4, ..HostSettings::default() }, Compiler::Here, compiled);
    let host = keeping.map_err(Failure::failed)?;
    let before = project.transform(&host, file.settings)?;
    // An engine of its own has it by itself, in no tenant's folder.
    let key = if own.is_none() { project.key() } else { PluginKey::new(DEFAULT_TENANT, &project.name) };
    let mut desk = Desk { project, key, host, control, own, recent, before };
    let messages = desk.recent.messages();
    println!(
        "{}: save its source, and the engine takes it over; {messages} messages to compare (Ctrl-C ends)",
        project.name
    );
    let mut saved = Saved::of(&project.folder);
    let mut left = args.versions.unwrap_or(usize::MAX);
    while left > 0 {
        let when = saved.next(&project.folder).await;
        println!();
        match desk.version(when).await {
            Ok(()) => left -= 1,
            Err(failure) => {
                let (Failure::Mistake(error) | Failure::Failed(error)) = failure;
                eprintln!("engine: {}", in_words(&*error));
            }
        }
        if let Some(own) = &mut desk.own {
            own.look()?;
        }
    }
    Ok(())
}

impl Desk<'_> {
    /// One version, from the save to its first row.
    async fn version(&mut self, saved: SystemTime) -> Result<(), Failure> {
        let began = Instant::now();
        let noticed = saved.elapsed().unwrap_or_default();
        let built: Bytes = block_in_place(|| build::compiled(self.project))?.into();
        let rustc = began.elapsed();
        let after = self.project.transform_of(&self.host, self.project.file()?.settings, built.clone())?;
        let (cases, different) = block_in_place(|| test::cases(&self.host, self.project, &built))?;
        let checked = began.elapsed();
        let stands = self.status().await?;
        build::put(&self.host, self.project, &built)?;
        let Taken { loaded, first_row } = self.taken(&after, stands.as_ref(), Instant::now()).await?;
        let took = began.elapsed() + noticed;
        if self.recent.messages() > 0 {
            let difference = self.recent.compare(Some(&self.before), &after)?;
            print!("{}", difference::show(&difference, Paint::stdout()));
        }
        if different > 0 {
            println!(
                "{different} of {cases} cases differ: if that is right, engine plugin test {} --update",
                self.project.name
            );
        }
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let swapped = first_row.map_or_else(
            || "no message has come since".to_owned(),
            |first_row| format!("swap {}", seconds(first_row.saturating_sub(loaded))),
        );
        println!(
            "{} from save to the first row: rustc {}, compile and cases {}, load {}, {swapped}",
            seconds(took),
            seconds(rustc + noticed),
            seconds(checked - rustc),
            seconds(loaded)
        );
        self.before = after;
        Ok(())
    }

    async fn status(&self) -> Result<Option<PluginStatus>, Failure> {
        let plugins = self.control.plugins().await?;
        Ok(plugins.into_iter().find(|plugin| plugin.key() == self.key))
    }

    /// Waits until the engine has taken a version over, and made a row with it.
    async fn taken(&self, version: &Transform, stood: Option<&PluginStatus>, since: Instant) -> Result<Taken, Failure> {
        let digest = version.plugin_digest();
        let mut loaded = None;
        loop {
            let status = self.status().await?;
            let stands = status.as_ref().map_or(Stands::Nowhere, |status| Stands::of(status, digest, stood));
            match (stands, loaded) {
                (Stands::Refused(why), _) => {
                    return Err(Failure::in_words(format!("the engine does not take it: {why}")));
                }
                (Stands::Row, _) => {
                    let first_row = since.elapsed();
                    return Ok(Taken { loaded: loaded.unwrap_or(first_row), first_row: Some(first_row) });
                }
                (Stands::Loaded, None) => loaded = Some(since.elapsed()),
                (Stands::Loaded, Some(_)) | (Stands::Nowhere, _) => {}
            }
            match loaded {
                Some(loaded) if since.elapsed() > loaded + QUIET => return Ok(Taken { loaded, first_row: None }),
                None if since.elapsed() > PATIENCE => {
                    let why = format!("the engine did not take it over within {} s", PATIENCE.as_secs());
                    return Err(Failure::in_words(why));
                }
                Some(_) | None => sleep(INTERVAL).await,
            }
        }
    }
}

/// How long a message is waited for.
const QUIET: Duration = Duration::from_secs(10);

/// When an engine had a version ready, and when it had committed a row by it, since its file was there.
struct Taken {
    loaded: Duration,
    first_row: Option<Duration>,
}

/// How a version stands in an engine.
enum Stands {
    Nowhere,
    Loaded,
    Row,
    Refused(String),
}

impl Stands {
    /// Of the version with this digest; before, the plugin stood so.
    fn of(status: &PluginStatus, digest: &str, before: Option<&PluginStatus>) -> Self {
        let is = |version: &crate::deploy::VersionId| version.plugin_digest == digest;
        let PluginStatus { version, trial, shadow, folder, lanes, .. } = status;
        let refused = matches!(folder.state, FolderState::Refused | FolderState::Withdrawn | FolderState::Waiting);
        if refused && folder.version.as_ref().is_none_or(is) {
            return Self::Refused(folder.why.clone().unwrap_or_else(|| "another version is pinned".to_owned()));
        }
        if let Some(trial) = trial.as_ref().filter(|trial| is(&trial.version)) {
            return if trial.committed > 0 { Self::Row } else { Self::Loaded };
        }
        if let Some(shadow) = shadow.as_ref().filter(|shadow| is(&shadow.version)) {
            return if shadow.difference.messages > 0 { Self::Row } else { Self::Loaded };
        }
        if !version.as_ref().is_some_and(is) {
            return Self::Nowhere;
        }
        // Without a trial: a lane has committed something since.
        let was = |topic: &str, partition| {
            let lanes = before.iter().flat_map(|before| &before.lanes);
            lanes.filter(|lane| lane.topic == topic && lane.partition == partition).find_map(|lane| lane.committed)
        };
        let moved = lanes.iter().any(|lane| is(&lane.version) && lane.committed > was(&lane.topic, lane.partition));
        if moved { Self::Row } else { Self::Loaded }
    }
}
