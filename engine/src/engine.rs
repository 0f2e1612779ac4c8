//! The engine: which lanes there are, and what becomes of one that stops.
//!
//! **Promise.** Every partition that matches a plugin's topics has one lane, those that appear later too. A lane that
//! stops by an error is run again or left stopped as [`crate::disposition`] says; it never takes another with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::config::{Config, PluginFile};
use crate::disposition::{Disposition, disposition, in_words};
use crate::journal::{JournalError, Raised};
use crate::lane::{Lane, LaneError, Surroundings};
use crate::lane_status::{LaneState, LaneStatus};
use crate::metrics::Metrics;
use crate::offsets::LaneId;
use crate::plan::drift::Drift;
use crate::sink::{Guarantee, SinkError};
use crate::source::Found;
use crate::stop::Stop;
use crate::table::TableKind;
use crate::transform::Transform;

/// How often new topics and partitions are looked for.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether everything is idle.
const IDLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long lanes may take to end their open epochs after a stop. What is open then is ended by the next start.
const GRACE: Duration = Duration::from_secs(25);
/// First and longest pause before a lane is run again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A lane that ran this long before it stopped is given the first pause again.
const STEADY: Duration = Duration::from_secs(60);

/// A transform and where it reads.
pub struct Deployed {
    /// As configured.
    pub file: PluginFile,
    /// Ready to run.
    pub transform: Transform,
}

/// The lanes, as those who look at the engine see them.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: Arc<Mutex<BTreeMap<LaneId, Arc<LaneStatus>>>>,
    /// What wants an operator's eyes, by plugin and topic.
    warnings: Arc<Mutex<BTreeMap<(String, String), String>>>,
    drift: Drift,
}

impl Lanes {
    /// All lanes so far, in order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<LaneStatus>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<LaneId, Arc<LaneStatus>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wants an operator's eyes although the lanes go on.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> =
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        warnings.extend(self.drift.warnings());
        warnings
    }

    /// What changed in topics' rows since the engine began.
    #[must_use]
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    fn warn(&self, lane: &LaneId, words: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.insert((lane.plugin.clone(), lane.topic.clone()), words);
    }
}

/// Runs lanes.
pub struct Engine {
    config: Arc<Config>,
    around: Surroundings,
    deployed: Vec<Arc<Deployed>>,
    prepared: Vec<Arc<OnceCell<()>>>,
    lanes: Lanes,
    metrics: Arc<Metrics>,
    running: JoinSet<Result<(), LaneError>>,
    names: BTreeMap<tokio::task::Id, Arc<LaneStatus>>,
    /// Partitions of each plugin's topics, by a lane of each (its partition is 0), as the journal knows them.
    partitions: BTreeMap<LaneId, i32>,
    stop: Stop,
}

/// Why the engine ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing can be decided durably any more.
    #[error("the journal failed, so nothing may be written any more")]
    Journal(#[source] JournalError),
    /// `--until-idle`: not everything could be read and committed.
    #[error("{} stopped before the end of the source:\n  {}", plural(lanes.len()), lanes.join("\n  "))]
    Incomplete {
        /// Each lane with its error.
        lanes: Vec<String>,
    },
}

fn plural(lanes: usize) -> String {
    if lanes == 1 { "a lane".to_owned() } else { format!("{lanes} lanes") }
}

impl Engine {
    /// An engine that has not begun.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        around: Surroundings,
        deployed: Vec<Deployed>,
        metrics: Arc<Metrics>,
        lanes: Lanes,
        stop: Stop,
    ) -> Self {
        let deployed: Vec<_> = deployed.into_iter().map(Arc::new).collect();
        let prepared = deployed.iter().map(|_| Arc::default()).collect();
        let (running, names, partitions) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { config, around, deployed, prepared, lanes, metrics, running, names, partitions, stop }
    }

    /// Runs until it is told to stop, or until everything is idle if so configured.
    ///
    /// # Errors
    /// The journal failed, or lanes stopped that should have come to their end.
    pub async fn run(mut self) -> Result<(), EngineError> {
        let mut stop = self.stop.clone();
        let mut discovery = interval(DISCOVERY_INTERVAL);
        discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = interval(IDLE_INTERVAL);
        let mut discovered = false;
        loop {
            tokio::select! {
                biased; // the same events in the same order: a simulated run can be repeated
                () = stop.told() => return self.end_open_epochs().await,
                Some(ended) = self.running.join_next_with_id() => self.lane_ended(ended)?,
                _ = discovery.tick() => discovered |= self.discover().await,
                _ = idle.tick(), if self.config.until_idle && discovered => {
                    if let Some(outcome) = self.outcome_if_idle() {
                        return outcome;
                    }
                }
            }
        }
    }

    /// Starts a lane for each partition that has none. Says whether the source could be asked for all of them.
    async fn discover(&mut self) -> bool {
        let mut complete = true;
        let mut new = Vec::new();
        for (index, deployed) in self.deployed.iter().enumerate() {
            match self.around.source.discover(&deployed.file.topics).await {
                Ok(found) => new.extend(found.into_iter().map(|found| (index, found))),
                Err(error) => {
                    complete = false;
                    tracing::warn!(plugin = %deployed.file.settings.name, error = %in_words(&error), "topics can't be listed");
                }
            }
        }
        let unnoted = self.note_partitions(&new).await;
        complete &= unnoted.is_empty();
        new.retain(|(index, found)| !unnoted.contains(&self.topic(*index, found)));
        new.retain(|(index, found)| self.deployed[*index].file.partitions.contains(found.partition.partition));
        let known = self.lanes.lock().len();
        new.retain(|(index, found)| !self.lanes.lock().contains_key(&self.lane_id(*index, found)));
        let lanes = known + new.len();
        for (index, found) in new {
            self.start_lane(index, found, lanes);
        }
        complete
    }

    fn lane_id(&self, index: usize, found: &Found) -> LaneId {
        let settings = &self.deployed[index].file.settings;
        LaneId {
            tenant: settings.tenant.clone(),
            plugin: settings.name.clone(),
            topic: found.partition.topic.to_string(),
            topic_id: found.topic_id.to_string(),
            partition: found.partition.partition,
        }
    }

    /// A topic of a plugin, as a lane of its first partition.
    fn topic(&self, index: usize, found: &Found) -> LaneId {
        LaneId { partition: 0, ..self.lane_id(index, found) }
    }

    /// Tells the journal how many partitions each topic has, before any of its lanes is taken. Gives back the topics for
    /// which that failed: their new lanes wait, as they would not know their generation.
    async fn note_partitions(&mut self, found: &[(usize, Found)]) -> Vec<LaneId> {
        let mut counts: BTreeMap<LaneId, (usize, i32)> = BTreeMap::new();
        for (index, found) in found {
            let count = &mut counts.entry(self.topic(*index, found)).or_insert((*index, 0)).1;
            *count = (*count).max(found.partition.partition + 1);
        }
        let mut unnoted = Vec::new();
        for (topic, (index, count)) in counts {
            if self.partitions.get(&topic).is_some_and(|known| *known >= count) {
                continue;
            }
            match self.around.journal.partitions(&topic, count).await {
                Ok(raised) => {
                    if let Some(raised) = raised {
                        self.partitions_raised(index, &topic, raised);
                    }
                    self.partitions.insert(topic, count);
                }
                Err(error) => {
                    tracing::error!(topic = %topic, error = %in_words(&error), "its partitions can't be noted");
                    unnoted.push(topic);
                }
            }
        }
        unnoted
    }

    /// Says what a raised number of partitions means for tables that are keyed.
    fn partitions_raised(&self, index: usize, topic: &LaneId, raised: Raised) {
        let Raised { from, to, generation, waits } = raised;
        let keyed = self.deployed[index].transform.tables().iter().any(|table| table.kind == TableKind::Current);
        let waits = waits && keyed;
        self.metrics.partitions_raised(&topic.tenant, &topic.plugin, &topic.topic, waits);
        let (plugin, topic_name) = (&topic.plugin, &topic.topic);
        if !waits {
            tracing::info!(plugin, topic = topic_name, from, to, generation, "the topic's partitions were raised");
            return;
        }
        let words = format!(
            "topic {topic_name} of plugin {plugin} was raised from {from} to {to} partitions: keys have moved between old \
             partitions, and rows of the new place lose against rows of the old one where their offset is smaller. When the \
             lanes have read everything, stop the engine and run: engine recover --plugin {plugin} --topic {topic_name} \
             --from here (or from an offset before the raise, to mend what was read since)"
        );
        tracing::warn!(plugin, topic = topic_name, from, to, "{words}");
        self.lanes.warn(topic, words);
    }

    fn start_lane(&mut self, index: usize, found: Found, lanes: usize) {
        let id = self.lane_id(index, &found);
        tracing::info!(lane = %id, "lane starts");
        let status = Arc::new(LaneStatus::new(
            id.clone(),
            self.metrics.lane(&id),
            self.lanes.drift.lane(&id, &self.deployed[index].transform),
        ));
        self.lanes.lock().insert(id.clone(), status.clone());
        let mut limits = self.config.batch;
        limits.linger = self.config.linger(lanes);
        let keeper = Keeper {
            id,
            found,
            limits,
            deployed: self.deployed[index].clone(),
            prepared: self.prepared[index].clone(),
            around: self.around.clone(),
            status: status.clone(),
            stop: self.stop.clone(),
        };
        let task = self.running.spawn(keeper.keep_running());
        self.names.insert(task.id(), status);
    }

    /// A lane's task ended: at its source's end, halted, or with an error that ends the engine.
    fn lane_ended(
        &mut self,
        ended: Result<(tokio::task::Id, Result<(), LaneError>), tokio::task::JoinError>,
    ) -> Result<(), EngineError> {
        let (id, words) = match ended {
            Ok((_, Ok(()))) => return Ok(()),
            Ok((id, Err(error))) => {
                let ends_engine = disposition(&error).0 == Disposition::EndEngine;
                let words = in_words(&error);
                if let (LaneError::Journal(error), true) = (error, ends_engine) {
                    return Err(EngineError::Journal(error));
                }
                (id, words)
            }
            Err(error) => (error.id(), format!("a bug in the engine: {error}")),
        };
        if let Some(status) = self.names.get(&id) {
            let committed = status.view().committed;
            tracing::error!(lane = %status.id, committed, error = %words, "lane halted; the others go on");
            status.set_state(LaneState::Halted { error: words });
        }
        Ok(())
    }

    /// For `--until-idle`: the outcome, once each lane is idle or halted.
    fn outcome_if_idle(&self) -> Option<Result<(), EngineError>> {
        let lanes = self.lanes.all();
        let halted = |lane: &LaneStatus| match lane.view().state {
            LaneState::Halted { error } => Some(format!("{}: {error}", lane.id)),
            LaneState::Starting
            | LaneState::Recovering
            | LaneState::Running
            | LaneState::Waiting { .. }
            | LaneState::Ended => None,
        };
        if !lanes.iter().all(|lane| lane.is_idle() || halted(lane).is_some()) {
            return None;
        }
        if lanes.is_empty() {
            tracing::warn!("no topic matches any plugin");
        }
        let halted: Vec<_> = lanes.iter().filter_map(|lane| halted(lane)).collect();
        Some(if halted.is_empty() { Ok(()) } else { Err(EngineError::Incomplete { lanes: halted }) })
    }

    /// After a stop: lanes collect nothing more and end what is open.
    async fn end_open_epochs(mut self) -> Result<(), EngineError> {
        let ended = timeout(GRACE, async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.lane_ended(ended)?;
            }
            Ok(())
        });
        ended.await.unwrap_or_else(|_| {
            tracing::warn!("epochs are still open: the next start makes them again and ends them");
            Ok(())
        })
    }
}

/// Runs one lane again and again.
struct Keeper {
    id: LaneId,
    found: Found,
    limits: crate::source::BatchLimits,
    deployed: Arc<Deployed>,
    prepared: Arc<OnceCell<()>>,
    around: Surroundings,
    status: Arc<LaneStatus>,
    stop: Stop,
}

impl Keeper {
    /// Ends when the lane comes to its end, is told to stop, or stops by an error that running it again can't mend.
    async fn keep_running(mut self) -> Result<(), LaneError> {
        let mut pause = PAUSES.0;
        loop {
            let began = Instant::now();
            let Err(error) = self.run_once().await else { return Ok(()) };
            let (decision, kind) = disposition(&error);
            self.status.restarted(kind);
            if decision != Disposition::Retry {
                return Err(error);
            }
            let words = in_words(&error);
            if began.elapsed() > STEADY {
                pause = PAUSES.0;
            }
            let pause_ms = pause.as_millis();
            let committed = self.status.view().committed;
            tracing::warn!(lane = %self.id, committed, error = %words, pause_ms, "lane stopped, will run again");
            self.status.set_state(LaneState::Waiting { error: words });
            tokio::select! {
                biased;
                () = self.stop.told() => return Ok(()),
                () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    async fn run_once(&self) -> Result<(), LaneError> {
        let mut stop = self.stop.clone();
        // A server that is down is waited for inside; a stop must not wait with it.
        tokio::select! {
            biased;
            () = stop.told() => return Ok(()),
            prepared = self.prepared.get_or_try_init(|| prepare(&self.around, &self.deployed.transform)) => prepared?,
        };
        let lane = Lane {
            id: self.id.clone(),
            found: self.found.clone(),
            start: self.deployed.file.start,
            limits: self.limits,
            transform: self.deployed.transform.clone(),
            around: self.around.clone(),
            status: self.status.clone(),
            stop: self.stop.clone(),
        };
        lane.run().await
    }
}

/// Makes all tables of a transform ready, once for all its lanes.
async fn prepare(around: &Surroundings, transform: &Transform) -> Result<(), SinkError> {
    for table in transform.tables() {
        if around.sink.prepare(&table).await? == Guarantee::None {
            tracing::warn!(
                table = %table.quoted(),
                "the table has no deduplication window: a repeated insert can double rows. To have one: ALTER TABLE {} \
                 MODIFY SETTING non_replicated_deduplication_window = 10000",
                table.quoted()
            );
        }
    }
    Ok(())
}
