//! `monitoring/`: what the rules and the dashboard ask for is what a running engine exports, as a real Prometheus sees it.

mod prometheus;
mod queries;

use std::fs;
use std::process::Command;
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, INSERT_FAILURES, Plugin, Setup};
use harness::kafka::Kafka;
use harness::place;
use harness::simulation::{passing_plugin, trapping_plugin};
use harness::wait::wait_for;
use serde_json::Value;

use prometheus::Prometheus;
use queries::{grouped, selectors};

const BOUND: Duration = Duration::from_secs(120);
const BEATS: &str = "shop.public.source_beats";

/// GIVEN the rules and what they shall make of series, WHEN Prometheus' own tool looks at them, THEN both are as they should be.
#[test]
fn promtool_finds_the_rules_right() {
    prometheus::installed();
    for arguments in [
        ["check", "rules", "monitoring/rules.yml"],
        ["check", "config", "monitoring/prometheus.yml"],
        ["test", "rules", "monitoring/rules_test.yml"],
        ["test", "rules", "monitoring/rules_week_test.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(place::repository()).output();
        let output = output.expect("promtool runs");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("promtool {arguments:?}: {}\n{words}", output.status);
        assert!(output.status.success());
    }
}

/// GIVEN an engine with trouble of several kinds, and a Prometheus that has the rules, THEN every rule is evaluated, each metric and
/// label that a rule or the dashboard names is there, each panel shows something, and what is wrong is an alert.
#[test]
fn rules_and_dashboard_ask_for_what_an_engine_exports() {
    let (kafka, mut clickhouse) = (Kafka::start(), ClickHouse::start());
    let mut engine = troubled(&kafka, &mut clickhouse);
    let prometheus = Prometheus::start(engine.url(), &place::repository().join("monitoring/rules.yml"));

    let rules = prometheus.rules();
    let tests = ["rules_test.yml", "rules_week_test.yml"]
        .map(|file| fs::read_to_string(place::repository().join("monitoring").join(file)).expect("tests of the rules"));
    let tests = tests.concat();
    for alert in rules.iter().filter(|rule| rule.is_alert) {
        assert!(
            tests.contains(&format!("alertname=\"{}\"", alert.name)),
            "{} has no test in monitoring/rules_test.yml",
            alert.name
        );
    }
    let panels = panels();
    for query in rules.iter().map(|rule| &rule.query).chain(&panels) {
        assert_exported(&prometheus, query);
    }
    for query in &panels {
        wait_for(&format!("something to show of {query}"), BOUND, || match prometheus.query(query).len() {
            0 => Err("nothing"),
            _ => Ok(()),
        });
    }
    for (alert, plugin) in [("BreakerOpen", "traps"), ("DeadLetters", "passes"), ("ConnectorSkipped", "source-gaps")] {
        wait_for(&format!("{alert} of {plugin}"), BOUND, || {
            let alerts = prometheus.alerts();
            let is = |labels: &Value| labels["alertname"] == alert && labels["plugin"] == plugin;
            if alerts.iter().any(is) { Ok(()) } else { Err(format!("{alerts:?}")) }
        });
    }
    assert!(engine.runs());
    engine.terminate();
}

/// Each metric of a query has a series with the labels that the query asks it for, and each label that it is grouped by is one
/// of a metric of it.
fn assert_exported(prometheus: &Prometheus, query: &str) {
    let selectors = selectors(query);
    assert!(!selectors.is_empty(), "no metric of the engine in {query}");
    for selector in &selectors {
        let wanted = selector.wanted();
        wait_for(&format!("{wanted}, of {query}"), BOUND, || prometheus.has(&wanted));
    }
    for label in grouped(query) {
        let has = |name: &str| prometheus.has(&format!("{{__name__=\"{name}\",{label}!=\"\"}}")).is_ok();
        assert!(selectors.iter().any(|selector| has(&selector.metric)), "no metric has the label {label} of {query}");
    }
}

/// The dashboard's queries, and those of its variables, as for all tenants and plugins.
fn panels() -> Vec<String> {
    let file = place::repository().join("monitoring/grafana/engine.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).expect("the dashboard")).expect("JSON");
    let each = |place: &Value| place.as_array().cloned().unwrap_or_default();
    let targets = each(&dashboard["panels"]).into_iter().flat_map(|panel| each(&panel["targets"]));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    // label_values(METRIC, LABEL): METRIC by LABEL.
    let variable = |variable: Value| {
        let of = variable["definition"].as_str()?.strip_prefix("label_values(")?.strip_suffix(')')?.to_owned();
        let (metric, label) = of.rsplit_once(", ")?;
        Some(format!("count by ({label}) ({metric})"))
    };
    let variables = each(&dashboard["templating"]["list"]).into_iter().filter_map(variable);
    let all: Vec<_> = queries
        .chain(variables)
        .map(|query| query.replace("$__rate_interval", "1m").replace("$tenant", ".*").replace("$plugin", ".*"))
        .collect();
    assert!(all.len() > 20 && all.iter().all(|query| !query.contains('$')), "{all:?}");
    all
}

/// An engine with a plugin that works and gets what it can't read, one that traps on everything, a connector that skipped
/// something, and a server that was away.
fn troubled(kafka: &Kafka, clickhouse: &mut ClickHouse) -> Engine {
    kafka.create_topic("t", 1);
    kafka.create_topic(BEATS, 1);
    let topics = |name: &str| format!("topics = [\"t\"]\n[tables]\npassed = \"{name}\"\n");
    let (passes, traps) = (topics("passes"), topics("traps"));
    let beats = format!("topics = [\"{BEATS}\"]\n");
    let plugins = [
        Plugin { name: "passes", settings: &passes, artifact: None },
        Plugin { name: "traps", settings: &traps, artifact: None },
        Plugin { name: "source-gaps", settings: &beats, artifact: Some("source-gaps") },
    ];
    let setup =
        Setup::new(&clickhouse.http_url(), "watched").with(&["--kafka", &kafka.address()]).with_plugins(&plugins);
    for (name, wasm) in [("passes", passing_plugin()), ("traps", trapping_plugin())] {
        fs::write(setup.plugins.join(name).join("plugin.wasm"), wasm).expect("plugin.wasm");
    }
    let mut engine = setup.start();
    engine.wait_until_up();
    let producer = kafka.producer();
    for n in 0..200 {
        let n = if n % 10 == 0 { "\"a word\"".to_owned() } else { n.to_string() };
        producer.send("t", 0, "{}", Some(&format!("{{\"before\":null,\"after\":{{\"n\":{n}}},\"op\":\"c\"}}")));
    }
    for n in [1, 2, 9] {
        let row = format!("{{\"name\":\"shop\",\"n\":{n},\"at\":{}}}", n * 10_000);
        producer.send(BEATS, 0, "{}", Some(&format!("{{\"before\":null,\"after\":{row},\"op\":\"u\"}}")));
    }
    producer.flush();
    engine.wait_for_count("engine_plugin_count_total", 1.0, BOUND);
    engine.wait_for_count("engine_breaker_opened_total", 1.0, BOUND);
    engine.wait_for_count("engine_dead_letters_total", 1.0, BOUND);
    clickhouse.kill();
    producer.send("t", 0, "{}", Some("{\"before\":null,\"after\":{\"n\":1},\"op\":\"c\"}"));
    producer.flush();
    engine.wait_for_count(INSERT_FAILURES, 1.0, BOUND);
    clickhouse.restart();
    engine
}
