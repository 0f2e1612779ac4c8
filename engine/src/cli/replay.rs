//! `engine replay`: a plugin's topics read again, from an offset or a time.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::args::RunArgs;
use super::recover::raise;
use super::run::{RunningError, engine_runtime, load_plugin, surroundings};
use super::when::milliseconds;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Problems};
use crate::deploy::{Plugins, Version, Versions};
use crate::disposition::in_words;
use crate::engine::{Engine, EngineError, Lanes};
use crate::journal::{JournalError, Position};
use crate::lane::Surroundings;
use crate::lane_status::LaneState;
use crate::metrics::Metrics;
use crate::offsets::{LaneId, PluginKey};
use crate::plugin::{Compiler, Host, HostSettings};
use crate::replay::{Pending, PendingLane, ReplayError, Shadow, Step, Way};
use crate::sink::ClickHouse;
use crate::source::{Found, SourceError};
use crate::stop::stop;
use crate::table::TableKind;

/// How often it is looked how far the lanes are.
const LOOK: Duration = Duration::from_millis(50);

/// Arguments of `replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The plugin whose topics are read again; of a tenant, TENANT/NAME.
    plugin: PluginKey,
    /// From where: an offset, `start`, a time ago (90s, 15m, 2h, 7d), or a day or time in UTC (2026-11-21T05:13:45).
    #[arg(long, value_name = "OFFSET|TIME", required_unless_present = "abandon")]
    from: Option<String>,
    /// This topic alone.
    #[arg(long)]
    topic: Option<String>,
    /// This partition alone.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// Make the rows in shadow tables, up to the topics' ends, then put these in the tables' place at once.
    #[arg(long, conflicts_with = "delete_rows")]
    shadow: bool,
    /// Delete the rows of the range first; until the engine has read it again they are missing.
    #[arg(long)]
    delete_rows: bool,
    /// Give up a replay into shadows that was begun and not ended.
    #[arg(long, conflicts_with_all = ["from", "topic", "partition", "shadow", "delete_rows"])]
    abandon: bool,
    #[command(flatten)]
    at: RunArgs,
}

const EXAMPLES: &str = "\
The engine must be stopped. A replay that was interrupted is ended by the same command; until then no engine starts.
Examples:
  engine replay users --from 2026-11-20                     current-state tables: the next start reads again, new rows win
  engine replay orders --from start --shadow                any tables, exchanged when they are complete; the old ones stay
  engine replay orders --topic shop.orders --partition 3 --from 4711 --delete-rows";

/// Why a replay fails.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("{0}")]
    Asked(String),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Start(#[from] RunningError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{0}. The tables are as they were. The same command goes on, --abandon gives the replay up")]
    Filling(String),
}

/// The command: 0 done, 1 failed, 2 not asked rightly.
pub(super) fn replay(args: &ReplayArgs) -> ExitCode {
    let runtime = match engine_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(args));
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Settings(problems)) => super::mistaken(&problems),
        Err(Failure::Asked(words)) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// What a replay works with.
struct Work {
    config: Config,
    deployed: Version,
    around: Surroundings,
    clickhouse: Arc<ClickHouse>,
}

async fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let config = Config::read(&super::overlay(&args.at))?;
    let host = Host::with(HostSettings::default(), Compiler::of_this_program(), None).map_err(RunningError::from)?;
    let deployed = load_plugin(&config, &host, &args.plugin)?;
    let (around, clickhouses) = match surroundings(&config, host) {
        Err(RunningError::Journal(JournalError::Locked { .. })) => {
            let folder = config.data_dir.display();
            return Err(Failure::Asked(format!(
                "an engine runs with the data folder {folder}: stop it first, then replay"
            )));
        }
        other => other?,
    };
    let clickhouse = clickhouses.of(&deployed.file.tenant).map_err(RunningError::from)?;
    let work = Work { config, deployed, around, clickhouse };
    let pending = match Pending::read(&work.config.data_dir)? {
        Some(pending) if pending.plugin != args.plugin => {
            return Err(Failure::Asked(format!(
                "a replay of plugin {} was begun and is not ended: engine replay {0} --from …, or --abandon",
                pending.plugin
            )));
        }
        pending => pending,
    };
    match (pending, args.abandon) {
        (None, true) => Err(Failure::Asked("there is no replay to be given up".to_owned())),
        (Some(pending), true) => work.abandon(&pending).await,
        (Some(pending), false) => {
            println!("a replay of {} was begun and is not ended: going on with it", pending.plugin);
            work.go_on(pending).await
        }
        (None, false) => {
            let pending = work.plan(args).await?;
            pending.write(&work.config.data_dir)?;
            work.go_on(pending).await
        }
    }
}

impl Work {
    /// What is to be done, before anything of it is.
    async fn plan(&self, args: &ReplayArgs) -> Result<Pending, Failure> {
        let way = match (args.shadow, args.delete_rows) {
            (true, _) => Way::Shadow,
            (false, true) => Way::DeleteRows,
            (false, false) => Way::InPlace,
        };
        self.fits(way)?;
        self.state_begins_anew(args)?;
        let lanes = self.lanes().await?;
        let chosen = |lane: &LaneId| {
            args.topic.as_ref().is_none_or(|topic| *topic == lane.topic)
                && args.partition.is_none_or(|partition| partition == lane.partition)
        };
        if !lanes.iter().any(|(found, ..)| chosen(&self.lane_id(found))) {
            return Err(Failure::Asked(format!("the journal knows no such lane of plugin {}", args.plugin)));
        }
        let from = args.from.as_deref().unwrap_or_default();
        let topics =
            lanes.iter().filter(|(found, ..)| chosen(&self.lane_id(found))).map(|(found, ..)| &found.partition.topic);
        let topics: std::collections::BTreeSet<_> = topics.collect();
        if topics.len() > 1 && from.parse::<i64>().is_ok() {
            return Err(Failure::Asked(
                "flag --topic: the plugin reads several topics, of which has the offset?".to_owned(),
            ));
        }
        // With a shadow all lanes of the plugin write into it, so that all have to be set back if it is given up.
        let meant: Vec<_> =
            lanes.iter().filter(|(found, ..)| way == Way::Shadow || chosen(&self.lane_id(found))).collect();
        let raise = raise(meant.iter().map(|(_, position, _)| position.generation));
        let mut pending = Vec::new();
        for (found, old, open) in meant {
            let lane = self.lane_id(found);
            if way == Way::Shadow && *open > 0 {
                return Err(Failure::Asked(format!(
                    "lane {lane} has epochs that were decided and not ended: start the engine once, which ends them, then replay"
                )));
            }
            let from = if chosen(&lane) { Some(self.offset(found, old, from).await?) } else { None };
            let generation = old.generation.saturating_add(raise);
            pending.push(PendingLane { lane, old: old.clone(), from, generation });
        }
        let generation = pending.iter().map(|lane| lane.generation).max().unwrap_or_default();
        let shadows = if way == Way::Shadow { self.shadows(generation) } else { Vec::new() };
        Ok(Pending { plugin: args.plugin.clone(), way, step: Step::Begun, lanes: pending, shadows })
    }

    /// Rows of an append table would be there twice.
    fn fits(&self, way: Way) -> Result<(), Failure> {
        let transform = &self.deployed.transform;
        let letters = transform.dead_letters().quoted();
        let tables = transform.tables();
        let append = tables.iter().filter(|table| table.kind == TableKind::Append && table.quoted() != letters);
        let append: Vec<String> = append.map(|table| table.quoted()).collect();
        if way != Way::InPlace || append.is_empty() {
            return Ok(());
        }
        Err(Failure::Asked(format!(
            "{} keep{} every row, so the rows of messages that are read again would be there twice. Either --shadow (rows are \
             made in shadow tables, which are then put in place at once; needs the room of both), or --delete-rows (they are \
             missing until they are made again)",
            append.join(" and "),
            if append.len() == 1 { "s" } else { "" }
        )))
    }

    /// What a plugin remembers was made of all messages so far: from the middle it would begin with nothing.
    fn state_begins_anew(&self, args: &ReplayArgs) -> Result<(), Failure> {
        let part = args.shadow && (args.topic.is_some() || args.partition.is_some());
        if !self.deployed.transform.remembers() || (args.from.as_deref() == Some("start") && !part) {
            return Ok(());
        }
        Err(Failure::Asked(format!(
            "plugin {} remembers earlier messages, which a replay forgets, and learns them again as it reads: --from start \
             alone, and with --shadow all of its topics and partitions",
            args.plugin
        )))
    }

    /// The plugin's lanes that the source still has, with their positions and the number of open epochs.
    async fn lanes(&self) -> Result<Vec<(Found, Position, usize)>, Failure> {
        let known = self.around.journal.lanes()?;
        let found = self.deployed.file.discover(&*self.around.source).await?;
        let mine = |found: &Found| self.deployed.file.partitions.contains(found.partition.partition);
        let lane = |found: Found| {
            let id = self.lane_id(&found);
            let (_, position, open) = known.iter().find(|(lane, ..)| *lane == id)?;
            Some((found, position.clone(), *open))
        };
        Ok(found.into_iter().filter(mine).filter_map(lane).collect())
    }

    fn lane_id(&self, found: &Found) -> LaneId {
        super::lane_id(&self.deployed, found)
    }

    /// The offset that is meant, if the lane can be set back to it.
    async fn offset(&self, found: &Found, old: &Position, from: &str) -> Result<i64, Failure> {
        let (first, end) = self.around.source.bounds(&found.partition).await?;
        let offset = match from.parse::<i64>() {
            Ok(offset) => offset,
            Err(_) if from == "start" => first,
            Err(_) => {
                let time = milliseconds("--from", from, SystemClock.now_ms()).map_err(Failure::Asked)?;
                let position = old.next_offset.unwrap_or(first);
                // Nothing that new: there is nothing to be read again.
                self.around.source.at_time(&found.partition, time).await?.min(position)
            }
        };
        let partition = &found.partition;
        if offset < first {
            return Err(Failure::Asked(format!(
                "{partition}: offset {offset} is gone, the topic now holds [{first}, {end})"
            )));
        }
        match old.next_offset {
            Some(next) if offset > next => Err(Failure::Asked(format!(
                "{partition}: offset {offset} was not read yet, the lane stands at {next}. To go on elsewhere: engine recover"
            ))),
            _ => Ok(offset),
        }
    }

    fn shadows(&self, generation: u16) -> Vec<Shadow> {
        let transform = &self.deployed.transform;
        let letters = transform.dead_letters();
        let tables = transform.tables().into_iter().filter(|table| table.quoted() != letters.quoted());
        let shadow = |table: Arc<crate::table::Table>| Shadow {
            table: table.name.to_string(),
            shadow: format!("{}_replay_{generation}", table.name),
            before: format!("{}_before_{generation}", table.name),
            uuid: None,
        };
        tables.map(shadow).collect()
    }

    /// What is left of a replay.
    async fn go_on(&self, mut pending: Pending) -> Result<(), Failure> {
        let (data_dir, transform) = (&self.config.data_dir, &self.deployed.transform);
        if pending.step == Step::Begun {
            pending.begin(&*self.around.journal, &self.clickhouse, transform).await?;
            if pending.way != Way::Shadow {
                Pending::remove(data_dir)?;
                say_lanes(&pending);
                println!("start the engine: it reads them again");
                return Ok(());
            }
            pending.step = Step::Filling;
            pending.write(data_dir)?;
        }
        if pending.step == Step::Filling {
            say_lanes(&pending);
            self.fill(&pending).await?;
            pending.step = Step::Swapping;
            pending.write(data_dir)?;
        }
        pending.swap(&self.clickhouse, transform).await?;
        Pending::remove(data_dir)?;
        for Shadow { table, before, .. } in &pending.shadows {
            println!("{table}: made again and put in place; what it was is kept as {before}");
        }
        Ok(())
    }

    async fn abandon(&self, pending: &Pending) -> Result<(), Failure> {
        if pending.way != Way::Shadow || pending.step == Step::Swapping {
            return Err(Failure::Asked(
                "the replay has gone too far to be given up: rows were deleted or tables exchanged. Run it again to end it".to_owned(),
            ));
        }
        if self.deployed.transform.remembers() {
            return Err(Failure::Asked(
                "the plugin's state as it was is forgotten, so the replay can't be given up. Run it again to end it"
                    .to_owned(),
            ));
        }
        pending.abandon(&*self.around.journal, &self.clickhouse, &self.deployed.transform).await?;
        Pending::remove(&self.config.data_dir)?;
        println!("given up: the tables are as they were, the shadows are dropped");
        Ok(())
    }

    /// Runs the plugin's lanes into the shadows, until each has come to where its topic ends now.
    async fn fill(&self, pending: &Pending) -> Result<(), Failure> {
        let mut ends = BTreeMap::new();
        for (found, ..) in self.lanes().await? {
            ends.insert(self.lane_id(&found), self.around.source.bounds(&found.partition).await?.1);
        }
        let transform = pending.transform(&self.around.host, &self.deployed.transform)?;
        let version = Arc::new(Version::new(self.deployed.file.clone(), transform));
        let plugins: Plugins = [Arc::new(Versions::new(version))].into_iter().collect();
        let config = Config { until_idle: false, ..self.config.clone() };
        let ((stopper, stopped), lanes) = (stop(), Lanes::default());
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::new(Arc::new(config), self.around.clone(), plugins, metrics, lanes.clone(), stopped);
        let mut running = tokio::spawn(engine.run());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let problem = loop {
            tokio::select! {
                ended = &mut running => {
                    ended.map_err(|error| Failure::Filling(format!("a bug in the engine: {error}")))??;
                    break Some("the lanes ended".to_owned());
                }
                _ = tokio::signal::ctrl_c() => break Some("stopped".to_owned()),
                _ = look.tick() => match progress(&lanes, &ends) {
                    Ok(true) => break None,
                    Ok(false) => {}
                    Err(problem) => break Some(problem),
                }
            }
        };
        stopper.tell();
        if !running.is_finished() {
            running.await.map_err(|error| Failure::Filling(format!("a bug in the engine: {error}")))??;
        }
        match problem {
            // A source with an end: the lanes stop there by themselves.
            Some(_) if progress(&lanes, &ends) == Ok(true) => Ok(()),
            Some(problem) => Err(Failure::Filling(problem)),
            None => Ok(()),
        }
    }
}

/// Whether all lanes have come to their ends; an error if one never will.
fn progress(lanes: &Lanes, ends: &BTreeMap<LaneId, i64>) -> Result<bool, String> {
    let mut there = 0;
    for status in lanes.all() {
        let view = status.view();
        if let LaneState::Halted { error } | LaneState::Failing { error } = &view.state {
            return Err(format!("lane {}: {error}", status.id));
        }
        let Some(end) = ends.get(&status.id) else { continue };
        there += usize::from(status.is_idle() || view.committed.is_some_and(|committed| committed >= *end));
    }
    Ok(there == ends.len())
}

fn say_lanes(pending: &Pending) {
    for PendingLane { lane, old, from, generation } in &pending.lanes {
        let stood = old.next_offset.map_or_else(|| "its start".to_owned(), |offset| format!("offset {offset}"));
        match from {
            Some(from) => println!(
                "{lane}: generation {} → {generation}, from offset {from}; it stood at {stood}",
                old.generation
            ),
            None => println!("{lane}: generation {} → {generation}, goes on at {stood}", old.generation),
        }
    }
}
