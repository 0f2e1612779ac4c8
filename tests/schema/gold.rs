//! Gold on one server: planned, applied and filled, beside rows that come in and through crashes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use engine::crash_point::CrashPoint;
use harness::clickhouse::ClickHouse;
use harness::engine::program;
use harness::place;
use tempfile::TempDir;

const GOLD: &str = "
-- Sales by hour; the name of a shop is no number.
CREATE TABLE IF NOT EXISTS hourly
(
    hour DateTime('UTC'),
    shop LowCardinality(String),
    sales AggregateFunction(count),
    amount AggregateFunction(sum, Decimal(12, 2)),
    buyers AggregateFunction(uniqExact, UInt64),
    last SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(hour)
ORDER BY (hour, shop)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS hourly_fill TO hourly AS
SELECT toStartOfHour(toDateTime(at, 'UTC')) AS hour, shop, countState() AS sales, sumState(amount) AS amount,
    uniqExactState(buyer) AS buyers, max(at) AS last
FROM sales GROUP BY hour, shop;
";
const READERS: &str = "
CREATE OR REPLACE VIEW hours AS
SELECT hour, shop, countMerge(sales) AS n, sumMerge(amount) AS total, uniqExactMerge(buyers) AS different, max(last) AS latest
FROM hourly GROUP BY hour, shop;
";
/// What the view `hours` is to show.
const EXPECTED: &str = "SELECT toStartOfHour(toDateTime(at, 'UTC')) AS hour, shop, count() AS n, sum(amount) AS total, \
    uniqExact(buyer) AS different, max(at) AS latest FROM silver.sales GROUP BY hour, shop";

/// A server with silver, and a folder of gold.
struct World {
    clickhouse: ClickHouse,
    folder: TempDir,
}

impl World {
    /// Silver has an append table, as the engine makes them.
    fn new() -> Self {
        let clickhouse = ClickHouse::start();
        clickhouse.query("CREATE DATABASE silver ENGINE = Atomic");
        clickhouse.query(
            "CREATE TABLE silver.sales (at DateTime64(3, 'UTC'), shop LowCardinality(String), buyer UInt64, \
             amount Decimal(10, 2), _lane UInt64, _epoch UInt64, _row UInt32) ENGINE = MergeTree \
             PARTITION BY toYYYYMM(at) ORDER BY at SETTINGS non_replicated_deduplication_window = 1000",
        );
        let world = Self { clickhouse, folder: place::folder("gold") };
        world.write("010_hourly.sql", GOLD);
        world.write("020_readers.sql", READERS);
        world
    }

    fn gold(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).expect("a file of gold");
    }

    /// An epoch of sales, so many on each of these days of November.
    fn sell(&self, epoch: u64, days: &[u8], on_each: u32) {
        for (nth, day) in days.iter().enumerate() {
            let first = u32::try_from(nth).expect("few days") * on_each;
            self.clickhouse.query(&format!(
                "INSERT INTO silver.sales SELECT toDateTime64('2026-11-{day:02} 00:00:00', 3, 'UTC') + number * 7, \
                 concat('shop ', toString(number % 5)), number % 97, number % 1000 / 100, 1, {epoch}, {first} + number \
                 FROM numbers({on_each})"
            ));
        }
    }

    /// Runs `engine schema …`.
    fn schema(&self, arguments: &[&str]) -> (Option<i32>, String) {
        answer(&self.command(arguments).output().expect("the program runs"), arguments)
    }

    /// The same, dying at a step.
    fn die(&self, step: CrashPoint, times: u32, arguments: &[&str]) {
        let output = self.command(arguments).env("ENGINE_CRASH_AT", format!("{}:{times}", step.as_str())).output();
        let (code, words) = answer(&output.expect("the program runs"), arguments);
        assert_eq!(code, None, "it did not die: {words}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("schema").args(arguments).current_dir(self.folder.path());
        command.args(["--clickhouse", &self.clickhouse.http_url(), "--database", "silver"]);
        command
    }

    fn plan(&self) -> (Option<i32>, String) {
        self.schema(&["plan", self.gold().to_str().expect("a path")])
    }

    fn apply(&self, more: &[&str]) -> (Option<i32>, String) {
        self.schema(&[&["apply", self.gold().to_str().expect("a path")], more].concat())
    }

    fn backfill(&self, more: &[&str]) -> (Option<i32>, String) {
        self.schema(&[&["backfill", "--table", "hourly"], more].concat())
    }

    fn count(&self, sql: &str) -> String {
        self.clickhouse.query(sql).trim().to_owned()
    }

    /// Hours of the days in which gold and an independent query of silver differ.
    fn wrong(&self, days: &str) -> String {
        let columns = "toDate(hour) AS day, hour, shop, n, total, different, latest";
        let sides = format!("SELECT {columns} FROM ({EXPECTED}) UNION ALL SELECT {columns} FROM silver.hours");
        self.count(
            &format!("SELECT count() FROM (SELECT 1 FROM ({sides}) WHERE {days} GROUP BY ALL HAVING count() != 2)")
                .replace("SELECT 1 FROM", "SELECT day, hour, shop, n, total, different, latest FROM"),
        )
    }

    /// What the message of a killed command's lock says to do.
    fn take_lock_away(&self) {
        let (code, words) = self.apply(&[]);
        assert_eq!(code, Some(1), "{words}");
        let statement = words.trim().split("If it runs no more: ").nth(1);
        self.clickhouse.query(statement.unwrap_or_else(|| panic!("no statement in: {words}")));
    }
}

/// Tells those who work beside a test that it has ended, also when it fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn answer(output: &Output, arguments: &[&str]) -> (Option<i32>, String) {
    let words = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    println!("{arguments:?}: {}\n{words}", output.status);
    (output.status.code(), words)
}

/// GIVEN gold that was applied, WHEN it is applied again, or files and objects change, THEN what is as its file says is left alone,
/// views are replaced, and what holds rows is never touched, with the difference said.
#[test]
fn what_was_applied_is_left_alone_and_what_differs_is_said() {
    let world = World::new();
    assert_eq!(world.plan().0, Some(0));
    assert_eq!(world.count("EXISTS silver.hourly"), "0", "a plan changes nothing");
    assert_eq!(world.apply(&[]).0, Some(0));
    world.sell(1, &[1], 1000);
    assert_eq!(world.wrong("1"), "0");
    let (code, words) = world.apply(&[]);
    assert!(code == Some(0) && words.contains("3 of 3 were as their files say"), "{words}");

    // A view's file: replaced.
    world.write("020_readers.sql", &READERS.replace("FROM hourly", "FROM hourly WHERE shop != ''"));
    let (code, words) = world.plan();
    assert!(code == Some(0) && words.contains("replace  hours") && words.contains("+ WHERE shop != ''"), "{words}");
    assert_eq!(world.apply(&[]).0, Some(0));
    assert!(world.count("SHOW CREATE VIEW silver.hours").contains("shop != "));

    // A table's file: refused, and nothing else is done either.
    world.write("010_hourly.sql", &GOLD.replace("    buyers", "    refunds UInt64,\n    buyers"));
    world.write("020_readers.sql", READERS);
    let (code, words) = world.apply(&[]);
    assert!(
        code == Some(1) && words.contains("REFUSED  hourly") && words.contains("+     `refunds` UInt64"),
        "{words}"
    );
    assert!(world.count("SHOW CREATE VIEW silver.hours").contains("shop != "), "nothing was changed");
    world.clickhouse.query("ALTER TABLE silver.hourly ADD COLUMN refunds UInt64 AFTER amount");
    assert_eq!(world.apply(&["--adopt", "hourly"]).0, Some(0));
    let (code, words) = world.plan();
    assert!(code == Some(0) && words.matches("keep ").count() == 3, "{words}");

    // Somebody's hand at what holds rows.
    world.clickhouse.query("ALTER TABLE silver.hourly DROP COLUMN refunds");
    let (code, words) = world.plan();
    assert!(
        code == Some(1) && words.contains("changed since it was applied") && words.contains("+     `refunds` UInt64"),
        "{words}"
    );

    // Somebody else's table.
    world.clickhouse.query("CREATE TABLE silver.theirs (a UInt8) ENGINE = MergeTree ORDER BY a");
    world.write("010_hourly.sql", GOLD);
    world.write("030_theirs.sql", "CREATE TABLE IF NOT EXISTS theirs (a UInt16) ENGINE = MergeTree ORDER BY a");
    let (code, words) = world.apply(&["--adopt", "hourly"]);
    assert!(code == Some(1) && words.contains("REFUSED  theirs") && words.contains("-     `a` UInt8"), "{words}");
    assert_eq!(world.wrong("1"), "0");
    assert_eq!(world.count("EXISTS silver.engine_schema_lock"), "0");
}

/// GIVEN a command that dies between writing down what it makes and making it, WHEN its lock is taken away as the next one says, THEN
/// that one ends the work.
#[test]
fn apply_goes_on_after_a_crash() {
    let world = World::new();
    let gold = world.gold();
    for (times, left) in [(1, "0"), (2, "1"), (2, "2")] {
        world.die(CrashPoint::Noted, times, &["apply", gold.to_str().expect("a path")]);
        assert_eq!(world.count("SELECT count() FROM system.tables WHERE database = 'silver' AND name IN ('hourly', 'hourly_fill', 'hours')"), left);
        world.take_lock_away();
    }
    assert_eq!(world.apply(&[]).0, Some(0));
    let (code, words) = world.plan();
    assert!(code == Some(0) && words.matches("keep ").count() == 3, "{words}");
    world.write("broken.sql", "CREATE OR REPLACE VIEW broken AS SELECT 1 FROM nowhere");
    let (code, words) = world.apply(&[]);
    assert!(code == Some(1) && words.contains("broken.sql:1") && words.contains("nowhere"), "{words}");
    assert_eq!(world.count("EXISTS silver.engine_schema_lock"), "0", "a failure frees the lock");
    world.write("broken.sql", "CREATE OR REPLACE VIEW broken AS SELEKT 1");
    let (code, words) = world.plan();
    assert!(code == Some(1) && words.contains("broken.sql:1"), "{words}");
}

/// GIVEN rows that were there before the view, WHEN days are filled, THEN these days equal silver, the others are untouched, and a
/// second run finds nothing to do.
#[test]
fn days_are_filled_once() {
    let world = World::new();
    world.sell(1, &[1, 2, 3], 5000);
    assert_eq!(world.apply(&[]).0, Some(0));
    world.sell(2, &[3, 4], 500);
    let range = ["--from", "2026-11-02", "--to", "2026-11-04"];
    let (code, words) = world.backfill(&range);
    assert!(code == Some(0) && words.contains("2026-11-02, 2026-11-03"), "{words}");
    assert_eq!(world.wrong("day IN ('2026-11-02', '2026-11-03', '2026-11-04')"), "0");
    assert_eq!(world.count("SELECT count() FROM silver.hourly WHERE toDate(hour) = '2026-11-01'"), "0");
    let parts =
        "SELECT groupArray(name) FROM (SELECT name FROM system.parts WHERE table = 'hourly' AND active ORDER BY name)";
    let before = world.count(parts);
    let (code, words) = world.backfill(&range);
    assert!(code == Some(0) && words.contains("2 days compared") && words.contains("none made anew"), "{words}");
    assert_eq!(world.count(parts), before);
    let (code, words) = world.backfill(&[]);
    assert!(
        code == Some(0) && words.contains("4 days compared") && words.contains("equal now: 2026-11-01\n"),
        "{words}"
    );
    assert_eq!(world.wrong("1"), "0");

    // Gold that is wrong is mended, and only that.
    world.clickhouse.query("INSERT INTO silver.hourly SELECT * FROM silver.hourly WHERE toDate(hour) = '2026-11-02'");
    let (code, words) = world.backfill(&[]);
    assert!(code == Some(0) && words.contains("equal now: 2026-11-02\n"), "{words}");
    assert_eq!(world.wrong("1"), "0");
    assert_eq!(world.count("EXISTS silver.engine_backfill_hourly"), "0");
}

/// GIVEN a source that lacks a row or has one twice, or has lost a day, THEN nothing is made of it.
#[test]
fn gold_is_not_made_of_a_source_that_is_wrong() {
    let world = World::new();
    assert_eq!(world.apply(&[]).0, Some(0));
    world.sell(1, &[1, 2], 1000);
    let gold = world.count("SELECT sum(cityHash64(*)) FROM silver.hours");
    let unchanged = || assert_eq!(world.count("SELECT sum(cityHash64(*)) FROM silver.hours"), gold);

    world.clickhouse.query("ALTER TABLE silver.sales DELETE WHERE _row = 10 SETTINGS mutations_sync = 1");
    let (code, words) = world.backfill(&[]);
    assert!(code == Some(1) && words.contains("lacks 1 rows") && words.contains("and has 0 twice"), "{words}");
    unchanged();
    let (code, words) = world.backfill(&["--unchecked"]);
    assert!(code == Some(0) && words.contains("equal now: 2026-11-01\n"), "{words}");
    assert_eq!(world.wrong("1"), "0");

    // A day that the source has no row of any more is history.
    world
        .clickhouse
        .query("ALTER TABLE silver.sales DELETE WHERE toDate(at) = '2026-11-01' SETTINGS mutations_sync = 1");
    let (code, words) = world.backfill(&["--unchecked"]);
    assert!(code == Some(1) && words.contains("no row of them any more: 2026-11-01."), "{words}");
    assert_ne!(world.count("SELECT count() FROM silver.hours WHERE toDate(hour) = '2026-11-01'"), "0");

    let cases = [
        (vec!["--table", "nothing"], Some(1), "there is none in database silver"),
        (vec!["--table", "sales"], Some(1), "no materialized view fills it"),
        (vec!["--table", "hourly", "--from", "2026-02-30"], Some(2), "it is no day"),
    ];
    for (arguments, expected, says) in cases {
        let (code, words) = world.schema(&[&["backfill"], arguments.as_slice()].concat());
        assert!(code == expected && words.contains(says), "{words}");
    }
}

/// GIVEN a backfill that dies behind one of its days, THEN readers have each day as it was or as it shall be, the next command says
/// whose the lock is, and ends the work once it is taken away.
#[test]
fn a_crash_leaves_whole_days() {
    let world = World::new();
    world.sell(1, &[1, 2, 3, 4], 3000);
    assert_eq!(world.apply(&[]).0, Some(0));
    world.sell(2, &[1, 2, 3, 4], 200);
    let old = "SELECT countMerge(sales) FROM silver.hourly WHERE toDate(hour) = ";
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !ended.load(Ordering::Acquire) {
                for day in 1..=4 {
                    let seen = world.count(&format!("{old} '2026-11-{day:02}'"));
                    assert!(["200", "3200"].contains(&seen.as_str()), "half a day: {seen}");
                }
                looks += 1;
            }
            looks
        });
        let ending = Ending(&ended);
        world.die(CrashPoint::DayReplaced, 2, &["backfill", "--table", "hourly"]);
        let seen = world.count("SELECT arraySort(groupArray(n)) FROM (SELECT countMerge(sales) AS n FROM silver.hourly GROUP BY toDate(hour))");
        assert_eq!(seen, "[200,200,3200,3200]");
        let (code, words) = world.backfill(&[]);
        assert!(
            code == Some(1)
                && words.contains("backfill of hourly, process ")
                && words.contains("No statement of it is under way"),
            "{words}"
        );
        world.take_lock_away();
        let (code, words) = world.backfill(&[]);
        assert!(code == Some(0) && words.contains("equal now: 2026-11-03, 2026-11-04\n"), "{words}");
        drop(ending);
        println!("{} looks", reader.join().expect("no reader saw half a day"));
    });
    assert_eq!(world.wrong("1"), "0");
}

/// GIVEN rows that come into one day all the while, THEN the other days are filled, that one is left as the view keeps it, and loses
/// nothing.
#[test]
fn a_day_into_which_rows_come_is_left_to_its_view() {
    let world = World::new();
    world.sell(1, &[1, 2], 3000);
    assert_eq!(world.apply(&[]).0, Some(0));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut epoch = 2;
            while !ended.load(Ordering::Acquire) {
                world.sell(epoch, &[4], 20);
                epoch += 1;
            }
            epoch
        });
        let ending = Ending(&ended);
        harness::wait::wait_until("the writer to be at work", harness::pipeline::ARRIVAL, || {
            world.count("SELECT countMerge(sales) > 100 FROM silver.hourly") == "1"
        });
        let (_, words) = world.backfill(&[]);
        assert!(words.contains("equal now: 2026-11-01, 2026-11-02\n"), "{words}");
        drop(ending);
        println!("{} epochs beside it", writer.join().expect("a writer"));
    });
    assert_eq!(world.wrong("1"), "0", "a day that is left alone lacks nothing");
    let (code, words) = world.backfill(&[]);
    assert!(code == Some(0) && words.contains("none made anew"), "{words}");
}

/// GIVEN a table that a view makes anew by the clock, WHEN it is filled, THEN it is made anew now.
#[test]
fn what_is_made_anew_by_the_clock_is_made_now() {
    let world = World::new();
    world.sell(1, &[1], 100);
    world.write(
        "030_top.sql",
        "CREATE TABLE IF NOT EXISTS top (shop String, n UInt64) ENGINE = MergeTree ORDER BY shop;
         CREATE MATERIALIZED VIEW IF NOT EXISTS top_fill REFRESH EVERY 100 YEAR TO top AS SELECT shop, count() AS n FROM sales GROUP BY shop;",
    );
    assert_eq!(world.apply(&[]).0, Some(0));
    world.sell(2, &[2], 100);
    for _ in 0..2 {
        let (code, words) = world.schema(&["backfill", "--table", "top"]);
        assert!(code == Some(0) && words.contains("top_fill"), "{words}");
        assert_eq!(world.count("SELECT sum(n) FROM silver.top"), "200");
    }
}

/// GIVEN a table of gold and one of silver, WHEN files add a projection and a setting, THEN these are there once, and the tables count as
/// they were applied, also after a crash behind one.
#[test]
fn parts_are_added_to_tables() {
    let world = World::new();
    world.write(
        "005_parts.sql",
        "ALTER TABLE sales ADD PROJECTION IF NOT EXISTS by_shop (SELECT shop, sum(amount), count() GROUP BY shop);
         ALTER TABLE sales ADD COLUMN IF NOT EXISTS day Date MATERIALIZED toDate(at);
         ALTER TABLE sales MODIFY SETTING min_bytes_for_wide_part = 1;",
    );
    world.write("015_parts.sql", "ALTER TABLE hourly MODIFY SETTING min_bytes_for_wide_part = 1");
    let gold = world.gold();
    world.die(CrashPoint::Noted, 5, &["apply", gold.to_str().expect("a path")]);
    world.take_lock_away();
    world.sell(1, &[1], 1000);
    assert_eq!(world.apply(&[]).0, Some(0));
    let (code, words) = world.plan();
    assert!(code == Some(0) && words.matches("keep ").count() == 7, "{words}");
    assert_eq!(world.count("SELECT count() FROM system.projections WHERE name = 'by_shop'"), "1");

    world.write("015_parts.sql", "ALTER TABLE hourly MODIFY SETTING min_bytes_for_wide_part = 2");
    let (code, words) = world.apply(&[]);
    assert!(code == Some(0) && words.contains("done  hourly.min_bytes_for_wide_part"), "{words}");
    assert!(world.count("SHOW CREATE TABLE silver.hourly").contains("min_bytes_for_wide_part = 2"));
    let (code, words) = world.plan();
    assert!(code == Some(0) && words.matches("keep ").count() == 7, "{words}");
}
