//! `engine check` against a real ClickHouse and recorded topics: what it says is what then happens.

use std::process::{Command, Output};

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, program};
use harness::place;

const ORDERS: [Plugin<'static>; 1] = [Plugin {
    name: "orders",
    settings: "topics = [\"^.*\\\\.inventory\\\\.orders$\"]\n[tables]\norders = \"checked\"\n",
    artifact: Some("orders"),
}];

fn setup(clickhouse: &ClickHouse, recording: &str) -> Setup {
    let file = place::repository().join("schemas/debezium").join(recording);
    Setup::new(&clickhouse.http_url(), "check").with(&["--source", &file.to_string_lossy()]).with_plugins(&ORDERS)
}

fn check(setup: &Setup) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(program())
        .arg("check")
        .args(["--plugins", &setup.plugins.to_string_lossy()])
        .args(["--clickhouse", &setup.clickhouse, "--database", &setup.database])
        .args(&setup.arguments)
        .output()
        .expect("the program runs");
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("{text}");
    (status.code(), text)
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

/// GIVEN a server without the tables, WHEN asked, THEN `check` shows the statements and runs none; WHEN the engine has run,
/// THEN the tables fit; WHEN a column is too narrow, THEN it says which, what to run, and exits with 1.
#[test]
fn tables_are_compared_and_left_alone() {
    let clickhouse = ClickHouse::start();
    let setup = setup(&clickhouse, "orders-envelope-schema.jsonl");

    let (code, text) = check(&setup);
    assert_eq!(code, Some(0));
    says(
        &text,
        &[
            "1 partition of ",
            "newest messages, with schema",
            "not there yet; the first start runs:",
            "CREATE DATABASE IF NOT EXISTS `check`",
            "CREATE TABLE IF NOT EXISTS `check`.`checked`",
            "CREATE OR REPLACE VIEW `check`.`checked_current`",
        ],
    );
    assert_eq!(clickhouse.query("SELECT count() FROM system.databases WHERE name = 'check'").trim(), "0");

    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(std::time::Duration::from_secs(60)).success());
    let (code, text) = check(&setup);
    assert_eq!(code, Some(0));
    says(&text, &["is there, repeats of its last 10000 parts have no effect"]);
    assert!(!text.contains("start runs:"), "nothing is left to do:\n{text}");

    clickhouse.query("ALTER TABLE check.checked DROP COLUMN order_number");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(0));
    says(&text, &["lacks order_number", "the next start runs:", "ADD COLUMN IF NOT EXISTS `order_number`"]);

    clickhouse.query("ALTER TABLE check.checked MODIFY COLUMN quantity Int16");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(1));
    says(&text, &["column `quantity` is Int16, which can't hold every Int32", "MODIFY COLUMN `quantity` Int32"]);
}

/// GIVEN a topic of flat rows for a plugin of envelopes, or no server at all, THEN `check` says so, and only the first is
/// the plugin's mistake.
#[test]
fn what_the_messages_are_is_said() {
    let clickhouse = ClickHouse::start();
    let mut setup = setup(&clickhouse, "users-unwrapped.jsonl");
    let users = setup.plugins.join("orders/plugin.toml");
    std::fs::write(users, "topics = [\"postgres.public.users\"]\n").expect("plugin.toml");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(1));
    says(&text, &["wrong     the messages are flat rows, the plugin reads envelopes"]);

    setup.arguments[1] =
        place::repository().join("schemas/debezium/mongo-snapshot.jsonl").to_string_lossy().into_owned();
    setup.clickhouse = format!("http://127.0.0.1:{}", place::free_port());
    let (code, text) = check(&setup);
    assert_eq!(code, Some(3), "what can't be asked is no mistake, and not checked");
    says(
        &text,
        &["no such topic yet", "unknown   ClickHouse does not answer within 10 s", "not everything is checked"],
    );
}

/// GIVEN messages without schema whose values are of other types than the plugin's, THEN `check` says how many would be set
/// aside, and why; and the name of a topic that may be meant.
#[test]
fn what_would_be_set_aside_is_said() {
    let clickhouse = ClickHouse::start();
    let mut setup = setup(&clickhouse, "orders-envelope-plain.jsonl");
    let recorded = std::fs::read_to_string(&setup.arguments[1]).expect("the recording");
    let folder = place::folder("check");
    let changed = folder.path().join("changed.jsonl");
    // The first of the orders alone, then all of them.
    let many = |most| recorded.replacen("\\\"quantity\\\":2", "\\\"quantity\\\":\\\"two\\\"", most);
    setup.arguments[1] = changed.to_string_lossy().into_owned();

    std::fs::write(&changed, many(1)).expect("a recording");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(0));
    says(&text, &["risk      1 of the 5 newest messages would be set aside: column quantity (Int32): expected a"]);

    let orders = many(usize::MAX).replace("\\\"quantity\\\":", "\\\"quantity\\\":\\\"\\\",\\\"quantity_before\\\":");
    std::fs::write(&changed, orders).expect("a recording");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(1));
    says(&text, &["newest messages would be set aside: column quantity (Int32): expected a"]);

    let settings = setup.plugins.join("orders/plugin.toml");
    std::fs::write(settings, "topics = [\"postgres-plain.inventory.order\"]\n").expect("plugin.toml");
    let (code, text) = check(&setup);
    assert_eq!(code, Some(0), "a topic may come later");
    says(&text, &["there is no topic postgres-plain.inventory.order; did you mean postgres-plain.inventory.orders?"]);
}
