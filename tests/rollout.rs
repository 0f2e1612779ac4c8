//! Versions of a plugin as operators handle them, with the real program: planned, applied, watched, in the shadow, promoted,
//! rolled back and pinned, while changes keep coming.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use engine::demo::Broker;
use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, Plugin, Setup, program};
use harness::place;
use harness::wait::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(120);
const TOPIC: &str = "postgres.crm.customers";
const NAME: &str = "mask-pii";
const EVENTS: &str = "events_raw";
const SESSIONS: &str = "sessions";
const SETTINGS: &str = "topics = [\"postgres.crm.customers\"]\n[parameters]\nkey = \"not a secret at all\"\n";

/// An engine with one plugin, the topic that it reads, and the server that it writes to.
struct World {
    /// The plugin.
    name: &'static str,
    broker: Broker,
    clickhouse: ClickHouse,
    setup: Setup,
    engine: Engine,
    folder: TempDir,
    sent: i64,
}

impl World {
    fn begin(database: &str, settings: &str) -> Self {
        Self::of(NAME, database, settings)
    }

    fn of(name: &'static str, database: &str, settings: &str) -> Self {
        let broker = Broker::start(&[(TOPIC, 1), (EVENTS, 1)]).expect("a broker");
        let clickhouse = ClickHouse::start();
        let plugin = Plugin { name, settings, artifact: Some(name) };
        let setup = Setup::new(&clickhouse.http_url(), database).with(&["--kafka", broker.addresses()]);
        let setup = setup.with_plugins(&[plugin]);
        let engine = setup.start();
        let mut world = Self { name, broker, clickhouse, setup, engine, folder: place::folder("rollout"), sent: 0 };
        world.engine.wait_until_up();
        world.send(20);
        world
    }

    /// So many changes more, committed.
    fn send(&mut self, count: i64) {
        for id in self.sent..self.sent + count {
            let (topic, key, value) = if self.name == SESSIONS { event(id) } else { customer(id) };
            self.broker.send(topic, 0, key.as_bytes(), Some(value.to_string().as_bytes())).expect("queued");
        }
        self.broker.flush().expect("taken");
        self.sent += count;
        let sent = self.sent;
        self.wait("everything to be committed", |status| status["lanes"][0]["committed"] == sent);
    }

    /// `engine …` beside the running engine: exit code, and all that it said.
    fn ask_alone(arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(program());
        let own = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ENGINE_"));
        for (name, _) in own {
            command.env_remove(name);
        }
        let output = command.args(arguments).output().expect("the program runs");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{arguments:?}: {}\n{words}", output.status);
        (output.status.code(), words)
    }

    /// The same, of commands that ask the engine.
    fn control(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let plugins = self.setup.plugins.to_string_lossy().into_owned();
        let url = self.engine.url().to_owned();
        Self::ask_alone(&[arguments, &["--engine", &url, "--plugins", &plugins]].concat())
    }

    /// The plugin, as `engine status --json` shows it.
    fn status(&self) -> Value {
        let (code, words) = self.control(&["status", self.name, "--json"]);
        assert_eq!(code, Some(0), "{words}");
        let all: Value = serde_json::from_str(&words).expect("JSON");
        all[0].clone()
    }

    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, BOUND, || {
            let status = self.status();
            if holds(&status) { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// The same plugin in other bytes: with a custom section more, which says nothing to anybody.
    fn marked(&self, mark: u8) -> PathBuf {
        let mut bytes = fs::read(harness::engine::plugins().join(self.name).join("plugin.wasm")).expect("built");
        bytes.extend([0, 3, 1, b'v', mark]);
        let file = self.folder.path().join(format!("{mark}.wasm"));
        fs::write(&file, bytes).expect("written");
        file
    }

    fn apply(&self, file: &Path) -> (Option<i32>, String) {
        self.control(&["apply", self.name, &file.to_string_lossy()])
    }

    fn configure(&self, settings: &str) {
        // As editors save: another file takes its place.
        let (new, place) =
            (self.setup.plugins.join("new.toml"), self.setup.plugins.join(self.name).join("plugin.toml"));
        fs::write(&new, settings).expect("written");
        fs::rename(new, place).expect("renamed");
    }

    /// `engine plan` over other settings, which are then in the folder.
    fn plan_with(&self, settings: &str) -> (Option<i32>, String) {
        self.configure(settings);
        self.setup.ask(&["plan", self.name, "--last", "20"], None)
    }

    fn digest(&self, of: &str) -> String {
        self.status()["version"][of].as_str().expect("a digest").to_owned()
    }
}

fn customer(id: i64) -> (&'static str, String, Value) {
    let email = format!("Ada{id}@example.org");
    let after = json!({ "id": id, "first_name": "Ada", "last_name": "Lovelace", "email": email });
    let (at, seen) = (1_735_689_600_000_i64, 1_735_689_600_005_i64);
    let value = json!({ "before": null, "after": after, "source": { "ts_ms": at }, "op": "c", "ts_ms": seen });
    (TOPIC, format!("{{\"id\":{id}}}"), value)
}

/// An event of one of three users, each a second after the one before; each fifth is the one before sent again.
fn event(id: i64) -> (&'static str, String, Value) {
    let sent = id - i64::from(id % 5 == 4);
    let user = format!("user{}", sent % 3);
    let value = json!({
        "schema_version": "v1", "event_id": format!("e{sent}"), "idempotency_key": format!("k{sent}"),
        "event_type": "page_view", "user_id": user, "session_id": null,
        "timestamp": format!("2025-01-01T00:{:02}:{:02}.000Z", sent / 60, sent % 60), "properties": { "page": "/" },
    });
    (EVENTS, user, value)
}

/// GIVEN a running engine, WHEN other bytes of its plugin are planned, THEN no row would change; WHEN they are applied, THEN
/// they are on trial, pass it, and are in the history; WHEN an operator rolls back, pins and unpins, THEN the engine does so.
#[test]
fn a_version_is_planned_applied_passed_rolled_back_and_pinned() {
    let mut world = World::begin("applied", &format!("{SETTINGS}[rollout]\nprobation_rows = 30\n"));
    let first = world.digest("plugin_digest");
    let file = world.marked(b'2');
    let (code, words) = world.setup.ask(&["plan", NAME, &file.to_string_lossy(), "--last", "10"], None);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("10 messages in 1 batch compared: no difference"), "{words}");
    assert!(words.contains("runs ") && words.contains(&first[..12]), "{words}");

    let (code, words) = world.apply(&file);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("on trial for") && words.contains("0 faults"), "{words}");
    assert_eq!(world.digest("plugin_digest"), first);
    world.send(40);
    let passed = world.wait("the trial to be over", |status| status["trial"].is_null());
    let second = passed["version"]["plugin_digest"].as_str().expect("a digest").to_owned();
    assert_ne!(second, first);
    let (code, words) = world.apply(&file);
    assert_eq!((code, words.contains("the engine runs it")), (Some(0), true), "{words}");
    let (_, words) = world.control(&["plugin", "history", NAME]);
    for part in ["started", "trial", "passed", &second[..12]] {
        assert!(words.contains(part), "{part} is not in {words}");
    }

    let (code, words) = world.control(&["plugin", "rollback", NAME]);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(world.digest("plugin_digest"), first);
    let (code, words) = world.apply(&file);
    assert_eq!(code, Some(1), "what was rolled back from is not tried again: {words}");
    let (code, _) = world.control(&["plugin", "pin", NAME]);
    assert_eq!(code, Some(0));
    let third = world.marked(b'3');
    let (code, words) = world.apply(&third);
    assert_eq!((code, words.contains("engine plugin unpin")), (Some(1), true), "{words}");
    let (code, words) = world.control(&["plugin", "unpin", NAME]);
    assert_eq!(code, Some(0), "{words}");
    world.wait("the folder to decide again", |status| !status["trial"].is_null());
    world.send(5);
    assert_eq!(
        world.clickhouse.query("SELECT count() FROM applied.customers_masked FINAL").trim(),
        world.sent.to_string()
    );

    let junk = world.folder.path().join("junk.wasm");
    fs::write(&junk, "no plugin").expect("written");
    let (code, words) = world.apply(&junk);
    assert_eq!(code, Some(1), "{words}");
    let (code, words) = world.control(&["plugin", "rollback", "nobody"]);
    assert_eq!((code, words.contains("no plugin nobody runs")), (Some(1), true), "{words}");
    world.engine.terminate();
    // Without an engine the history is read from the data folder.
    let data = world.setup.data_dir().to_string_lossy().into_owned();
    let (code, words) = World::ask_alone(&["plugin", "history", NAME, "--data-dir", &data]);
    assert_eq!((code, words.contains("rolled back")), (Some(0), true), "{words}");
}

/// GIVEN a plugin whose settings change and whose rollout is a shadow, THEN its differences are counted with samples, while the
/// tables get the rows of the version that runs; WHEN it is promoted, THEN the tables get its rows; WHEN one that makes the same
/// is in the shadow by rule, THEN it takes over by itself.
#[test]
fn a_shadow_is_compared_and_promoted_by_hand_and_by_rule() {
    let mut world = World::begin("shaded", SETTINGS);
    let shadow = "[rollout]\nmode = \"shadow\"\n";
    let kept = SETTINGS.replace("[parameters]\n", "[parameters]\nemail = \"keep\"\n");
    let (code, words) = world.plan_with(&format!("{kept}{shadow}"));
    assert_eq!(code, Some(0), "{words}");
    for part in ["settings  parameters.email is set", "~ email  differs in 20", "+ \"Ada0@example.org\""] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    world.wait("the shadow", |status| !status["shadow"].is_null());
    world.send(10);
    let status = world.wait("the comparison", |status| status["shadow"]["difference"]["messages"] == 10);
    let column = &status["shadow"]["difference"]["tables"]["customers_masked"]["columns"]["email"];
    assert_eq!(column["rows"], 10, "{status}");
    assert_eq!(column["samples"][0]["values"]["after"], "Ada20@example.org", "{status}");
    let kept_rows = |world: &World| {
        world
            .clickhouse
            .query("SELECT count() FROM shaded.customers_masked FINAL WHERE email LIKE '%@%'")
            .trim()
            .to_owned()
    };
    assert_eq!(kept_rows(&world), "0");
    let (_, words) = world.control(&["status", NAME]);
    assert!(words.contains("in the shadow") && words.contains("~ email  differs in 10"), "{words}");
    wait_for("the metrics", BOUND, || {
        let metrics = world.engine.metrics().map_err(|error| error.to_string())?;
        let seen = metrics.sum("engine_plugin_shadow", &[("of", "rows_changed")]);
        if (seen - 10.0).abs() < 0.5 { Ok(()) } else { Err(seen.to_string()) }
    });

    let (code, words) = world.control(&["plugin", "promote", NAME]);
    assert_eq!(code, Some(0), "{words}");
    world.send(5);
    assert_eq!(kept_rows(&world), "5");
    let (code, words) = world.control(&["plugin", "promote", NAME]);
    assert_eq!(code, Some(0), "from trial to good: {words}");

    world.configure(&format!("{kept}{shadow}promote = \"when-equal\"\nprobation_rows = 10\n"));
    assert_eq!(world.apply(&world.marked(b'4')).0, Some(3));
    let before = world.digest("plugin_digest");
    world.wait("the shadow", |status| !status["shadow"].is_null());
    world.send(10);
    let status = world.wait("it to take over", |status| status["shadow"].is_null() && !status["trial"].is_null());
    assert_ne!(status["trial"]["version"]["plugin_digest"].as_str(), Some(&*before));
    world.engine.terminate();
}

/// GIVEN a plugin that remembers, WHEN the same in other bytes is in the shadow, THEN it makes the same rows and remembers the
/// same: it was given a copy of what its predecessor remembers, and has gone on from there by itself.
#[test]
fn a_shadow_of_a_plugin_that_remembers_goes_on_from_a_copy() {
    let settings = "topics = [\"events_raw\"]\ntombstone = \"ignore\"\n[rollout]\nmode = \"shadow\"\n";
    let mut world = World::of(SESSIONS, "remembered", settings);
    assert_eq!(world.apply(&world.marked(b'2')).0, Some(3));
    for round in 1..=3 {
        world.send(20);
        let compared = round * 20;
        world.wait("the comparison", |status| status["shadow"]["difference"]["messages"] == compared);
    }
    let shadow = world.status()["shadow"].clone();
    assert!(shadow["ended"].is_null(), "{shadow}");
    let difference = &shadow["difference"];
    for table in ["fact_events", "user_sessions"] {
        let rows = &difference["tables"][table]["rows"];
        assert!(rows["before"].as_u64() > Some(0) && rows["before"] == rows["after"], "{table}: {difference}");
        assert_eq!(difference["tables"][table]["columns"], json!({}), "{table}: {difference}");
    }
    assert_eq!(difference["remembered"], 0, "{difference}");
    let (code, words) = world.control(&["plugin", "rollback", SESSIONS]);
    assert_eq!((code, words.contains("no longer in the shadow")), (Some(0), true), "{words}");
    assert!(world.status()["shadow"].is_null());
    world.engine.terminate();
}

/// GIVEN an engine with a token, THEN nobody is answered without it.
#[test]
fn a_token_is_asked_for_where_one_is_set() {
    let world = World::begin("guarded", SETTINGS);
    let listen = format!("127.0.0.1:{}", place::free_port());
    let mut command = Command::new(program());
    command.args(["run", "--clickhouse", &world.clickhouse.http_url(), "--database", "other", "--listen", &listen]);
    command.args(["--kafka", world.broker.addresses(), "--plugins"]).arg(&world.setup.plugins);
    command.arg("--data-dir").arg(world.folder.path().join("data")).env("ENGINE_CONTROL_TOKEN", "a secret");
    let mut guarded = command.spawn().expect("the program runs");
    let status = |token: Option<&str>| {
        let mut command = Command::new(program());
        command.args(["status", "--engine", &format!("http://{listen}")]).env_remove("ENGINE_CONTROL_TOKEN");
        token.map(|token| command.env("ENGINE_CONTROL_TOKEN", token));
        let output = command.output().expect("the program runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    wait_for("the engine to answer", BOUND, || match status(Some("a secret")) {
        (Some(0), _) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for token in [None, Some("another")] {
        let (code, words) = status(token);
        assert_eq!((code, words.contains("a token is wanted")), (Some(1), true), "{words}");
    }
    guarded.kill().and_then(|()| guarded.wait()).expect("ended");
    world.engine.terminate();
}
