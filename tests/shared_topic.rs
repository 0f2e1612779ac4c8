//! One topic that twenty tenants share, on a real Kafka and a real ClickHouse: one is paused and resumed, one comes later, the
//! engine is killed. Each message is read once for all of them, and is a row of its own tenant or one dead letter.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, Setup, program};
use harness::kafka::{Kafka, Messages};
use harness::versions::Version;
use harness::wait::wait_for;

const BOUND: Duration = Duration::from_secs(120);
const TOPIC: &str = "shared.events";
const TENANTS: usize = 20;
const LATE: &str = "t19";
const PAUSED: &str = "t03";

struct World {
    clickhouse: ClickHouse,
    setup: Setup,
    /// None: between two starts.
    engine: Option<Engine>,
    messages: Messages,
    sent: u32,
    bytes: usize,
    /// Messages of each tenant; of strangers and of nobody under their codes.
    expected: BTreeMap<String, u64>,
}

fn name(number: usize) -> String {
    format!("t{number:02}")
}

impl World {
    fn start(kafka: &Kafka) -> Self {
        let clickhouse = ClickHouse::start();
        kafka.create_topic(TOPIC, 2);
        let setup = Setup::new(&clickhouse.http_url(), "engine").with_plugins(&[]);
        let setup = setup.with(&["--kafka", &kafka.address(), "--set", "batch.linger_ms=50"]);
        let setup = setup.with(&["--set", "clickhouse.inserts_per_second=1000"]);
        let (expected, messages) = (BTreeMap::new(), kafka.producer());
        let mut world = Self { clickhouse, setup, engine: None, messages, sent: 0, bytes: 0, expected };
        let passing = world.setup.plugins.join("_shared/passing");
        fs::create_dir_all(&passing).expect("a folder");
        fs::write(passing.join("plugin.wasm"), Version::new("1").wasm()).expect("written");
        world.clickhouse.query("CREATE DATABASE engine ENGINE = Atomic");
        (0..TENANTS).map(name).filter(|name| name != LATE).for_each(|name| world.add_tenant(&name));
        world.send(4000);
        world.start_engine();
        world
    }

    /// Every fourth tenant runs a plugin, the others take the messages as they are.
    fn add_tenant(&self, name: &str) {
        let _ = self.clickhouse.query(&format!("CREATE DATABASE {name} ENGINE = Atomic"));
        let folder = self.setup.plugins.join(name);
        fs::create_dir_all(folder.join("events")).expect("a folder");
        let kind = if is_plugin(name) { "shared = 'passing'" } else { "bronze = 'passed'" };
        fs::write(folder.join("events/plugin.toml"), format!("topics = ['{TOPIC}']\n{kind}\n")).expect("written");
        let selects = format!("[select]\ntopics = ['{TOPIC}']\ncolumn = 'tenant'\n");
        fs::write(folder.join("tenant.toml"), selects).expect("written");
    }

    fn start_engine(&mut self) {
        self.engine.insert(self.setup.start()).wait_until_up();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    /// So many messages more: each tenant's, a stranger's, now and then no JSON and a tombstone.
    fn send(&mut self, count: u32) {
        for n in self.sent..self.sent + count {
            let whose = name(n as usize % (TENANTS + 1));
            let (tenant, value) = match n {
                n if n % 97 == 0 => ("no_tenant", Some("no JSON".to_owned())),
                n if n % 50 == 0 => ("tombstone", None),
                _ => {
                    let value = format!(r#"{{"before":null,"after":{{"n":{n},"tenant":"{whose}"}},"op":"c"}}"#);
                    (if whose == name(TENANTS) { "unknown_tenant" } else { &*whose }, Some(value))
                }
            };
            *self.expected.entry(tenant.to_owned()).or_default() += 1;
            let key = format!(r#"{{"n":{n}}}"#);
            self.bytes += key.len() + value.as_ref().map_or(0, String::len);
            self.messages.send(TOPIC, i32::from(n % 3 == 0), &key, value.as_deref());
        }
        self.sent += count;
        self.messages.flush();
    }

    fn number(&self, sql: &str) -> u64 {
        let answer = self.clickhouse.try_query(&format!("{sql} FORMAT TSV"));
        answer.ok().and_then(|answer| answer.trim().parse().ok()).unwrap_or(0)
    }

    fn rows(&self, name: &str) -> u64 {
        self.number(&format!("SELECT count() FROM {name}.passed"))
    }

    fn letters(&self, code: &str) -> u64 {
        self.number(&format!("SELECT count() FROM engine.dead_letters WHERE stage = 'tenant' AND code = '{code}'"))
    }

    /// Waits until all that was sent is where it belongs, but for some tenants.
    fn wait_for_all(&mut self, but: &[&str]) {
        for (tenant, expected) in self.expected.clone() {
            if tenant == "tombstone" || but.contains(&&*tenant) {
                continue;
            }
            wait_for(&format!("{expected} of {tenant}"), BOUND, || {
                let runs = self.engine.as_mut().is_some_and(Engine::runs);
                assert!(runs, "{}", self.engine().output());
                let found = if tenant.ends_with("tenant") { self.letters(&tenant) } else { self.rows(&tenant) };
                if found >= expected { Ok(()) } else { Err(format!("{found}\n{}", self.engine().health())) }
            });
        }
    }

    fn control(&self, arguments: &[&str]) {
        let status = Command::new(program()).args(arguments).args(["--engine", self.engine().url()]).status();
        assert!(status.expect("the program runs").success(), "{arguments:?}");
    }

    fn fetched(&self) -> f64 {
        self.engine().metrics().expect("metrics").sum("engine_fetched_bytes_total", &[])
    }
}

fn is_plugin(name: &str) -> bool {
    name.ends_with(['4', '8'])
}

/// GIVEN twenty tenants in one topic, WHEN one is paused and resumed, one comes late, and the engine is killed, THEN each
/// tenant has its messages once, others have one dead letter, and what came was read once for all.
#[test]
fn tenants_that_share_a_topic_have_their_own_rows_and_read_it_once() {
    let kafka = Kafka::start();
    let mut world = World::start(&kafka);
    // As long as nobody has told of the late one, it is a stranger.
    world.wait_for_all(&[LATE, "unknown_tenant"]);

    let (before, sent) = (world.fetched(), world.bytes);
    world.send(4000);
    world.wait_for_all(&[LATE, "unknown_tenant"]);
    let (read, sent) = (world.fetched() - before, (world.bytes - sent) as f64);
    // Beside it, the plan of each plugin looks at the newest messages while the engine starts.
    assert!(read < 5.0 * sent, "{read} bytes were read of {sent}: not once for each of twenty tenants");

    world.control(&["tenant", "pause", PAUSED]);
    wait_for("the lanes to be paused", BOUND, || match world.engine().metrics() {
        Ok(metrics) if metrics.sum("engine_lanes", &[("state", "paused")]) >= 2.0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let paused = world.rows(PAUSED);
    world.send(4000);
    world.wait_for_all(&[LATE, PAUSED, "unknown_tenant"]);
    assert_eq!(world.rows(PAUSED), paused);

    let strangers = world.expected["unknown_tenant"] + world.expected[LATE];
    wait_for("a letter for each stranger's message", BOUND, || match world.letters("unknown_tenant") {
        found if found == strangers => Ok(()),
        found => Err(format!("{found} of {strangers}")),
    });
    world.add_tenant(LATE);
    world.wait_for_all(&[PAUSED]);
    let of_the_late = world.letters("unknown_tenant") - world.expected["unknown_tenant"];

    world.send(4000);
    world.engine.take().expect("it runs").kill();
    world.start_engine();
    world.send(1000);
    world.control(&["tenant", "resume", PAUSED]);
    world.wait_for_all(&[]);

    world.engine.take().expect("it runs").terminate();
    for (tenant, expected) in world.expected.iter().filter(|(tenant, _)| tenant.starts_with('t') && tenant.len() == 3) {
        assert_eq!(world.rows(tenant), *expected, "rows of {tenant}");
        let once = world.number(&format!("SELECT uniqExact(_partition, _offset) FROM {tenant}.passed"));
        assert_eq!(once, *expected, "each row of {tenant} once");
        if !is_plugin(tenant) {
            let own = format!("SELECT count() FROM {tenant}.passed WHERE value LIKE '%\"tenant\":\"{tenant}\"%'");
            assert_eq!(world.number(&own), *expected, "of {tenant} alone");
        }
    }
    for (code, more) in [("unknown_tenant", of_the_late), ("no_tenant", 0)] {
        assert_eq!(world.letters(code), world.expected[code] + more, "{code}");
    }
    let twice = "SELECT count() - uniqExact(partition, offset) FROM engine.dead_letters";
    assert_eq!(world.clickhouse.query(&format!("{twice} FORMAT TSV")).trim(), "0", "each letter once");
}
