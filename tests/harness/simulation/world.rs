//! The world, and the process in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::artifacts::Artifacts;
use engine::clock::SimulatedClock;
use engine::config::{Config, Failure, Input, Partitions, PluginFile, Rollout, Tenant};
use engine::cpu::Cpu;
use engine::deploy::{Plugins, Version, Versions};
use engine::engine::{Engine, EngineError, Lanes};
use engine::journal::{Intent, Position, SimulatedDisk};
use engine::lane::{MAX_RECOVERIES, Surroundings};
use engine::memory::Memory;
use engine::metrics::Metrics;
use engine::offsets::{LaneId, TopicPartition};
use engine::plugin::{Host, HostSettings};
use engine::simulation::{Chance, Process};
use engine::sink::{ClickHouseSettings, OneSink, SimulatedTables};
use engine::source::{BatchLimits, Budget, SharedSource, SimulatedTopics, Start};
use engine::stop::{Stopper, stop};
use engine::tenants::Tenants;
use engine::transform::{Kind, Transform, TransformSettings};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// No run takes longer, in its own time: what does is stuck.
const LONGEST_RUN: Duration = Duration::from_secs(30 * 60);

/// Most worlds that run at a time, each on a thread of its own.
pub const WORLDS: usize = 16;

/// One WebAssembly engine for all worlds: it has no state that a run could see.
static HOST: LazyLock<Host> = LazyLock::new(|| {
    let settings = HostSettings { instances: 4 * u32::try_from(WORLDS).expect("few"), ..HostSettings::default() };
    Host::new(settings).expect("this machine runs WebAssembly")
});

/// Transforms by plugin and settings: to compile one takes longer than a run.
static BUILT: Mutex<BTreeMap<(Bytes, String), Transform>> = Mutex::new(BTreeMap::new());

/// Partition `partition` of topic `t`.
#[must_use]
pub fn partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition }
}

/// Runs a scenario in a world of its own.
///
/// # Panics
/// If the scenario panics, or is stuck.
pub fn simulate<T>(seed: u64, window: usize, scenario: impl AsyncFnOnce(&mut World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let mut world = World::new(seed, window);
        let run = timeout(LONGEST_RUN, scenario(&mut world)).await;
        run.unwrap_or_else(|_| panic!("stuck: {:?}", world.running.as_ref().map(|it| it.process.last_step())))
    })
}

/// How a process ended.
#[derive(Debug)]
pub enum End {
    /// It crashed.
    Crashed,
    /// The engine ended: everything was idle, it was told to stop, or by an error.
    Itself(Result<(), EngineError>),
}

/// Everything, and at most one process in it.
pub struct World {
    /// Decides what nobody else does.
    pub chance: Chance,
    /// The source.
    pub topics: SimulatedTopics,
    /// The sink.
    pub tables: SimulatedTables,
    /// The journal's disk.
    pub disk: SimulatedDisk,
    /// The time of day.
    pub clock: SimulatedClock,
    /// When an epoch is collected.
    pub batch: BatchLimits,
    /// The process ends when everything is committed.
    pub until_idle: bool,
    /// How often the plugin may fail, and what becomes of its lanes then: of the next start or reload.
    pub failure: Failure,
    /// Who is paused, whatever process runs.
    pub tenants: Tenants,
    pub(super) violations: Arc<Mutex<Vec<String>>>,
    pub(super) transform: Transform,
    /// Plugins of tenants that share the topic.
    pub(super) sharing: Vec<Transform>,
    /// A newcomer that the next start has on trial.
    pub(super) on_trial: Option<(Transform, Rollout)>,
    /// Every table that rows were sent to, quoted.
    pub(super) used: Vec<String>,
    data: TempDir,
    running: Option<Running>,
}

/// A process beside the world's.
pub struct Other(Running);

impl Other {
    /// Its lanes.
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        self.0.lanes.clone()
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) {
        self.0.stopper.tell();
        drop(self.0.engine.await);
    }
}

struct Running {
    process: Process,
    stopper: Stopper,
    engine: JoinHandle<Result<(), EngineError>>,
    lanes: Lanes,
    plugins: Plugins,
}

impl World {
    fn new(seed: u64, window: usize) -> Self {
        let chance = Chance::new(seed);
        // In memory where that can be had: a simulated power cut takes nothing from it, and syncs would take most of a run.
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        let mut world = Self {
            topics: SimulatedTopics::new(chance.clone()),
            tables: SimulatedTables::new(window, chance.clone()),
            disk: SimulatedDisk::new(chance.clone()),
            clock: SimulatedClock::default(),
            batch: BatchLimits { max_messages: 5, max_bytes: 1 << 20, linger: Duration::from_millis(20) },
            until_idle: true,
            failure: Failure::default(),
            tenants: Tenants::default(),
            violations: Arc::default(),
            transform: bronze("rows"),
            sharing: Vec::new(),
            on_trial: None,
            used: Vec::new(),
            data,
            running: None,
            chance,
        };
        world.disk.keep_below(world.data.path().join("state"));
        world.deploy(bronze("rows"));
        world.watch_inserts();
        world
    }

    /// Replaces the transform: the next start runs this one.
    pub fn deploy(&mut self, transform: Transform) {
        self.uses(&transform);
        self.transform = transform;
    }

    /// Rows may be sent to the tables of this transform.
    pub(super) fn uses(&mut self, transform: &Transform) {
        for table in transform.tables() {
            if !self.used.contains(&table.quoted()) {
                self.used.push(table.quoted());
            }
        }
    }

    /// Messages as they are, into this table.
    pub fn deploy_bronze(&mut self, table: &str) {
        self.deploy(bronze(table));
    }

    /// A plugin.
    pub fn deploy_plugin(&mut self, wasm: Bytes) {
        self.deploy_plugin_with(wasm, |_| {});
    }

    /// A plugin with settings of its own.
    ///
    /// # Panics
    /// If it is none, or the settings do not fit it.
    pub fn deploy_plugin_with(&mut self, wasm: Bytes, set: impl FnOnce(&mut TransformSettings)) {
        self.deploy(built(wasm, set));
    }

    /// Appends an event for the remembering plugin.
    pub fn event(&self, to: i32, [id, k, t]: [i64; 3]) {
        let value = format!(r#"{{"before":null,"after":{{"id":{id},"k":{k},"t":{t}}},"op":"c"}}"#);
        self.topics.produce(&partition(to), Some(b"{}"), Some(value.as_bytes()));
    }

    /// What was seen to be wrong on the way.
    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// *Invariant:* no block is sent before the intent that names it is durable.
    fn watch_inserts(&self) {
        let (disk, violations) = (self.disk.clone(), self.violations.clone());
        self.tables.watch(move |block, token| {
            if !disk.has_intended(&format!("{:032x}", block.digest)) {
                let mut violations = violations.lock().unwrap_or_else(PoisonError::into_inner);
                violations.push(format!("{token} was sent before its intent was durable"));
            }
        });
    }

    /// The lane of a partition of topic `t`, as it is now.
    #[must_use]
    pub fn lane(&self, partition: i32) -> LaneId {
        let found = self.topics.partitions().into_iter().find(|it| it.partition.partition == partition);
        let topic_id = found.map_or_else(String::new, |found| found.topic_id.to_string());
        let settings = self.transform.settings();
        LaneId {
            tenant: settings.tenant.clone(),
            plugin: settings.name.clone(),
            topic: "t".into(),
            topic_id,
            partition,
        }
    }

    /// Position and open epochs of a lane.
    #[must_use]
    pub fn journal(&self, partition: i32) -> (Position, Vec<Intent>) {
        self.disk.lane(&self.lane(partition))
    }

    /// Appends messages whose values say where they lie.
    pub fn produce(&self, to: i32, messages: usize) {
        for _ in 0..messages {
            let number = self.topics.messages(&partition(to)).len();
            self.topics.produce(&partition(to), Some(b"key"), Some(format!("{to}/{number}").as_bytes()));
        }
    }

    /// Starts a process.
    pub fn start(&mut self, process: Process) {
        let (stopper, stopped) = stop();
        let (lanes, plugins) = (Lanes::default(), Plugins::default());
        let engine = self.engine(&process, plugins.clone(), lanes.clone(), stopped);
        plugins.insert(self.versions()); // what the disk has kept is known now
        self.sharing.iter().for_each(|tenant| plugins.insert(Arc::new(Versions::new(version(tenant)))));
        self.running = Some(Running { engine: tokio::spawn(engine.run()), process, stopper, lanes, plugins });
    }

    /// What runs, with the newcomer that is on trial.
    fn versions(&self) -> Arc<Versions> {
        let versions = Versions::new(version_by(&self.transform, self.failure));
        if let Some((newcomer, rules)) = &self.on_trial {
            versions.try_out(version(newcomer), rules.clone());
            versions.trial_goes_on(&self.disk.state_versions(versions.tenant(), versions.name()));
        }
        Arc::new(versions)
    }

    /// Makes the transform that was deployed last the running process's, from the next epoch of each lane on.
    pub fn reload(&mut self) {
        for versions in self.running.iter().flat_map(|running| running.plugins.all()) {
            versions.replace(version_by(&self.transform, self.failure));
        }
    }

    /// The running process's plugins.
    ///
    /// # Panics
    /// If there is no process.
    #[must_use]
    pub fn plugins(&self) -> Plugins {
        self.running.as_ref().expect("a process").plugins.clone()
    }

    fn engine(&self, process: &Process, plugins: Plugins, lanes: Lanes, stopped: engine::stop::Stop) -> Engine {
        let around = Surroundings {
            source: Arc::new(SharedSource::new(
                Arc::new(self.topics.open(process.clone())),
                Budget::new(1 << 20),
                None,
            )),
            sinks: Arc::new(OneSink(Arc::new(self.tables.open(process.clone())))),
            tenants: self.tenants.clone(),
            journal: Arc::new(self.disk.open(process.clone())),
            artifacts: Artifacts::open(self.data.path()).expect("a temporary folder"),
            registry: None,
            host: HOST.clone(),
            cpu: Cpu::in_place(),
            memory: Memory::unlimited(),
            clock: Arc::new(self.clock.clone()),
            recoveries: Arc::new(Semaphore::new(MAX_RECOVERIES)),
        };
        Engine::new(Arc::new(self.config()), around, plugins, Arc::new(Metrics::default()), lanes, stopped)
    }

    fn config(&self) -> Config {
        Config {
            input: Input::Files(Vec::new()),
            clickhouse: ClickHouseSettings::new("http://unused"),
            registry: None,
            database: "db".into(),
            plugins: "".into(),
            data_dir: "".into(),
            listen: None,
            batch: self.batch,
            inserts_per_second: 20,
            memory_bytes: usize::MAX,
            until_idle: self.until_idle,
        }
    }

    /// The folder of the artifacts and all else that a process keeps on disk.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The running process's lanes.
    ///
    /// # Panics
    /// If there is no process.
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        self.running.as_ref().expect("a process").lanes.clone()
    }

    /// Leaves the running process alone: the next start has another one beside it.
    ///
    /// # Panics
    /// If there is no process.
    pub fn leave(&mut self) -> Other {
        Other(self.running.take().expect("a process"))
    }

    /// Waits until the process ends.
    ///
    /// # Panics
    /// If there is no process, or the engine panicked.
    pub async fn ended(&mut self) -> End {
        self.ended_within(LONGEST_RUN).await.expect("no run takes longer")
    }

    /// Waits until the process ends, but not longer than this; `None`: it goes on.
    ///
    /// # Panics
    /// If there is no process, or the engine panicked.
    pub async fn ended_within(&mut self, patience: Duration) -> Option<End> {
        let running = self.running.as_mut().expect("a process");
        let ended = async {
            tokio::select! {
                biased;
                () = running.process.ended() => None,
                outcome = &mut running.engine => Some(outcome),
            }
        };
        // Patience is for the process alone: what a crash leaves to be done here is done whole.
        if let Some(outcome) = timeout(patience, ended).await.ok()? {
            self.running = None;
            return Some(End::Itself(outcome.expect("the engine does not panic")));
        }
        self.crash().await;
        Some(End::Crashed)
    }

    /// Ends the process now, as a power cut would.
    pub async fn crash(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.process.end();
        running.engine.abort();
        drop(running.engine.await);
        // The lanes are aborted with the engine; each is dropped at its next turn.
        sleep(Duration::from_millis(1)).await;
    }

    /// Tells the process to stop, and waits until it has.
    pub async fn stop(&mut self) -> End {
        if let Some(running) = &self.running {
            running.stopper.tell();
        }
        self.ended().await
    }

    /// Starts a process without faults and waits until everything is committed.
    ///
    /// # Panics
    /// If that does not come to pass.
    pub async fn finish(&mut self) {
        self.tables.script([]);
        self.tables.trouble(0);
        self.tables.release();
        self.topics.trouble(0);
        self.disk.fail_after(None);
        self.until_idle = true;
        self.start(Process::default());
        match self.ended().await {
            End::Itself(Ok(())) => {}
            end @ (End::Crashed | End::Itself(Err(_))) => panic!("not everything was committed: {end:?}"),
        }
        // What is still on its way to the tables arrives.
        sleep(Duration::from_secs(60)).await;
    }

    /// Starts a process that must end by an error of a lane; gives the error in words.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub async fn halts(&mut self) -> String {
        self.start(Process::default());
        match self.ended().await {
            End::Itself(Err(error)) => engine::disposition::in_words(&error),
            end @ (End::Crashed | End::Itself(Ok(()))) => panic!("the lane did not halt: {end:?}"),
        }
    }
}

/// A plugin with settings of its own, ready to run; to compile one takes longer than a run.
pub(super) fn built(wasm: Bytes, set: impl FnOnce(&mut TransformSettings)) -> Transform {
    let mut settings = TransformSettings::new("default", "plugin", Kind::Plugin, "db");
    set(&mut settings);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let build =
        |(wasm, _): &(Bytes, String)| Transform::build(&HOST, settings.clone(), Some(wasm.clone())).expect("a plugin");
    built.entry((wasm, settings.digest())).or_insert_with_key(build).clone()
}

/// A version of the plugin, whose tables are not made ready yet.
pub(super) fn version(transform: &Transform) -> Arc<Version> {
    version_by(transform, Failure::default())
}

/// The same, which may fail by these rules.
fn version_by(transform: &Transform, failure: Failure) -> Arc<Version> {
    let tenant = Tenant::default_of(ClickHouseSettings::new("http://unused"), "db");
    let file = PluginFile {
        tenant: Arc::new(tenant),
        folder: "".into(),
        artifact: "plugin.wasm".into(),
        topics: vec!["^t$".into()],
        start: Start::Earliest,
        sha256: None,
        partitions: Partitions::default(),
        settings: transform.settings().clone(),
        capsule: None,
        linger: Duration::ZERO,
        rollout: Rollout::default(),
        failure,
        places: [].into(),
    };
    Arc::new(Version::new(file, transform.clone()))
}

fn bronze(table: &str) -> Transform {
    bronze_with(TransformSettings::new("default", "plugin", Kind::Bronze { table: table.into() }, "db"))
}

/// Messages as they are, with settings of their own.
pub(super) fn bronze_with(settings: TransformSettings) -> Transform {
    Transform::build(&HOST, settings, None).expect("bronze needs nothing")
}
