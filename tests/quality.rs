//! `engine quality run` on a real ClickHouse, with somebody who listens to its alerts.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::clickhouse::ClickHouse;
use harness::engine::program;
use harness::place;
use serde_json::Value;
use tempfile::TempDir;

/// The time at which the data is looked at.
const AT: &str = "2026-11-21T12:00:00";

/// Takes alerts, and answers them as it is told; with 204 when it was told no more.
struct Webhook {
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    fn start<const N: usize>(answers: [u16; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut answers) = (Arc::clone(&taken), answers.into_iter());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let body = read(connection.expect("a connection"), answers.next().unwrap_or(204));
                kept.lock().expect("nobody panicked").push(body);
            }
        });
        Self { port, taken }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/hunter2", self.port)
    }

    /// The alerts since it was last asked.
    fn taken(&self) -> Vec<Value> {
        std::mem::take(&mut self.taken.lock().expect("nobody panicked"))
    }
}

/// Reads a request and answers it; what was posted.
fn read(mut connection: TcpStream, status: u16) -> Value {
    let mut reader = BufReader::new(connection.try_clone().expect("a connection"));
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap_or_else(|_| panic!("{name}: {value}"));
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line.to_ascii_lowercase());
    }
    assert!(head.starts_with("post /hooks/hunter2 ") && head.contains("content-type: application/json"), "{head}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    write!(connection, "HTTP/1.1 {status} it\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("an answer");
    serde_json::from_slice(&body).expect("JSON")
}

/// A server with tables as the engine leaves them, and a folder for rules.
struct World {
    clickhouse: ClickHouse,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let clickhouse = ClickHouse::start();
        for statement in [
            "CREATE DATABASE silver ENGINE = Atomic",
            "CREATE TABLE silver.events (key String, user_id Nullable(String), at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY at",
            // A hundred on each day, from the morning of the first one on, and one an hour ago.
            "INSERT INTO silver.events SELECT toString(number), 'u', toDateTime64('2026-11-11 00:00:00', 3, 'UTC') \
             + toIntervalSecond(number * 864) FROM numbers(1000)",
            "INSERT INTO silver.events VALUES ('last', 'u', '2026-11-21 11:00:00')",
            "CREATE TABLE silver.bronze (_topic String, _ingested_at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY ()",
            "INSERT INTO silver.bronze SELECT 'events', '2026-11-21 10:00:00' FROM numbers(200)",
            "CREATE TABLE silver.dead_letters (plugin String, topic String, partition Int32, offset Int64, \
             _ingested_at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY ()",
            // One message of two plugins, one of another topic, one of another day.
            "INSERT INTO silver.dead_letters VALUES ('a', 'events', 0, 1, '2026-11-21 10:00:00'), \
             ('b', 'events', 0, 1, '2026-11-21 10:00:00'), ('a', 'others', 0, 1, '2026-11-21 10:00:00'), \
             ('a', 'events', 0, 2, '2026-11-19 10:00:00')",
        ] {
            clickhouse.query(statement);
        }
        Self { clickhouse, folder: place::folder("quality") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs these rules: exit code, standard output and standard error.
    fn run(&self, rules: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.run_at(&self.clickhouse.http_url(), rules, arguments)
    }

    fn run_at(&self, clickhouse: &str, rules: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let file = self.file("quality.toml");
        fs::write(&file, rules).expect("rules");
        let Output { status, stdout, stderr } = Command::new(program())
            .current_dir(self.folder.path())
            .env_remove("ENGINE_QUALITY_WEBHOOK")
            .args(["quality", "run", "--rules", "quality.toml", "--clickhouse", clickhouse])
            .args(["--database", "silver", "--at", AT])
            .args(arguments)
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(stdout), text(stderr));
        println!("{status}\n{stdout}{stderr}");
        (status.code(), stdout, stderr)
    }
}

/// A rule, what is wrong when it fails, and what makes it fail.
const CHECKS: [(&str, &str, &str); 5] = [
    (
        "[[freshness]]\nname = \"fresh\"\ntable = \"events\"\ncolumn = \"at\"\nmax_age = \"2h\"",
        "the newest row is 36 h old",
        "DELETE FROM silver.events WHERE at > '2026-11-20'",
    ),
    (
        "[[volume]]\nname = \"usual\"\ntable = \"events\"\ncolumn = \"at\"\nmax_deviation = 0.2",
        "79 rows on the last whole day, 100 on average of the 7 before it: -21.0 %",
        "DELETE FROM silver.events WHERE toDate(at) = '2026-11-20' AND toUInt64OrZero(key) % 100 < 21",
    ),
    (
        "[[nulls]]\nname = \"known\"\ntable = \"events\"\ncolumns = [\"key\", \"user_id\"]\nwhere = \"at > '2026-11-15'\"",
        "2 lack key, 1 lack user_id",
        "INSERT INTO silver.events VALUES ('', NULL, '2026-11-21 11:00:00'), ('', 'u', '2026-11-21 11:00:00'), \
         ('', NULL, '2026-11-14 11:00:00')",
    ),
    (
        "[[dead_letters]]\nname = \"few\"\nof = \"bronze\"\ntopic = \"events\"\nwithin = \"24h\"\nmax_share = 0.01",
        "of 200 messages 3 were set aside, 1.5 %",
        "INSERT INTO silver.dead_letters SELECT 'a', 'events', 1, number, '2026-11-21 11:00:00' FROM numbers(2)",
    ),
    (
        "[[query]]\nname = \"own\"\nquery = \"SELECT count() FROM events WHERE user_id = 'nobody' -- of them all\"\nmax = 0",
        "the query gives 1",
        "INSERT INTO silver.events VALUES ('k', 'nobody', '2026-11-21 11:00:00')",
    ),
];

#[test]
fn each_check_holds_and_fails_and_somebody_is_told() {
    let (whole, told) = (CHECKS.map(|check| check.0).join("\n"), Webhook::start([]));
    for (rule, words, spoil) in CHECKS {
        // GIVEN data that is as it should be
        let world = World::new();
        let webhook = format!("[alert]\nwebhook = \"{}\"\n", told.url());
        let (code, output, _) = world.run(&format!("{webhook}{whole}"), &[]);
        assert_eq!((code, output.matches("passed").count()), (Some(0), 5), "{rule}");
        assert_eq!(told.taken(), Vec::<Value>::new(), "nobody is told that all is well");

        // WHEN one thing is not
        world.clickhouse.query(spoil);
        let file = world.file("report.json");
        let report = file.to_str().expect("a path of UTF-8");
        let (code, output, _) = world.run(&format!("{webhook}{rule}"), &["--json", "--report", report]);

        // THEN it is said, written down, and told.
        assert_eq!(code, Some(1), "{rule}");
        let mut report: Value = serde_json::from_str(&output).expect("a report");
        assert_eq!(report, serde_json::from_str::<Value>(&fs::read_to_string(&file).expect("a file")).expect("JSON"));
        assert_eq!(report["at"], "2026-11-21T12:00:00.000Z");
        assert_eq!(report["passed"], false);
        let check = &report["checks"][0];
        let message = check["message"].as_str().expect("words");
        assert!(message.contains(words) && check["status"] == "failed" && check["value"].is_number(), "{check}");
        assert_eq!(report["alert"]["delivered"], true);
        let alerts = told.taken();
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        assert!(alerts[0]["text"].as_str().expect("words").contains(words), "{}", alerts[0]);
        report.as_object_mut().expect("an object").remove("alert");
        assert_eq!(alerts[0]["report"], report);
    }
}

#[test]
fn what_can_not_be_looked_at_is_said_and_told() {
    let (world, told) = (World::new(), Webhook::start([]));
    let url = told.url();
    for (rule, expected) in [
        ("[[freshness]]\nname = \"x\"\ntable = \"nothing\"\ncolumn = \"at\"\nmax_age = \"2h\"", "nothing"),
        ("[[freshness]]\nname = \"x\"\ntable = \"events\"\ncolumn = \"nothing\"\nmax_age = \"2h\"", "nothing"),
        ("[[query]]\nname = \"x\"\nquery = \"SELECT key FROM events\"\nmax = 0", "more than one row"),
        ("[[query]]\nname = \"x\"\nquery = \"SELECT 'seven'\"\nmax = 0", "no number"),
        ("[[query]]\nname = \"x\"\nquery = \"SELECT 1, 2\"\nmax = 0", "2 columns"),
        ("[[query]]\nname = \"x\"\nquery = \"DROP TABLE events\"\nmax = 0", "could not be looked at"),
        ("[[query]]\nname = \"x\"\nquery = \"SELECT 1) ; DROP TABLE events --\"\nmax = 0", "could not be looked at"),
    ] {
        let (code, output, _) = world.run(rule, &["--webhook", &url]);
        assert!(code == Some(2) && output.contains("ERROR") && output.contains(expected), "{rule}");
        assert_eq!(told.taken().len(), 1, "{rule}");
    }
    assert_eq!(world.clickhouse.query("SELECT count() FROM silver.events").trim(), "1001", "nothing was written");
    // A server that is away is told of as well.
    let away = format!("http://127.0.0.1:{}", place::free_port());
    let (code, output, _) = world.run_at(&away, CHECKS[0].0, &["--webhook", &url]);
    assert!(code == Some(2) && output.contains("ERROR"), "{output}");
    assert_eq!(told.taken().len(), 1);
}

#[test]
fn a_webhook_is_told_until_it_answers_and_its_secret_is_kept() {
    let world = World::new();
    let rules = "[[query]]\nname = \"never\"\nquery = \"SELECT 1\"\nmax = 0";
    // Busy at first: told again.
    let told = Webhook::start([503]);
    assert_eq!(world.run(rules, &["--webhook", &told.url()]).0, Some(1));
    assert_eq!(told.taken().len(), 2);
    // Nobody's: said at once, without the address.
    let told = Webhook::start([404]);
    let (code, output, errors) = world.run(rules, &["--webhook", &told.url()]);
    assert_eq!((code, told.taken().len()), (Some(2), 1));
    assert!(errors.contains("the alert was not delivered: the webhook answers HTTP 404"), "{errors}");
    for wrong in ["hunter2", "ftp://host/hunter2"] {
        let (code, _, errors) = world.run(rules, &["--webhook", wrong]);
        assert!(code == Some(2) && errors.contains("is not one like https://host/path"), "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    assert!(!format!("{output}{errors}").contains("hunter2"), "{output}{errors}");
}

#[test]
fn mistakes_in_rules_and_arguments_are_said_before_anybody_is_asked() {
    let folder = place::folder("quality");
    let rules = folder.path().join("quality.toml");
    fs::write(&rules, "[[freshness]]\nname = \"x\"\ntable = \"t\"\ncolumn = \"at\"\nmax_age = \"2 hours\"\n")
        .expect("rules");
    for (file, more, expected) in [
        ("quality.toml", vec![], "quality.toml:5:11: `2 hours` is no length of time"),
        ("nothing.toml", vec![], "nothing.toml: can't be read"),
        ("quality.toml", vec!["--at", "noon"], "2 hours"),
    ] {
        let mut command = Command::new(program());
        command.current_dir(folder.path()).args(["quality", "run", "--rules", file]).args(&more);
        let output = command.output().expect("the program runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && words.contains(expected), "{file} {more:?}: {words}");
    }
}
