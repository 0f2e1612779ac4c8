//! Plugins that change under a running engine, on a real Kafka and a real ClickHouse: by what is done to their files, good
//! and bad. Numbers are sent all the while; in the end each is in the table once, in the order in which it came.

mod compare;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, Plugin, Setup};
use harness::kafka::Kafka;
use harness::numbers::{Numbers, SWARM};
use harness::versions::{Does, Version, much_code};
use harness::wait::{wait_for, wait_until};
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 2;
/// One broker for all tests. It dies with the process.
static KAFKA: LazyLock<Kafka> = LazyLock::new(Kafka::start);

fn toml(name: &str) -> String {
    format!("topics = [\"numbers-{name}\"]\nplugin_column = true\n[limits]\ncall_ms = 500\nmemory_mib = 16\n")
}

/// A running engine with one plugin.
struct World {
    clickhouse: ClickHouse,
    setup: Setup,
    engine: Engine,
    load: Option<Numbers>,
}

impl World {
    fn start(name: &str, first: &Version) -> Self {
        let (topic, clickhouse) = (format!("numbers-{name}"), ClickHouse::start());
        KAFKA.create_topic(&topic, PARTITIONS);
        let toml = toml(name);
        let plugin = Plugin { name: "passing", settings: &toml, artifact: None };
        let setup = Setup::new(&clickhouse.http_url(), "reload")
            .with(&["--kafka", &KAFKA.address(), "--set", "batch.linger_ms=50"])
            .with_plugins(&[plugin]);
        fs::write(setup.plugins.join("passing/plugin.wasm"), first.wasm()).expect("plugin.wasm");
        let mut engine = setup.start();
        engine.wait_until_up();
        let load = Some(Numbers::start(KAFKA.producer(), &topic, PARTITIONS));
        let mut world = Self { clickhouse, setup, engine, load };
        world.wait_for_rows_of(&first.says);
        world
    }

    fn folder(&self) -> PathBuf {
        self.setup.plugins.join("passing")
    }

    fn load(&self) -> &Numbers {
        self.load.as_ref().expect("it runs until the end")
    }

    /// Exchanges the artifact in one step.
    fn rename(&self, wasm: &[u8]) {
        fs::write(self.folder().join(".new"), wasm).expect("a file beside it");
        fs::rename(self.folder().join(".new"), self.folder().join("plugin.wasm")).expect("a rename");
    }

    fn rows(&self, sql: &str) -> String {
        self.clickhouse.try_query(sql).unwrap_or_default()
    }

    /// Waits until each partition has rows by a version.
    fn wait_for_rows_of(&mut self, says: &str) {
        let sql = format!("SELECT uniqExact(_partition) FROM reload.passed WHERE _plugin LIKE '{says}@%' FORMAT TSV");
        wait_for(&format!("rows by version {says}"), BOUND, || {
            assert!(self.engine.runs());
            let partitions = self.rows(&sql);
            if partitions.trim() == PARTITIONS.to_string() { Ok(()) } else { Err(self.engine.health()) }
        });
    }

    fn history(&self) -> Vec<Value> {
        let file = self.setup.data_dir().join("history/default/passing.jsonl");
        let lines = fs::read_to_string(file).unwrap_or_default();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the history has a new note of this kind, and gives its reason.
    fn wait_for_note(&mut self, what: &str, known: usize) -> String {
        self.wait_for_note_within(BOUND, what, known)
    }

    fn wait_for_note_within(&mut self, bound: Duration, what: &str, known: usize) -> String {
        wait_for(&format!("{what} in the history"), bound, || {
            assert!(self.engine.runs());
            let history = self.history();
            let note = history.iter().skip(known).find(|note| note["what"] == what);
            note.map(|note| note["reason"].as_str().unwrap_or_default().to_owned())
                .ok_or_else(|| format!("{:?}\n{}", &history[known..], self.engine.health()))
        })
    }

    /// Waits until a message that the plugin had not seen before is in the table.
    fn wait_for_new_rows(&self) {
        let sent = self.load().sent();
        wait_until("rows that were sent since", BOUND, || {
            let last: i64 = self.rows("SELECT max(n) FROM reload.passed FORMAT TSV").trim().parse().unwrap_or(0);
            last >= sent
        });
    }

    /// Ends the load and waits for its rows. Each number must be there once, in its place, and nothing beside it; answers by
    /// which versions, in the order of their first rows, for each partition.
    fn end(mut self) -> Vec<Vec<String>> {
        let sent = self.load.take().expect("it runs").end();
        wait_for("all rows", BOUND, || {
            let rows = self.rows("SELECT count() FROM reload.passed FORMAT TSV");
            if rows.trim() == sent.to_string() {
                Ok(())
            } else {
                Err(format!("{rows} of {sent}\n{}", self.engine.health()))
            }
        });
        let wrong = "SELECT count() FROM reload.passed WHERE n != _offset * 2 + _partition FORMAT TSV";
        assert_eq!(self.rows(wrong).trim(), "0", "numbers in other places");
        let doubled = "SELECT count() - uniqExact(n) FROM reload.passed FORMAT TSV";
        assert_eq!(self.rows(doubled).trim(), "0", "rows twice");
        let letters = "SELECT count() FROM reload.dead_letters FORMAT TSV";
        assert_eq!(self.rows(letters).trim(), "0", "dead letters");
        let versions = (0..PARTITIONS).map(|partition| {
            let sql = format!(
                "SELECT _plugin, min(_offset), max(_offset) - min(_offset) + 1 - count() FROM reload.passed \
                 WHERE _partition = {partition} GROUP BY _plugin ORDER BY min(_offset) FORMAT TSV"
            );
            let lines = self.rows(&sql);
            let version = |line: &str| {
                let [plugin, _, gaps] =
                    <[&str; 3]>::try_from(line.split('\t').collect::<Vec<_>>()).expect("three columns");
                (plugin.split('@').next().unwrap_or_default().to_owned(), gaps == "0")
            };
            lines.lines().map(version).collect::<Vec<_>>()
        });
        let versions: Vec<Vec<(String, bool)>> = versions.collect();
        self.engine.terminate();
        versions
            .into_iter()
            .map(|versions| {
                let name =
                    |(name, whole): (String, bool)| if whole { name } else { format!("{name} (not contiguous)") };
                versions.into_iter().map(name).collect()
            })
            .collect()
    }
}

/// GIVEN a plugin under load, WHEN its artifact is exchanged by a rename, written in place, exchanged with a table that has
/// one more column, its plugin.toml is changed and becomes wrong, and its folder goes and comes again, THEN each version's
/// rows are a contiguous range of each partition, and each number is there once.
#[test]
fn versions_follow_their_files() {
    let mut world = World::start("files", &Version::new("1.0"));
    world.rename(&Version::new("1.1").wasm());
    world.wait_for_rows_of("1.1");
    fs::write(world.folder().join("plugin.wasm"), Version::new("1.2").wasm()).expect("plugin.wasm");
    world.wait_for_rows_of("1.2");
    world.rename(&Version { copy: Some("copy"), ..Version::new("1.3") }.wasm());
    world.wait_for_rows_of("1.3");
    assert_ne!(world.rows("SELECT count() FROM reload.passed WHERE copy = n FORMAT TSV").trim(), "0");

    // Settings are a version as well; wrong ones change nothing but what is said.
    let known = world.history().len();
    fs::write(world.folder().join("plugin.toml"), toml("files").replace("500", "600")).expect("plugin.toml");
    world.wait_for_note("trial", known);
    fs::write(world.folder().join("plugin.toml"), "topic = [\"numbers\"]\n").expect("plugin.toml");
    wait_until("the mistake", BOUND, || world.engine.health().contains("did you mean topics?"));
    world.wait_for_new_rows();
    fs::write(world.folder().join("plugin.toml"), toml("files")).expect("plugin.toml");
    wait_until("no mistake", BOUND, || !world.engine.health().contains("did you mean topics?"));

    // A plugin that is gone ends its lanes; it goes on where it was.
    let aside = world.setup.plugins.with_file_name("aside");
    fs::rename(world.folder(), &aside).expect("a rename");
    wait_until("no lanes", BOUND, || world.engine.health().contains("\"lanes\":[]"));
    fs::rename(&aside, world.folder()).expect("a rename");
    world.wait_for_new_rows();

    let engine = world.engine.metrics().expect("metrics");
    assert!(engine.sum("engine_plugin_swaps_total", &[("plugin", "passing")]) >= 4.0);
    assert!(engine.sum("engine_plugin_load_seconds_count", &[("step", "prepare")]) >= 4.0);
    assert_eq!(engine.sum("engine_plugin_refusals_total", &[("cause", "settings")]), 1.0);
    for versions in world.end() {
        assert_eq!(versions, ["1.0", "1.1", "1.2", "1.3"]);
    }
}

/// GIVEN a plugin under load, WHEN each bad version of a set comes, THEN it is refused, or taken back before any of its rows
/// is written, in words; and the rows are those of a run without the attempt.
#[test]
fn bad_versions_are_refused_or_taken_back() {
    let good = Version { copy: Some("copy"), ..Version::new("good") };
    let mut world = World::start("bad", &good);
    let bad = |does| Version { does, ..good.clone() }.wasm().to_vec();
    let named = |says: &str, version: Version| Version { says: says.to_owned(), ..version }.wasm().to_vec();
    let other_contract = replaced(&good.wasm(), b"engine:plugin/", b"@0.3.0", b"@0.9.0");
    let set: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("not wasm", b"#!/bin/sh".to_vec(), "refused", "this is no WebAssembly binary"),
        ("truncated", good.wasm()[..good.wasm().len() / 2].to_vec(), "refused", "damaged, truncated"),
        ("another contract", other_contract, "refused", "version 0.9.0 of the plugin contract"),
        ("50 MB of code", much_code(50 << 20), "refused", "at most 16 MiB are compiled"),
        ("traps at once", bad(Does::Traps), "withdrawn", "plugin trapped"),
        ("never ends", bad(Does::Loops), "withdrawn", "500 ms"),
        ("eats memory", bad(Does::Hogs), "withdrawn", "memory"),
        ("rejects all", bad(Does::Rejects), "withdrawn", "dead letters"),
        (
            "another kind of table",
            named("kind", Version { kind: "current", ..good.clone() }),
            "refused",
            "RENAME TABLE",
        ),
        ("a column less", named("less", Version::new("less")), "refused", "MODIFY COLUMN `copy`"),
        ("another type", named("type", Version { number: "float64", ..good.clone() }), "refused", "MODIFY COLUMN `n`"),
        (
            "other state",
            named("state", Version { state: 2, ..good.clone() }),
            "refused",
            "engine recover --plugin passing",
        ),
    ];
    let mut seen = BTreeMap::new();
    for (name, wasm, what, words) in set {
        let known = world.history().len();
        world.rename(&wasm);
        let reason = world.wait_for_note(what, known);
        assert!(reason.contains(words), "{name}: {reason}");
        seen.insert(name, reason);
        world.wait_for_new_rows();
    }
    seen.iter().for_each(|(name, reason)| println!("{name}: {reason}"));
    let health = world.engine.health();
    assert!(health.contains("plugin passing is not taken from its folder"), "{health}");
    let metrics = world.engine.metrics().expect("metrics");
    assert_eq!(metrics.sum("engine_plugin_withdrawals_total", &[]), 4.0);
    assert_eq!(metrics.sum("engine_plugin_refusals_total", &[]), 8.0);
    for versions in world.end() {
        assert_eq!(versions, ["good"]);
    }
}

/// GIVEN a version that was taken back in the midst of its work, WHEN the engine is started again, and when the file
/// changes, THEN the version before goes on, and the next one is tried.
#[test]
fn a_version_that_was_taken_back_is_not_tried_again() {
    let mut world = World::start("back", &Version::new("one"));
    let later = world.load().hold_after(0) + 11 * SWARM;
    world.rename(&Version::that("two", Does::TrapsAt(later)).wasm());
    world.wait_for_note("trial", 0);
    assert_eq!(world.load().hold_after(10), later);
    world.wait_for_rows_of("two");
    world.load().go_on();
    let reason = world.wait_for_note("withdrawn", 0);
    assert!(reason.contains(&format!("offset {}", later / 2)), "{reason}");
    world.wait_for_new_rows();

    let known = world.history().len();
    world.engine.kill();
    world.engine = world.setup.start();
    world.engine.wait_until_up();
    world.wait_for_new_rows();
    assert!(world.engine.health().contains("was withdrawn"), "{}", world.engine.health());
    assert_eq!(world.history().len(), known, "nothing new has happened");

    world.rename(&Version::new("three").wasm());
    world.wait_for_rows_of("three");
    let versions = world.end();
    for versions in versions {
        assert_eq!(versions, ["one (not contiguous)", "two", "three"], "one, two, one again, three");
    }
}

/// GIVEN a version that writes a column more, WHEN it traps far behind its first row, and the engine is started again, THEN
/// the version before goes on, beside the column that it does not know.
///
/// `TRAP_ROW` says at which row of how many (a million takes some four minutes).
#[test]
fn a_version_that_traps_late_leaves_nothing_but_a_column() {
    let row = std::env::var("TRAP_ROW").map_or(20_000, |row| row.parse().expect("a number"));
    let mut world = World::start("late", &Version::new("before"));
    let first = world.load().hold_after(0);
    let at = first + row;
    let toml = format!("{}[rollout]\nprobation_s = 3600\n", toml("late"));
    fs::write(world.folder().join("plugin.toml"), toml).expect("plugin.toml");
    world.rename(&Version { copy: Some("copy"), ..Version::that("late", Does::TrapsAt(at)) }.wasm());
    world.wait_for_note("trial", 0);
    world.load().go_on();
    let sending = Duration::from_millis(row.unsigned_abs()); // a fifth of it at the load's speed
    let reason = world.wait_for_note_within(BOUND + sending, "withdrawn", 0);
    assert!(reason.contains(&format!("offset {}", at / 2)) && reason.contains("trapped"), "{reason}");
    world.wait_for_new_rows();

    world.engine.kill();
    world.engine = world.setup.start();
    world.engine.wait_until_up();
    world.wait_for_new_rows();
    let by_late =
        world.rows("SELECT count(), countIf(copy != n) FROM reload.passed WHERE _plugin LIKE 'late@%' FORMAT TSV");
    let (rows, wrong) = by_late.trim().split_once('\t').expect("two columns");
    assert!(rows.parse::<i64>().expect("a number") > row / 2, "{rows} rows by it");
    assert_eq!(wrong, "0");
    for versions in world.end() {
        assert_eq!(versions.first().map(String::as_str), Some("before (not contiguous)"));
    }
}

/// GIVEN a version on trial whose state the one before does not read, WHEN its file is damaged and the engine starts again, THEN
/// it goes on: with the one before the lanes would stand still.
#[test]
fn a_start_goes_on_with_the_version_that_reads_what_is_kept() {
    let counting = |says: &str, state, reads| Version { counts: true, state, reads, ..Version::new(says) };
    let mut world = World::start("kept", &counting("one", 1, vec![]));
    world.rename(&counting("two", 2, vec![1]).wasm());
    world.wait_for_rows_of("two");
    let known = world.history().len();
    world.rename(b"damaged");
    world.wait_for_note("refused", known);
    assert!(world.history().iter().all(|note| note["what"] != "passed"), "it is on trial");
    world.engine.kill();
    world.engine = world.setup.start();
    world.engine.wait_until_up();
    world.wait_for_new_rows();
    for versions in world.end() {
        assert_eq!(versions, ["one", "two"]);
    }
}

/// GIVEN a project that is not built, WHEN the engine starts, THEN the others run, and where there is none it says what to
/// run and ends.
#[test]
fn a_plugin_that_is_not_built_does_not_stop_the_others() {
    let recording = harness::place::folder("unbuilt");
    let file = recording.path().join("none.jsonl");
    fs::write(&file, "").expect("a recording");
    let setup = Setup::new("http://127.0.0.1:9", "unbuilt")
        .with(&["--source", &file.to_string_lossy(), "--until-idle"])
        .with_plugins(&[Plugin { name: "customers", settings: "topics = [\"t\"]\n", artifact: None }]);
    fs::write(setup.plugins.join("customers/Cargo.toml"), "").expect("Cargo.toml");
    let (code, words) = setup.ask(&[], None);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("this project is not built: engine plugin build customers"), "{words}");

    fs::create_dir(setup.plugins.join("raw")).expect("a folder");
    fs::write(setup.plugins.join("raw/plugin.toml"), "topics = [\"t\"]\nbronze = \"raw\"\n").expect("plugin.toml");
    let (code, words) = setup.ask(&[], None);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("engine plugin build customers"), "{words}");

    fs::write(setup.plugins.join("raw/plugin.toml"), "topic = [\"t\"]\n").expect("plugin.toml");
    let (code, words) = setup.ask(&[], None);
    assert_eq!(code, Some(2), "mistakes in settings end a start: {words}");
}

/// Replaces a text by one of the same length, behind each of another.
fn replaced(wasm: &Bytes, behind: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = wasm.to_vec();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(from)
            && bytes[at.saturating_sub(40)..at].windows(behind.len()).any(|it| it == behind)
        {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}
