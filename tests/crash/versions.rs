//! The engine dies while versions of its plugins change every second or so: good ones, bad ones that are withdrawn, and
//! operators who roll back; one plugin remembers, the other does not. What the tables hold is what an undisturbed run
//! makes, and each epoch is of one version.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use engine::crash_point::CrashPoint;
use engine::random::Random;
use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::kafka::Kafka;
use harness::numbers::{Numbers, SWARM};
use harness::pipeline::ARRIVAL;
use harness::versions::{Does, Version};
use harness::wait::wait_for;

use crate::kills::{die_at, live, seed, setting};

/// Deaths unless `CRASH_RUNS` says otherwise.
const RUNS: usize = 9;
const TOPIC: &str = "numbers";
const PARTITIONS: i32 = 3;
/// The longest pause between two versions.
const PAUSE_MS: u32 = 1_000;
/// Versions from this on have a column more.
const WIDER: u32 = 4;

/// What is tried again and again, in this order: a death where one version gives way to another, one at any step, one
/// whenever.
fn die(setup: &Setup, run: usize, random: &mut Random) -> String {
    match run % 3 {
        0 => die_at(setup, CrashPoint::OF_VERSIONS[run / 3 % CrashPoint::OF_VERSIONS.len()], random),
        1 => {
            let step = random.pick(&CrashPoint::ALL);
            die_at(setup, step, random)
        }
        _ => {
            let mut engine = setup.start();
            engine.wait_until_up();
            let moment = live(random) + live(random);
            engine.kill();
            format!("after {} ms", moment.as_millis())
        }
    }
}

#[test]
fn rows_and_state_are_exact_after_deaths_while_versions_change() {
    let mut random = Random::new(seed());
    let (kafka, clickhouse) = (Kafka::start(), ClickHouse::start());
    kafka.create_topic(TOPIC, PARTITIONS);
    let setup = engine(&kafka, &clickhouse, "versions");
    let numbers = Numbers::start(kafka.producer(), TOPIC, PARTITIONS);
    // The first version is one that was found good when others come.
    let mut first = setup.start();
    for table in ["passed", "counted"] {
        wait_for("rows by the first version", ARRIVAL, || {
            assert!(first.runs(), "{}", first.output());
            let rows = clickhouse.try_query(&format!("SELECT count() FROM versions.{table} FORMAT TSV"));
            if rows.as_ref().is_ok_and(|rows| rows.trim() != "0") { Ok(()) } else { Err(format!("{rows:?}")) }
        });
    }
    first.kill();
    let ends = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (ends, sent, random) = (ends.clone(), numbers.count(), Random::new(seed()));
        let mut publisher =
            Publisher { plugins: setup.plugins.clone(), url: setup.url(), random, serial: 0, probation_s: 1, sent };
        thread::spawn(move || {
            while !ends.load(Ordering::Acquire) {
                publisher.publish();
            }
            publisher
        })
    };
    let runs = setting("CRASH_RUNS", RUNS);
    let died: Vec<_> = (0..runs).map(|run| die(&setup, run, &mut random)).collect();
    ends.store(true, Ordering::Release);
    let mut publisher = publisher.join().expect("it publishes to the end");
    let history = setup.data_dir().join("history/default/counting.jsonl");
    let count = |what: &str| {
        let notes = fs::read_to_string(&history).expect("a history");
        notes.matches(&format!("\"what\":\"{what}\"")).count()
    };

    // However the dice have fallen, one is withdrawn.
    publisher.put_trapping(Does::Traps);
    let mut engine_again = setup.start();
    wait_for("a version is withdrawn", ARRIVAL, || {
        assert!(engine_again.runs(), "{}", engine_again.output());
        if count("withdrawn") > 0 { Ok(()) } else { Err("none") }
    });
    let last = publisher.last();
    let sent = numbers.end();
    for table in ["passed", "counted"] {
        wait_for(&format!("all rows of {table}"), ARRIVAL, || {
            assert!(engine_again.runs(), "{}", engine_again.output());
            let rows = |sql: &str| clickhouse.try_query(sql).unwrap_or_default().trim().to_owned();
            let there = rows(&format!("SELECT count() FROM versions.{table} FORMAT TSV"));
            let letters = rows("SELECT * FROM versions.dead_letters LIMIT 3 FORMAT JSONEachRow");
            if there == sent.to_string() { Ok(()) } else { Err(format!("{there} of {sent}; dead letters: {letters}")) }
        });
    }
    engine_again.terminate();
    println!("{runs} deaths: {}", died.join(", "));
    let [passed, withdrawn, rolled_back] = ["passed", "withdrawn", "rolled_back"].map(count);
    println!(
        "{sent} numbers, {last} versions; of counting {passed} passed, {withdrawn} withdrawn, {rolled_back} rolled back"
    );
    assert!(withdrawn > 0, "nothing was withdrawn");

    let rows = |sql: &str| clickhouse.query(sql).trim().to_owned();
    assert_eq!(
        rows("SELECT count(), uniqExact(_partition, _offset) FROM versions.passed FORMAT TSV"),
        format!("{sent}\t{sent}")
    );
    assert_eq!(
        rows("SELECT count(), uniqExact(_partition, _offset) FROM versions.counted FORMAT TSV"),
        format!("{sent}\t{sent}")
    );
    assert_eq!(rows("SELECT count() FROM versions.dead_letters FORMAT TSV"), "0");
    // What was remembered: nothing lost, nothing twice.
    assert_eq!(rows("SELECT count() FROM versions.counted WHERE seen != _offset + 1 FORMAT TSV"), "0");
    for table in ["passed", "counted"] {
        one_version_after_the_other(&rows, table);
    }

    engine(&kafka, &clickhouse, "calm").start_with(&["--until-idle"]).wait(ARRIVAL);
    for (table, columns) in [("passed", "n"), ("counted", "n, seen")] {
        let columns = format!("SELECT {columns}, _partition, _offset, _version, _op, _deleted FROM");
        let sql = |one, other| {
            format!("SELECT count() FROM ({columns} {one}.{table} EXCEPT {columns} {other}.{table}) FORMAT TSV")
        };
        assert_eq!(rows(&format!("SELECT count() FROM calm.{table} FORMAT TSV")), sent.to_string());
        assert_eq!(
            [rows(&sql("versions", "calm")), rows(&sql("calm", "versions"))],
            ["0", "0"],
            "as undisturbed: {table}"
        );
    }
}

/// An engine with both plugins, in their first versions.
fn engine(kafka: &Kafka, clickhouse: &ClickHouse, database: &str) -> Setup {
    let (passing, counting) = (settings(false, 0, 64), settings(true, 0, 64));
    let plugins = [("passing", &passing), ("counting", &counting)];
    let plugins = plugins.map(|(name, settings)| Plugin { name, settings, artifact: None });
    let arguments = ["--kafka", &kafka.address(), "--set", "batch.linger_ms=50"];
    let setup = Setup::new(&clickhouse.http_url(), database).with(&arguments).with_plugins(&plugins);
    for (name, counts) in [("passing", false), ("counting", true)] {
        // From what the first version does not read there would be no way back to it.
        let first = Version { counts, reads: vec![2, 3], ..Version::new("g0") };
        fs::write(setup.plugins.join(name).join("plugin.wasm"), first.wasm()).expect("plugin.wasm");
    }
    setup
}

fn settings(counts: bool, probation_s: u32, state_mib: u32) -> String {
    let table = if counts { "[tables]\npassed = \"counted\"\n" } else { "" };
    format!(
        "topics = [\"{TOPIC}\"]\nplugin_column = true\n{table}[limits]\nstate_mib = {state_mib}\n\
         [rollout]\nprobation_s = {probation_s}\n"
    )
}

/// Puts versions into the folders, whether the engine runs or not. Good ones are called `g1`, `g2`, …, those that trap `t3`.
struct Publisher {
    plugins: PathBuf,
    url: String,
    random: Random,
    serial: u32,
    /// How long the last version of `counting` is on trial: a bad one for longer than the test takes.
    probation_s: u32,
    sent: Arc<AtomicI64>,
}

impl Publisher {
    #[expect(clippy::disallowed_methods, reason = "versions come so often")]
    fn publish(&mut self) {
        thread::sleep(Duration::from_millis(u64::from(50 + self.random.below(PAUSE_MS))));
        match self.random.below(12) {
            0..4 => self.put_good("passing", false),
            4..7 => self.put_good("counting", true),
            7..10 => self.put_bad(),
            10 => {
                if self.random.below(2) == 0 {
                    self.put_bad(); // and the operator is quicker, or as quick, as the engine
                    thread::sleep(Duration::from_millis(u64::from(50 + self.random.below(300))));
                }
                let url = format!("{}/plugins/counting/rollback", self.url);
                drop(reqwest::blocking::Client::new().post(url).send()); // it may be dead, or have nothing to go back to
            }
            _ => {
                let state_mib = 65 + self.random.below(8); // its lanes begin anew
                self.put_toml("counting", &settings(true, self.probation_s, state_mib));
            }
        }
    }

    /// The last versions are good ones: how many there were.
    fn last(&mut self) -> u32 {
        self.put_good("passing", false);
        self.put_good("counting", true);
        self.serial
    }

    fn next(&mut self, kind: &str, counts: bool, does: Does) -> Vec<u8> {
        self.serial += 1;
        let state = 1 + self.random.below(3);
        let reads = (1..=3).filter(|other| *other != state).collect();
        let copy = (self.serial >= WIDER).then_some("copy");
        let version = Version { counts, state, reads, copy, ..Version::that(&format!("{kind}{}", self.serial), does) };
        version.wasm().to_vec()
    }

    /// A version that passes its trial after a second, if nothing comes between.
    fn put_good(&mut self, plugin: &str, counts: bool) {
        if counts {
            self.probation_s = 1;
        }
        let wasm = self.next("g", counts, Does::Passes);
        self.put(plugin, "plugin.wasm", &wasm);
        self.put_toml(plugin, &settings(counts, 1, 64));
    }

    /// A version that traps at once, or soon; it is on trial for longer than that.
    fn put_bad(&mut self) {
        let soon = self.sent.load(Ordering::Acquire) + i64::from(self.random.below(10)) * SWARM;
        let does = self.random.pick(&[Does::Traps, Does::TrapsAt(soon), Does::TrapsAt(soon)]);
        self.put_trapping(does);
    }

    fn put_trapping(&mut self, does: Does) {
        let wasm = self.next("t", true, does);
        self.probation_s = 3_600;
        self.put_toml("counting", &settings(true, self.probation_s, 64));
        self.put("counting", "plugin.wasm", &wasm);
    }

    fn put_toml(&mut self, plugin: &str, settings: &str) {
        self.put(plugin, "plugin.toml", settings.as_bytes());
    }

    /// In one step, or as it is written.
    fn put(&mut self, plugin: &str, file: &str, content: &[u8]) {
        let folder = self.plugins.join(plugin);
        if self.random.below(2) == 0 {
            fs::write(folder.join(file), content).expect("written");
        } else {
            fs::write(folder.join(".new"), content).expect("written");
            fs::rename(folder.join(".new"), folder.join(file)).expect("renamed");
        }
    }
}

/// Each epoch is of one version and a contiguous range, and a partition goes back from a version to an earlier one only
/// where that one is good, and never of the plugin of which all are.
fn one_version_after_the_other(rows: &impl Fn(&str) -> String, table: &str) {
    let epochs = rows(&format!(
        "SELECT _partition, min(_offset), max(_offset), count(), uniqExact(_plugin), any(_plugin) FROM versions.{table} \
         GROUP BY _lane, _partition, _epoch ORDER BY _partition, min(_offset) FORMAT TSV"
    ));
    let mut before: Option<(&str, i64, &str)> = None;
    let mut sequence = Vec::new();
    for epoch in epochs.lines() {
        let fields: Vec<&str> = epoch.split('\t').collect();
        let number = |index: usize| fields[index].parse::<i64>().expect("a number");
        let (partition, first, last, version) = (fields[0], number(1), number(2), fields[5]);
        assert_eq!((number(3), fields[4]), (last + 1 - first, "1"), "one version, without a gap: {table} {epoch}");
        let former = before.filter(|(of, _, _)| *of == partition);
        assert_eq!(former.map_or(0, |(_, end, _)| end), first, "where the one before ended: {table} {epoch}");
        if let Some((_, _, from)) = former.filter(|(_, _, from)| *from != version) {
            let back = serial(version) < serial(from);
            assert!(!back || table == "counted" && version.starts_with('g'), "{table}: back to {version}, from {from}");
        }
        if former.is_none_or(|(_, _, from)| from != version) {
            sequence.push(version.split('@').next().unwrap_or_default());
        }
        before = Some((partition, last + 1, version));
    }
    println!("{table}: {}", sequence.join(" "));
}

fn serial(version: &str) -> u32 {
    let name = version.split('@').next().unwrap_or_default();
    name[1..].parse().expect("a letter and a number")
}
