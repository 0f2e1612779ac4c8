//! An author's day, with the real program from an empty folder: new, cargo test, build, test, inspect, bench, run.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use harness::wait::wait_for;
use harness::{engine, place};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

/// Name and template of the projects.
const PROJECTS: [(&str, &str); 5] = [
    ("customers", "clean"),
    ("payments", "route"),
    ("sensor-readings", "batch"),
    ("once", "dedup"),
    ("visits", "sessions"),
];

/// A folder with a project of each template, built.
///
/// Outside of the repository, as a user's is. Its name is the same in each run: cargo knows crates by their path, and
/// would compile the SDK into a new corner of the target folder each time.
struct Day {
    folder: PathBuf,
    /// What `engine plugin test` said of all of them, before other tests changed any.
    cases: String,
}

/// Made once for all tests of this file; each changes none but its own files.
static DAY: LazyLock<Day> = LazyLock::new(Day::begin);

impl Day {
    fn begin() -> Self {
        let mut hash = DefaultHasher::new();
        target().hash(&mut hash);
        let folder = std::env::temp_dir().join(format!("engine-author-{:016x}", hash.finish()));
        let mut day = Self { folder, cases: String::new() };
        let _ = fs::remove_dir_all(&day.folder); // of an earlier run
        fs::create_dir_all(&day.folder).expect("a folder");
        for (name, template) in PROJECTS {
            let said = succeeded(&day.engine(&["new", name, "--template", template]));
            assert!(said.contains(&format!("plugins/{name}: a plugin from template {template}")), "{said}");
        }
        for (name, _) in PROJECTS {
            let said = succeeded(&day.cargo(name, &["test", "--quiet"]));
            assert!(said.contains("2 passed"), "{said}");
        }
        let said = succeeded(&day.engine(&["build"]));
        for (name, _) in PROJECTS {
            assert!(said.contains(&format!("plugins/{name}/plugin.wasm")), "{said}");
        }
        day.cases = succeeded(&day.engine(&["test"]));
        day
    }

    /// `engine plugin …` where the folder of plugins lies.
    fn engine(&self, args: &[&str]) -> Output {
        let mut command = Command::new(engine::program());
        // The compiled dependencies of the repository's own plugins: the same crates with the same profile.
        command.current_dir(&self.folder).arg("plugin").args(args).env("CARGO_TARGET_DIR", target());
        command.env_remove("ENGINE_PLUGINS").output().expect("the engine runs")
    }

    fn cargo(&self, project: &str, args: &[&str]) -> Output {
        let mut command = Command::new("cargo");
        command.current_dir(self.project(project)).args(args).env("CARGO_TARGET_DIR", target().join("author"));
        command.output().expect("cargo runs")
    }

    fn project(&self, name: &str) -> PathBuf {
        self.folder.join("plugins").join(name)
    }

    fn case(&self, project: &str, file: &str) -> PathBuf {
        self.project(project).join("cases/changes").join(file)
    }
}

/// The folder that these tests were built in: TARGET/PROFILE/deps/NAME.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    test.ancestors().nth(3).expect("tests are built below the target folder").to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of what must succeed.
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Both outputs of what must end with this code.
fn ended(output: &Output, code: i32) -> String {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_template_passes_its_own_cases_in_the_real_host() {
    assert!(DAY.cases.contains("5 of 5 cases as expected"), "{}", DAY.cases);
}

#[test]
fn a_difference_is_told_by_row_and_column_and_can_be_accepted() {
    let expected = DAY.case("payments", "expected.jsonl");
    let right = read(&expected);
    fs::write(&expected, right.replace("invoice 7", "invoice 8")).expect("written");
    let said = ended(&DAY.engine(&["test", "payments"]), 1);
    for part in ["payments_by_transfer, line 2", "reference", "- \"invoice 8\"", "+ \"invoice 7\""] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    fs::remove_file(&expected).expect("removed");
    let said = ended(&DAY.engine(&["test", "payments"]), 1);
    assert!(said.contains("engine plugin test payments --update"), "{said}");
    succeeded(&DAY.engine(&["test", "payments", "--update"]));
    assert_eq!(read(&expected), right);
}

#[test]
fn a_cases_settings_reach_the_plugin() {
    let (changes, hot) = (DAY.project("sensor-readings").join("cases/changes"), "cases/hot");
    let hot = DAY.project("sensor-readings").join(hot);
    fs::create_dir_all(&hot).expect("made");
    fs::copy(changes.join("input.jsonl"), hot.join("input.jsonl")).expect("copied");
    fs::write(hot.join("case.toml"), "[parameters]\nhottest = 1000\n").expect("written");
    succeeded(&DAY.engine(&["test", "sensor-readings", "--update"]));
    let accepted = read(&hot.join("expected.jsonl"));
    assert!(accepted.contains("\"fahrenheit\":\"842\"") && !accepted.contains("dead"), "{accepted}");
    fs::write(hot.join("case.toml"), "[parameters]\nhotest = 1000\n").expect("written");
    let said = ended(&DAY.engine(&["test", "sensor-readings"]), 1);
    assert!(said.contains("parameter hotest is not one of the plugin's"), "{said}");
    fs::remove_dir_all(&hot).expect("removed");
}

#[test]
fn a_build_without_a_change_leaves_the_file_and_an_error_of_the_compiler_comes_through() {
    let said = succeeded(&DAY.engine(&["new", "broken"]));
    assert!(said.contains("plugins/broken"), "{said}");
    succeeded(&DAY.engine(&["build", "broken"]));
    let plugin = DAY.project("broken").join("plugin.wasm");
    let before = fs::metadata(&plugin).and_then(|it| it.modified()).expect("built");
    let said = succeeded(&DAY.engine(&["build", "broken"]));
    assert!(said.contains("unchanged"), "{said}");

    let source = DAY.project("broken").join("src/lib.rs");
    let right = read(&source);
    fs::write(&source, right.replace("Lowercase(email)", "Lowercased(email)")).expect("written");
    let said = ended(&DAY.engine(&["build", "broken"]), 1);
    assert!(said.contains("error[E0425]") && said.contains("broken does not compile"), "{said}");
    assert_eq!(fs::metadata(&plugin).and_then(|it| it.modified()).expect("still there"), before);
    let said = succeeded(&DAY.engine(&["test", "broken"]));
    assert!(said.contains("1 of 1 case as expected"), "{said}");

    // What a new build changes is told.
    fs::write(&source, right.replace("    note: Pass<Option<&'a str>>,\n", "").replace("        note: pass(),\n", ""))
        .expect("written");
    let said = succeeded(&DAY.engine(&["build", "broken"]));
    assert!(said.contains("- writes broken.note Utf8?"), "{said}");
    fs::remove_dir_all(DAY.project("broken")).expect("removed");
}

#[test]
fn what_plain_cargo_builds_is_a_plugin_and_inspect_says_what_it_is() {
    let build = ["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown"];
    let toolchain = place::script("plugin-sdk/toolchain/wasm-target.sh", &[]);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(DAY.project("customers")).args(build).env("RUSTUP_TOOLCHAIN", &toolchain);
    // Of its own for another toolchain than the host's.
    cargo.env("CARGO_TARGET_DIR", target().join("author/wasm"));
    succeeded(&cargo.output().expect("cargo runs"));
    let plain = target().join("author/wasm/wasm32-unknown-unknown/release/customers.wasm");

    for file in [plain.to_str().expect("a path of text"), "customers"] {
        let said: Value = serde_json::from_str(&succeeded(&DAY.engine(&["inspect", file, "--json"]))).expect("JSON");
        assert_eq!(said["kind"], "core module");
        assert_eq!(said["plugin"]["name"], "customers");
        assert_eq!(said["plugin"]["outputs"][0]["table"], "customers");
        let statement = said["plugin"]["statements"]["customers"][0].as_str().expect("a statement");
        assert!(statement.contains("ReplacingMergeTree(_version, _deleted)"), "{statement}");
        assert!(said["imports"].as_object().expect("imports").keys().all(|from| from.starts_with("engine:plugin/")));
    }
    let said = ended(&DAY.engine(&["inspect", "plugins/customers/Cargo.toml"]), 1);
    assert!(said.contains("it does not begin with the bytes 00 61 73 6d"), "{said}");
    let said = ended(&DAY.engine(&["inspect", "custmers"]), 2);
    assert!(said.contains("Name one of customers, once, payments, sensor-readings, visits"), "{said}");
}

#[test]
fn bench_says_what_rows_and_calls_cost() {
    let said = succeeded(&DAY.engine(&["bench", "customers", "--rows", "600"]));
    for part in ["epochs of 600 messages", "decode", "rows a second", "bytes a row into the plugin", "ns a row ("] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn run_shows_a_file_and_a_topic_and_what_can_not_be_shown_as_a_row() {
    let file = DAY.case("customers", "input.jsonl");
    let output = DAY.engine(&["run", "customers", "--source", file.to_str().expect("a path of text")]);
    let said = ended(&output, 0);
    for part in ["Ada Lovelace", "dead letter  shop.public.customers/0 offset 2: transform bad_email", "5 messages"] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }

    let cluster = MockCluster::new(1).expect("a mock cluster");
    let brokers = cluster.bootstrap_servers();
    let topic = "shop.public.customers";
    cluster.create_topic(topic, 1, 1).expect("a topic");
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a producer");
    for line in read(&file).lines() {
        let message: Value = serde_json::from_str(line).expect("a recorded message");
        let record = BaseRecord::to(topic).partition(0).key(message["key"].as_str().expect("a key"));
        let sent = match message["value"].as_str() {
            Some(value) => producer.send(record.payload(value)),
            None => producer.send(record),
        };
        sent.map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(Duration::from_secs(30)).expect("sent");

    let run = |args: &[&str]| {
        let args: Vec<&str> = ["run", "customers", "--kafka", &brokers, "--json"].iter().chain(args).copied().collect();
        succeeded(&DAY.engine(&args)).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = read(&DAY.case("customers", "expected.jsonl"));
    let all = run(&[]);
    assert_eq!(all[..3], expected.lines().take(3).collect::<Vec<_>>());
    assert!(all[3].contains("bad_email") && all[3].contains("there is no @ in it"), "{all:?}");
    assert_eq!(run(&["--from", "1", "--limit", "1"]), [expected.lines().nth(1).expect("a line")]);
    assert_eq!(run(&["--from", "-2"]), [expected.lines().nth(2).expect("a line")]);
    assert!(run(&["--from", "latest"]).is_empty());
}

/// GIVEN an author who works on a plugin with `engine dev`, WHEN its source is saved, THEN it is built, an engine takes it
/// over, and the difference is shown with the seconds of each step; WHEN what is saved does not compile, THEN the compiler says
/// why, and the next save is waited for.
#[test]
fn what_is_saved_is_built_taken_over_and_compared() {
    succeeded(&DAY.engine(&["new", "letters"]));
    succeeded(&DAY.engine(&["build", "letters"]));
    let input = DAY.case("letters", "input.jsonl");
    let log = DAY.folder.join("dev.log");
    let out = fs::File::create(&log).expect("made");
    let mut command = Command::new(engine::program());
    command.current_dir(&DAY.folder).args(["dev", "letters", "--versions", "1", "--source"]).arg(&input);
    command
        .env("CARGO_TARGET_DIR", target())
        .env("CLICKHOUSE_SERVE", place::script("tests/stack/clickhouse/fetch.sh", &[]));
    command.stderr(out.try_clone().expect("a handle")).stdout(out).env_remove("ENGINE_PLUGINS");
    let mut dev = command.spawn().expect("the engine runs");
    let said = |part: &str| {
        wait_for(&format!("{part:?} to be said"), Duration::from_secs(300), || {
            let log = read(&log);
            if log.contains(part) { Ok(log) } else { Err(log) }
        })
    };
    said("save its source");
    let source = DAY.project("letters").join("src/lib.rs");
    let right = read(&source);
    fs::write(&source, right.replace("Lowercase(email)", "Lowercased(email)")).expect("written");
    said("error[E0425]");
    // Names lose their first letter: every row that has one differs in that column.
    fs::write(
        &source,
        right.replace(".map(str::trim)", ".map(|name| name.trim().trim_start_matches(char::is_uppercase))"),
    )
    .expect("written");
    let log = said("from save to the first row");
    assert!(dev.wait().expect("it ends by itself").success());
    for part in ["~ name  differs in", "rustc", "compile and cases", "load", "swap", "cases differ"] {
        assert!(log.contains(part), "{part:?} is not in\n{log}");
    }
    fs::remove_dir_all(DAY.project("letters")).expect("removed");
}

#[test]
fn names_that_are_taken_are_refused() {
    let said = ended(&DAY.engine(&["new", "customers"]), 2);
    assert!(said.contains("is there already"), "{said}");
}

#[test]
fn what_keeps_state_is_told_measured_and_shown_over_epochs() {
    let said: Value = serde_json::from_str(&succeeded(&DAY.engine(&["inspect", "visits", "--json"]))).expect("JSON");
    assert_eq!(said["contract"], "0.3.0");
    assert_eq!(said["plugin"]["state"]["tables"][0]["name"], "sessions");
    assert_eq!(said["plugin"]["event_time"]["delay_ms"], 60_000);
    let said = succeeded(&DAY.engine(&["inspect", "once"]));
    assert!(said.contains("keeps state of version 1: dedup"), "{said}");

    let said = succeeded(&DAY.engine(&["bench", "visits", "--rows", "600"]));
    assert!(said.contains("ns a row ("), "{said}");

    let file = DAY.case("visits", "input.jsonl");
    let said = succeeded(&DAY.engine(&["run", "visits", "--source", file.to_str().expect("a path of text")]));
    assert!(said.contains("visits_visits") && said.contains("/cart"), "{said}");
}

/// The SDK's folder is brought up to date, and edited files are kept.
#[test]
fn an_edited_sdk_is_used_as_it_is_and_said_so() {
    let file = DAY.folder.join("plugins/.sdk/plugin-sdk/README.md");
    let right = read(&file);
    fs::write(&file, "mine").expect("written");
    let said = ended(&DAY.engine(&["build", "customers"]), 0);
    assert!(said.contains("was edited: plugin-sdk/README.md"), "{said}");
    fs::write(&file, right).expect("written");
    let said = ended(&DAY.engine(&["build", "customers"]), 0);
    assert!(!said.contains("edited"), "{said}");
}

/// GIVEN a project whose case is in Avro, with the registry's answers beside it, WHEN it is tested, run and measured, THEN
/// each reads it; WHEN the answers are gone, THEN it is said what is missing.
#[test]
fn cases_in_avro_are_read_with_the_answers_beside_them() {
    let recorded = place::repository().join("schemas/debezium/avro");
    let project = DAY.folder.join("avro/orders");
    let case = project.join("cases/avro");
    fs::create_dir_all(&case).expect("made");
    let wasm = engine::plugins().join("orders/plugin.wasm");
    fs::copy(wasm, project.join("plugin.wasm")).expect("copied");
    fs::write(project.join("plugin.toml"), "topics = [\"^.*inventory.orders$\"]\n").expect("written");
    fs::copy(recorded.join("orders.jsonl"), case.join("input.jsonl")).expect("copied");
    fs::copy(recorded.join("schemas.json"), case.join("schemas.json")).expect("copied");
    let asked = |args: &[&str]| DAY.engine(&[args, &["--plugins", "avro"]].concat());

    succeeded(&asked(&["test", "orders", "--update"]));
    let accepted = read(&case.join("expected.jsonl"));
    assert!(accepted.contains("ORD-1001") && !accepted.contains("dead"), "{accepted}");
    let source = case.join("input.jsonl");
    let shown = succeeded(&asked(&["run", "orders", "--source", &source.to_string_lossy(), "--json"]));
    assert!(shown.contains("ORD-1001") && !shown.contains("dead"), "{shown}");
    let measured = succeeded(&asked(&["bench", "orders", "--rows", "64"]));
    assert!(measured.contains("decode: bytes to columns"), "{measured}");

    fs::remove_file(case.join("schemas.json")).expect("removed");
    let said = ended(&asked(&["test", "orders"]), 1);
    assert!(said.contains("no_registry"), "{said}");
}
