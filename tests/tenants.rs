//! Tenants on a real Kafka and a real ClickHouse, each with topics, a database and a user of its own: added, changed, broken,
//! paused and removed while the engine runs. In the end each row is there once, in its own tenant's database alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use harness::clickhouse::{ClickHouse, QueryError, User};
use harness::engine::{Engine, Setup, program};
use harness::kafka::{Kafka, Messages};
use harness::place;
use harness::versions::Version;
use harness::wait::wait_for;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);
const PARTITIONS: i64 = 2;
static KAFKA: LazyLock<Kafka> = LazyLock::new(Kafka::start);

/// The statements in the README that make a tenant's user: what they grant, and which rows it sees.
fn user(name: &str) -> User {
    let readme = fs::read_to_string(place::repository().join("README.md")).expect("the README");
    let block = readme.split("```sql\n").find(|block| block.contains("CREATE USER acme")).expect("the statements");
    let block = block.split("```").next().expect("its end").replace("acme", name);
    let (mut grants, mut policies) = (Vec::new(), Vec::new());
    for statement in block.split_terminator(";\n") {
        let (statement, to) = statement.split_once(" TO ").unwrap_or((statement, ""));
        if statement.starts_with("GRANT ") {
            assert_eq!(to, name);
            grants.push(statement.to_owned());
        } else if let Some((_, policy)) = statement.split_once("CREATE ROW POLICY ") {
            let (place, condition) = policy.split_once(" USING ").expect("a condition");
            let (_, table) = place.split_once(" ON ").expect("a table");
            let (database, table) = table.split_once('.').expect("a database");
            policies.push([database, table, condition].map(str::to_owned));
        }
    }
    assert!(grants.len() > 5 && policies.len() == 1, "{grants:?} {policies:?}");
    User { name: name.to_owned(), password: format!("{name}'s secret"), grants, policies }
}

fn refused(answer: Result<String, QueryError>) {
    match answer {
        Err(QueryError::Server(words)) => assert!(words.contains("ACCESS_DENIED"), "{words}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_server_refuses_a_tenant_the_database_of_another() {
    let [alpha, beta] = [user("alpha"), user("beta")];
    let clickhouse = ClickHouse::start_with_users(&[alpha.clone(), beta.clone()]);
    for name in ["alpha", "beta"] {
        clickhouse.query(&format!("CREATE DATABASE {name} ENGINE = Atomic"));
    }
    let own = |sql: &str| clickhouse.try_query_as(&beta, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let _ = own("CREATE TABLE beta.t (a Int32) ENGINE = MergeTree ORDER BY a");
    let _ = own("INSERT INTO beta.t VALUES (1)");
    assert_eq!(own("SELECT a FROM beta.t").trim(), "1");
    for statement in [
        "SELECT a FROM beta.t",
        "INSERT INTO beta.t VALUES (2)",
        "CREATE TABLE beta.u (a Int32) ENGINE = MergeTree ORDER BY a",
        "CREATE VIEW alpha.v AS SELECT a FROM beta.t",
        "CREATE TABLE alpha.u ENGINE = MergeTree ORDER BY a AS SELECT a FROM beta.t",
        "ALTER TABLE beta.t DELETE WHERE 1",
        "DROP TABLE beta.t",
        "EXCHANGE TABLES beta.t AND beta.t",
        "CREATE DATABASE gamma",
        "SELECT * FROM url('http://127.0.0.1:1', 'TSV', 'a String')",
        "SELECT * FROM file('secret', 'TSV', 'a String')",
        "SELECT * FROM system.users",
    ] {
        refused(clickhouse.try_query_as(&alpha, statement));
    }
    for sight in ["system.tables", "system.parts", "system.columns"] {
        let sql = format!("SELECT count() FROM {sight} WHERE database = 'beta'");
        let seen = clickhouse.try_query_as(&alpha, &sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(seen.trim(), "0", "{sight}");
    }
    let seen = clickhouse.try_query_as(&alpha, "SELECT uniqExact(user), any(user) FROM system.processes");
    assert_eq!(seen.expect("its own queries").trim(), "1\talpha");
    assert_eq!(own("SELECT a FROM beta.t").trim(), "1");
}

/// An engine with tenants that all run one plugin, from topics and into databases of their own.
struct World {
    clickhouse: ClickHouse,
    setup: Setup,
    /// None: between two starts.
    engine: Option<Engine>,
    secrets: tempfile::TempDir,
    messages: Messages,
    sent: BTreeMap<&'static str, i64>,
}

const TENANTS: [&str; 3] = ["alpha", "beta", "gamma"];

impl World {
    fn start() -> Self {
        let users = TENANTS.map(user);
        let clickhouse = ClickHouse::start_with_users(&users);
        for name in TENANTS {
            clickhouse.query(&format!("CREATE DATABASE {name} ENGINE = Atomic"));
            KAFKA.create_topic(&format!("{name}.numbers"), i32::try_from(PARTITIONS).expect("few"));
        }
        let setup = Setup::new(&clickhouse.http_url(), "engine")
            .with(&["--kafka", &KAFKA.address(), "--set", "batch.linger_ms=50"])
            .with_plugins(&[]);
        let secrets = place::folder("secrets");
        let mut world =
            Self { engine: None, clickhouse, secrets, setup, messages: KAFKA.producer(), sent: BTreeMap::new() };
        world.write(&users);
        world.start_engine();
        world
    }

    /// Two tenants, the plugin of all, and a tenant that is wrong from the beginning, which is nobody else's trouble.
    fn write(&self, users: &[User]) {
        let plugins = &self.setup.plugins;
        fs::create_dir_all(plugins.join("_shared/passing")).expect("a folder");
        fs::write(plugins.join("_shared/passing/plugin.wasm"), Version::new("1").wasm()).expect("written");
        users.iter().for_each(|user| fs::write(self.secrets.path().join(&user.name), &user.password).expect("written"));
        ["alpha", "beta"].iter().for_each(|name| self.write_tenant(name, ""));
        fs::create_dir_all(plugins.join("wrong/p")).expect("a folder");
        fs::write(plugins.join("wrong/tenant.toml"), "prefix = 'wrong'\n").expect("written");
        fs::write(plugins.join("wrong/p/plugin.toml"), "topics = ['wrong.t']\nbronze = 'b'\n").expect("written");
    }

    fn start_engine(&mut self) {
        self.engine.insert(self.setup.start()).wait_until_up();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    fn write_tenant(&self, name: &str, more: &str) {
        write_tenant(&self.setup.plugins, self.secrets.path(), name, more);
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.setup.plugins.join(name)
    }

    /// So many numbers more on a tenant's topic.
    fn send(&mut self, name: &'static str, count: i64) {
        let sent = self.sent.entry(name).or_default();
        for n in *sent..*sent + count {
            let value = format!(r#"{{"before":null,"after":{{"n":{n}}},"op":"c"}}"#);
            let partition = i32::try_from(n % PARTITIONS).expect("few");
            self.messages.send(&format!("{name}.numbers"), partition, &n.to_string(), Some(&value));
        }
        *sent += count;
        self.messages.flush();
    }

    fn rows(&self, name: &str) -> i64 {
        let rows = self.clickhouse.try_query(&format!("SELECT count() FROM {name}.passed FORMAT TSV"));
        rows.ok().and_then(|rows| rows.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until all that was sent to a tenant is in its table.
    fn wait_for_rows(&mut self, name: &'static str) {
        let sent = self.sent[name];
        wait_for(&format!("{sent} rows of {name}"), BOUND, || {
            let runs = self.engine.as_mut().is_some_and(Engine::runs);
            assert!(runs, "{}", self.engine().output());
            let rows = self.rows(name);
            if rows == sent { Ok(()) } else { Err(format!("{rows}\n{}", self.engine().health())) }
        });
    }

    /// `engine …` about the running engine: exit code, and all that it said.
    fn control(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ENGINE_")) {
            command.env_remove(name);
        }
        command.args(arguments).args(["--engine", self.engine().url(), "--plugins"]).arg(&self.setup.plugins);
        let output = command.output().expect("the program runs");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{arguments:?}: {}\n{words}", output.status);
        (output.status.code(), words)
    }

    /// What `engine dlq list` says of all tenants.
    fn letters(&self) -> String {
        let mut command = Command::new(program());
        command.args(["dlq", "list", "--clickhouse", &self.clickhouse.http_url(), "--database", "engine", "--plugins"]);
        let output = command.arg(&self.setup.plugins).output().expect("the program runs");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{words}");
        words
    }

    fn tenant(&self, name: &str) -> Value {
        let (code, words) = self.control(&["tenant", "list", "--json"]);
        assert_eq!(code, Some(0), "{words}");
        let all: Value = serde_json::from_str(&words).expect("JSON");
        let found = all.as_array().and_then(|all| all.iter().find(|tenant| tenant["tenant"] == name));
        found.cloned().unwrap_or(Value::Null)
    }

    fn wait_for_tenant(&self, what: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, BOUND, || {
            let tenant = self.tenant(name);
            if holds(&tenant) { Ok(tenant) } else { Err(tenant.to_string()) }
        })
    }

    fn status_of(&self, path: &str) -> u16 {
        reqwest::blocking::get(format!("{}{path}", self.engine().url())).expect("an answer").status().as_u16()
    }
}

fn write_tenant(plugins: &Path, secrets: &Path, name: &str, more: &str) {
    let folder = plugins.join(name);
    fs::create_dir_all(folder.join("passing")).expect("a folder");
    // All topics by its words, and of those the tenant's.
    let plugin = "topics = ['^.*numbers$']\nshared = 'passing'\n";
    fs::write(folder.join("passing/plugin.toml"), plugin).expect("written");
    let password = secrets.join(name);
    let text = format!(
        "prefix = '{name}.'\n{more}\n[clickhouse]\nuser = '{name}'\npassword_file = '{}'\n",
        password.display()
    );
    fs::write(folder.join("tenant.toml"), text).expect("written");
}

#[test]
fn tenants_come_change_break_pause_and_go_and_each_row_is_there_once() {
    let mut world = World::start();

    // Two run, one is wrong from the beginning.
    for name in ["alpha", "beta"] {
        world.send(name, 100);
        world.wait_for_rows(name);
    }
    let wrong = world.tenant("wrong");
    assert_eq!(wrong["state"], "waiting", "{wrong}");
    assert!(wrong["why"].as_str().is_some_and(|why| why.contains("prefix: does not end with")), "{wrong}");
    assert_eq!(
        (world.status_of("/health"), world.status_of("/health/wrong"), world.status_of("/health/alpha")),
        (200, 503, 200)
    );
    assert_eq!(world.status_of("/health/nobody"), 404);
    assert!(world.engine().health().contains("tenant wrong waits"), "{}", world.engine().health());

    // Mended while the engine runs; and one more.
    fs::remove_dir_all(world.folder("wrong")).expect("removed");
    world.send("gamma", 50);
    world.write_tenant("gamma", "");
    world.wait_for_rows("gamma");
    world.wait_for_tenant("the wrong one to be gone", "wrong", Value::is_null);

    // Changed: shown at once, and what decides rows is a new version.
    world.write_tenant("alpha", "[limits]\nmemory_mib = 32\n[labels]\nteam = 'payments'\n");
    world.wait_for_tenant("the label", "alpha", |alpha| alpha["settings"]["labels"]["team"] == "payments");
    wait_for("a version with the tenant's limits", BOUND, || {
        let history =
            fs::read_to_string(world.setup.data_dir().join("history/alpha/passing.jsonl")).unwrap_or_default();
        if history.contains("\"trial\"") { Ok(()) } else { Err(history) }
    });
    let metrics = world.engine().metrics().expect("metrics");
    assert_eq!(metrics.sum("engine_tenant_info", &[("tenant", "alpha"), ("team", "payments")]), 1.0);

    // Commands know its plugin by both names.
    let (code, words) = world.control(&["plugin", "history", "alpha/passing"]);
    assert!(code == Some(0) && words.contains("trial"), "{words}");
    let (code, words) = world.control(&["status", "alpha/passing"]);
    assert!(code == Some(0) && words.contains("alpha/passing"), "{words}");
    let (code, words) = world.control(&["plugin", "pin", "alpha/passing"]);
    assert!(code == Some(0) && words.contains("plugin alpha/passing stays"), "{words}");
    assert_eq!(world.control(&["plugin", "unpin", "alpha/passing"]).0, Some(0));
    assert_eq!(world.control(&["plugin", "pin", "passing"]).0, Some(1), "the default tenant has no such plugin");

    // Broken: what ran goes on.
    fs::write(world.folder("alpha/tenant.toml"), "prefix = 'alpha'\n").expect("written");
    world.wait_for_tenant("the mistake", "alpha", |alpha| alpha["state"] == "mistaken");
    world.send("alpha", 100);
    world.wait_for_rows("alpha");
    world.write_tenant("alpha", "");
    world.wait_for_tenant("the mistake to be mended", "alpha", |alpha| alpha["state"] == "running");

    // Wrong credentials are not taken; right ones are, when the file has them again.
    fs::write(world.secrets.path().join("beta"), "wrong").expect("written");
    wait_for("the password to be refused", BOUND, || {
        let health = world.engine().health();
        if health.contains("plugin beta/passing is not taken from its folder") { Ok(()) } else { Err(health) }
    });
    world.send("beta", 100);
    world.wait_for_rows("beta");
    fs::write(world.secrets.path().join("beta"), "beta's secret").expect("written");
    wait_for("the password to be taken", BOUND, || {
        let health = world.engine().health();
        if health.contains("plugin beta/passing is not taken") { Err(health) } else { Ok(()) }
    });

    // Paused, over a restart.
    let (code, words) = world.control(&["tenant", "pause", "beta"]);
    assert_eq!((code, words.trim()), (Some(0), "tenant beta is paused: its rows wait in Kafka"));
    let paused = |beta: &Value| beta["state"] == "paused" && beta["lanes"]["paused"] == PARTITIONS;
    world.wait_for_tenant("its lanes to be paused", "beta", paused);
    world.engine.take().expect("it runs").terminate();
    world.start_engine();
    world.send("beta", 100);
    world.send("alpha", 100);
    world.wait_for_rows("alpha");
    world.wait_for_tenant("its lanes to be paused again", "beta", paused);
    assert_eq!(world.rows("beta"), 200);
    assert_eq!(world.status_of("/health/beta"), 200, "nobody has to be woken for what an operator said");
    assert_eq!(world.control(&["tenant", "pause", "nobody"]).0, Some(1));
    let (code, words) = world.control(&["tenant", "resume", "beta"]);
    assert_eq!((code, words.trim()), (Some(0), "tenant beta goes on"));
    world.wait_for_rows("beta");

    // Gone, and back.
    let aside = world.secrets.path().join("aside");
    fs::rename(world.folder("gamma"), &aside).expect("moved");
    world.wait_for_tenant("the tenant to be gone", "gamma", Value::is_null);
    world.send("gamma", 50);
    world.send("alpha", 10);
    world.wait_for_rows("alpha");
    assert_eq!(world.rows("gamma"), 50);
    fs::rename(&aside, world.folder("gamma")).expect("moved");
    world.wait_for_rows("gamma");

    // What can't be read is its own tenant's dead letter.
    world.messages.send("alpha.numbers", 0, "bad", Some("no JSON"));
    world.messages.flush();
    wait_for("the dead letter", BOUND, || {
        let letters = world.clickhouse.query("SELECT tenant, plugin FROM alpha.dead_letters FORMAT TSV");
        if letters == "alpha\tpassing\n" { Ok(()) } else { Err(letters) }
    });
    let words = world.letters();
    assert!(words.contains("1  alpha/passing decode"), "{words}");
    let world = end(world);
    read_again(world);
}

/// Each number is there once, in its own tenant's database, whose user has made all that is there; no password was said.
fn end(mut world: World) -> World {
    let engine = world.engine.take().expect("it runs");
    let output = engine.output();
    engine.terminate();
    let World { clickhouse, setup, sent, .. } = &world;
    let (code, words) = setup.ask(&["check"], None);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("alpha/passing\n  tenant    alpha: those that begin with alpha.; to"), "{words}");
    for name in TENANTS {
        let sql = format!(
            "SELECT count(), uniqExact(n), min(n), max(n), groupUniqArray(_topic) FROM {name}.passed FORMAT TSV"
        );
        let (count, last) = (sent[name], sent[name] - 1);
        assert_eq!(clickhouse.query(&sql).trim(), format!("{count}\t{count}\t0\t{last}\t['{name}.numbers']"));
        let tables =
            clickhouse.query(&format!("SELECT name FROM system.tables WHERE database = '{name}' ORDER BY name"));
        assert_eq!(tables, "dead_letters\nengine_fences\npassed\n");
        let (code, words) = setup.ask(&["verify", &format!("{name}/passing")], None);
        assert_eq!(code, Some(0), "{words}");
        assert!(!output.contains(&format!("{name}'s secret")), "a password was said");
        assert!(!words.contains(&format!("{name}'s secret")), "a password was said");
    }
    assert_eq!(clickhouse.query("SELECT count() FROM system.tables WHERE database = 'engine'").trim(), "0");
    let kept = Command::new("grep").args(["-rl", "s secret"]).arg(setup.data_dir()).output().expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "", "a password was kept");
    world
}

/// The grants suffice for reading again as well: into shadows, and after deleting.
fn read_again(mut world: World) {
    let (code, words) = world.setup.ask(&["replay", "gamma/passing", "--from", "start", "--shadow"], None);
    assert_eq!(code, Some(0), "{words}");
    let count = |world: &World| world.clickhouse.query("SELECT count(), uniqExact(n) FROM gamma.passed FORMAT TSV");
    assert_eq!(count(&world).trim(), "100\t100");
    let (code, words) = world.setup.ask(&["replay", "beta/passing", "--from", "start", "--delete-rows"], None);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(world.rows("beta"), 0);
    world.start_engine();
    world.wait_for_rows("beta");
    world.engine.take().expect("it runs").terminate();
}
