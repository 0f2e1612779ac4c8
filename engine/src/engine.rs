//! The engine: which lanes there are, and what becomes of one that stops.
//!
//! **Promise.** Every partition that matches a plugin's topics has one lane, those that appear later too. A lane that
//! stops by an error is run again or left stopped as [`crate::disposition`] says; it never takes another with it. Plugins
//! come, go and change while it runs: lanes begin and end with them.

mod discovery;
mod keeper;
mod unclaimed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::Config;
use crate::deploy::{Plugins, Version, Versions};
use crate::disposition::in_words;
use crate::journal::{JournalError, Raised};
use crate::lane::{LaneError, Surroundings};
use crate::lane_status::{LaneState, LaneStatus};
use crate::metrics::Metrics;
use crate::offsets::{LaneId, PluginKey};
use crate::plan::drift::Drift;
use crate::source::Found;
use crate::stop::{Stop, Stopper, stop};
use crate::table::TableKind;
use discovery::Discovered;
use keeper::Keeper;
use unclaimed::Strangers;

/// How often new topics and partitions are looked for.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether everything is idle.
const IDLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long lanes may take to end their open epochs after a stop. What is open then is ended by the next start.
const GRACE: Duration = Duration::from_secs(25);
/// The lanes, as those who look at the engine see them.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: Arc<Mutex<BTreeMap<LaneId, Arc<LaneStatus>>>>,
    /// What wants an operator's eyes, by plugin and topic.
    warnings: Arc<Mutex<BTreeMap<(PluginKey, String), String>>>,
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
    pub fn warnings(&self) -> Vec<(PluginKey, String)> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut warnings: Vec<_> =
            warnings.iter().map(|((plugin, _), words)| (plugin.clone(), words.clone())).collect();
        warnings.extend(self.drift.warnings());
        warnings
    }

    /// What changed in topics' rows since the engine began.
    #[must_use]
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    /// Whether a plugin's topics could be listed: as long as they can't, its new partitions have no lanes that would say so.
    fn listed(&self, plugin: PluginKey, outcome: Result<(), String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => drop(warnings.remove(&(plugin, String::new()))),
            Err(why) => {
                let words = format!("the topics of plugin {plugin} can't be listed: {why}");
                warnings.insert((plugin, String::new()), words);
            }
        }
    }

    fn warn(&self, lane: &LaneId, words: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.insert((lane.key(), lane.topic.clone()), words);
    }
}

/// Runs lanes.
pub struct Engine {
    config: Arc<Config>,
    around: Surroundings,
    plugins: Plugins,
    lanes: Lanes,
    metrics: Arc<Metrics>,
    running: JoinSet<Result<(), LaneError>>,
    kept: BTreeMap<LaneId, Kept>,
    names: BTreeMap<tokio::task::Id, LaneId>,
    /// Partitions of each plugin's topics, by a lane of each (its partition is 0), as the journal knows them.
    partitions: BTreeMap<LaneId, i32>,
    strangers: Strangers,
    stop: Stop,
}

/// A lane that was started, and has not been taken away.
struct Kept {
    versions: Arc<Versions>,
    status: Arc<LaneStatus>,
    stopper: Stopper,
    /// Its task has ended, by itself.
    ended: bool,
    /// Its plugin, or its place in it, is gone: it ends what is open, and makes room for another.
    unwanted: bool,
}

/// A partition for a plugin.
struct Place {
    id: LaneId,
    found: Found,
    versions: Arc<Versions>,
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
        plugins: Plugins,
        metrics: Arc<Metrics>,
        lanes: Lanes,
        stop: Stop,
    ) -> Self {
        let (running, kept, names) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        let (partitions, strangers) = (BTreeMap::new(), Strangers::default());
        Self { config, around, plugins, lanes, metrics, running, kept, names, partitions, strangers, stop }
    }

    /// Runs until it is told to stop, or until everything is idle if so configured.
    ///
    /// # Errors
    /// The journal failed, or lanes stopped that should have come to their end.
    pub async fn run(mut self) -> Result<(), EngineError> {
        let (mut stop, plugins) = (self.stop.clone(), self.plugins.clone());
        let mut discovery = interval(DISCOVERY_INTERVAL);
        discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = interval(IDLE_INTERVAL);
        let mut discovered = false;
        loop {
            tokio::select! {
                biased; // the same events in the same order: a simulated run can be repeated
                () = stop.told() => return self.end_open_epochs().await,
                Some(ended) = self.running.join_next_with_id() => {
                    if self.lane_ended(ended)? {
                        discovery.reset_immediately();
                    }
                }
                () = plugins.changed() => {
                    self.end_unwanted();
                    discovery.reset_immediately();
                }
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
        self.strangers.follow(&self.plugins, &self.around, &self.config);
        let mut complete = true;
        let mut new = Vec::new();
        let plugins = self.plugins.all();
        let all = Discovered::of_all(&*self.around.source, &plugins).await;
        for versions in plugins {
            let topics = versions.topics();
            // What keeps all of them from being listed may be one tenant's topic, which it may not describe.
            let found = match &all {
                Ok(all) => Ok(all.named(&topics)),
                Err(_) => Discovered::of(&*self.around.source, &topics).await.map(|own| own.named(&topics)),
            };
            let key = PluginKey::new(versions.tenant(), versions.name());
            self.lanes.listed(key, found.as_ref().map(drop).map_err(|error| in_words(error)));
            match found {
                Ok(found) => {
                    let own = found.into_iter().filter(|found| versions.may_read(&found.partition.topic));
                    new.extend(own.map(|found| Place::new(&versions, found)));
                }
                Err(error) => {
                    complete = false;
                    tracing::warn!(tenant = versions.tenant(), plugin = versions.name(), error = %in_words(&error), "topics can't be listed");
                }
            }
        }
        let unnoted = self.note_partitions(&new).await;
        complete &= unnoted.is_empty();
        new.retain(|place| !unnoted.contains(&place.topic()));
        new.retain(|place| !self.kept.contains_key(&place.id) && place.versions.of(&place.id).is_for(&place.id));
        for place in new {
            self.start_lane(place);
        }
        complete
    }

    /// Tells lanes to end whose plugin is gone, or no longer names their topic and partition.
    fn end_unwanted(&mut self) {
        for (id, kept) in &mut self.kept {
            let there = self.plugins.get(&id.key());
            let wanted =
                there.is_some_and(|versions| Arc::ptr_eq(&versions, &kept.versions)) && kept.versions.of(id).is_for(id);
            if !wanted && !kept.unwanted {
                tracing::info!(lane = %id, "the lane is no plugin's any more: it ends what is open");
                kept.unwanted = true;
                kept.stopper.tell();
            }
        }
        let gone: Vec<_> =
            self.kept.iter().filter(|(_, kept)| kept.ended && kept.unwanted).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.forget(id));
    }

    /// There is no such lane any more.
    fn forget(&mut self, id: &LaneId) {
        self.kept.remove(id);
        self.lanes.lock().remove(id);
    }

    /// Tells the journal how many partitions each topic has, before any of its lanes is taken. Gives back the topics for
    /// which that failed: their new lanes wait, as they would not know their generation.
    async fn note_partitions(&mut self, found: &[Place]) -> Vec<LaneId> {
        let mut counts: BTreeMap<LaneId, (&Arc<Versions>, i32)> = BTreeMap::new();
        for place in found {
            let count = &mut counts.entry(place.topic()).or_insert((&place.versions, 0)).1;
            *count = (*count).max(place.found.partition.partition + 1);
        }
        let mut unnoted = Vec::new();
        counts.retain(|topic, (_, count)| self.partitions.get(topic).is_none_or(|known| known < count));
        // At once: the journal writes what comes together with one sync.
        let journal = &self.around.journal;
        let noted = join_all(counts.iter().map(|(topic, (_, count))| journal.partitions(topic, *count))).await;
        for ((topic, (versions, count)), noted) in counts.into_iter().zip(noted) {
            match noted {
                Ok(raised) => {
                    if let Some(raised) = raised {
                        self.partitions_raised(&versions.current(), &topic, raised);
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
    fn partitions_raised(&self, version: &Version, topic: &LaneId, raised: Raised) {
        let Raised { from, to, generation, waits } = raised;
        let keyed = version.transform.tables().iter().any(|table| table.kind == TableKind::Current);
        let waits = waits && keyed;
        self.metrics.partitions_raised(&topic.tenant, &topic.plugin, &topic.topic, waits);
        let (plugin, topic_name) = (topic.key(), &topic.topic);
        if !waits {
            tracing::info!(
                tenant = plugin.tenant,
                plugin = plugin.name,
                topic = topic_name,
                from,
                to,
                generation,
                "the topic's partitions were raised"
            );
            return;
        }
        let words = format!(
            "topic {topic_name} of plugin {plugin} was raised from {from} to {to} partitions: keys have moved between old \
             partitions, and rows of the new place lose against rows of the old one where their offset is smaller. When the \
             lanes have read everything, stop the engine and run: engine recover --plugin {plugin} --topic {topic_name} \
             --from here (or from an offset before the raise, to mend what was read since)"
        );
        tracing::warn!(tenant = plugin.tenant, plugin = plugin.name, topic = topic_name, from, to, "{words}");
        self.lanes.warn(topic, words);
    }

    fn start_lane(&mut self, place: Place) {
        let Place { id, found, versions } = place;
        tracing::info!(lane = %id, "lane starts");
        let (metrics, version) = (self.metrics.lane(&id), versions.of(&id));
        let status = Arc::new(LaneStatus::new(id.clone(), metrics, &self.lanes.drift, &version));
        self.lanes.lock().insert(id.clone(), status.clone());
        let limits = self.config.batch;
        let (stopper, stop) = stop();
        let keeper = Keeper {
            id: id.clone(),
            found,
            limits,
            versions: versions.clone(),
            around: self.around.clone(),
            status: status.clone(),
            stop,
        };
        let task = self.running.spawn(keeper.keep_running());
        self.names.insert(task.id(), id.clone());
        self.kept.insert(id, Kept { versions, status, stopper, ended: false, unwanted: false });
    }

    /// A lane's task ended: at its source's end, told to, by a bug, or with an error that ends the engine. Says whether its
    /// place is free again.
    fn lane_ended(
        &mut self,
        ended: Result<(tokio::task::Id, Result<(), LaneError>), tokio::task::JoinError>,
    ) -> Result<bool, EngineError> {
        let (task, bug) = match ended {
            Ok((task, Ok(()))) => (task, None),
            Ok((_, Err(LaneError::Journal(error)))) => return Err(EngineError::Journal(error)),
            Ok((task, Err(error))) => (task, Some(in_words(&error))),
            Err(error) => (error.id(), Some(format!("a bug in the engine: {error}"))),
        };
        let Some(id) = self.names.remove(&task) else { return Ok(false) };
        let Some(kept) = self.kept.get_mut(&id) else { return Ok(false) };
        kept.ended = true;
        if let Some(error) = bug {
            tracing::error!(lane = %id, error, "lane halted; the others go on");
            kept.status.set_state(LaneState::Halted { error });
        }
        let unwanted = kept.unwanted;
        if unwanted {
            self.forget(&id);
        }
        Ok(unwanted)
    }

    /// For `--until-idle`: the outcome, once each lane is idle or halted.
    fn outcome_if_idle(&self) -> Option<Result<(), EngineError>> {
        let lanes = self.lanes.all();
        let halted = |lane: &LaneStatus| match lane.view().state {
            LaneState::Halted { error } | LaneState::Failing { error } => Some(format!("{}: {error}", lane.id)),
            LaneState::Starting
            | LaneState::Recovering
            | LaneState::Running
            | LaneState::Waiting { .. }
            | LaneState::Paused { .. }
            | LaneState::Ended => None,
        };
        let paused = |lane: &LaneStatus| matches!(lane.view().state, LaneState::Paused { .. });
        if !lanes.iter().all(|lane| lane.is_idle() || paused(lane) || halted(lane).is_some()) {
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
        self.kept.values().for_each(|kept| kept.stopper.tell());
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

impl Place {
    fn new(versions: &Arc<Versions>, found: Found) -> Self {
        let id = LaneId {
            tenant: versions.tenant().to_owned(),
            plugin: versions.name().to_owned(),
            topic: found.partition.topic.to_string(),
            topic_id: found.topic_id.to_string(),
            partition: found.partition.partition,
        };
        Self { id, found, versions: versions.clone() }
    }

    /// Its topic, as a lane of its first partition.
    fn topic(&self) -> LaneId {
        LaneId { partition: 0, ..self.id.clone() }
    }
}
