//! Reads ClickHouse back and compares it with the model of the source tables.
//!
//! Every current row is compared in every business column. What must have become a dead letter is counted by the
//! messages' coordinates, so that neither a missing one nor one that was written twice goes unnoticed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Verdict;
use super::changes::{Bad, Order, User};
use super::feed::Tables;
use super::screen::grouped;

/// A query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No answer.
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    /// ClickHouse's words.
    #[error("{0}")]
    Refused(String),
}

/// The slowest question of the demo takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Cents with both digits; tables without row numbers and remarks.
const FORMAT_SETTINGS: &str = "&output_format_decimal_trailing_zeros=1&output_format_pretty_row_numbers=0\
                               &output_format_pretty_single_large_number_tip_threshold=0";

/// Asks ClickHouse.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    /// Asks about the tables of this database.
    pub(super) fn new(url: &str, database: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client needs nothing from outside");
        Self { http, url: format!("{url}/?database={database}{FORMAT_SETTINGS}") }
    }

    /// The answer as text.
    pub(super) async fn ask(&self, query: &str) -> Result<String, QueryError> {
        let answer = self.http.post(&self.url).body(query.to_owned()).send().await?;
        let accepted = answer.status().is_success();
        let text = answer.text().await?;
        if accepted { Ok(text) } else { Err(QueryError::Refused(text)) }
    }
}

/// How old the newest visible change of the slowest partition was, sampled while the feed ran.
#[derive(Debug, Default)]
pub(super) struct Freshness(Vec<u64>);

impl Freshness {
    /// Takes one sample. A table that is not there yet gives none.
    pub(super) async fn sample(&mut self, client: &Client) {
        const NEWEST: &str = "SELECT min(newest) FROM (SELECT toUnixTimestamp64Milli(max(_source_ts)) AS newest \
                              FROM orders GROUP BY _partition)";
        let Ok(text) = client.ask(NEWEST).await else { return };
        let Ok(newest) = text.trim().parse::<u64>() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if newest > 0 {
            self.0.push(u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(newest));
        }
    }

    /// Median and worst sample in ms.
    fn summary(&self) -> Option<(u64, u64)> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
    }
}

/// One line of the comparison.
#[derive(Clone)]
struct Check {
    what: &'static str,
    expected: String,
    found: String,
}

/// Prints the comparison and some results, and says whether ClickHouse holds exactly what it must.
pub(super) async fn prove(client: &Client, tables: &Tables, freshness: &Freshness) -> Result<Verdict, QueryError> {
    let checks = [orders(client, tables).await?, users(client, tables).await?, dead_letters(client, tables).await?];
    let checks = checks.concat();
    println!("  {:<54} {:>18} {:>18}", "", "expected", "found");
    for check in &checks {
        let mark = if check.holds() { '✓' } else { '✗' };
        println!("{mark} {:<54} {:>18} {:>18}", check.what, check.expected, check.found);
    }
    println!();
    show(client).await?;
    if let Some((median, worst)) = freshness.summary() {
        println!(
            "A change was visible in ClickHouse within {median} ms (median of the slowest partition; worst {worst} ms)\n"
        );
    }
    let verdict = verdict(&checks);
    println!("{}", verdict.words());
    Ok(verdict)
}

fn verdict(checks: &[Check]) -> Verdict {
    if checks.iter().all(Check::holds) { Verdict::AsExpected } else { Verdict::Different }
}

async fn orders(client: &Client, tables: &Tables) -> Result<Vec<Check>, QueryError> {
    const ROWS: &str = "SELECT id, order_number, toInt32(order_date), toUnixTimestamp64Micro(order_time), purchaser, \
                        quantity, product_id, unit_price, status, toUnixTimestamp64Micro(updated_at) \
                        FROM orders_current ORDER BY id FORMAT TSV";
    let found = client.ask(ROWS).await?;
    let mut expected: Vec<&Order> = tables.orders.rows().iter().collect();
    expected.sort_unstable_by_key(|order| order.id);
    let cents: i64 = expected.iter().map(|order| order.total_amount()).sum();
    let sum = client.ask("SELECT sum(quantity * unit_price) FROM orders_current").await?;
    let deleted = client.ask(&count_deleted("orders", "id")).await?;
    let history = client.ask("SELECT count() FROM orders_final").await?;
    let messages = client.ask("SELECT uniqExact(_partition, _offset) FROM orders_final").await?;
    Ok(vec![
        Check::count("orders: rows", expected.len() as u64, found.lines().count() as u64),
        Check::count(
            "orders: rows identical in all columns",
            expected.len() as u64,
            identical(expected.iter().map(|order| order_line(order)), &found),
        ),
        Check { what: "orders: sum of quantity × price", expected: money(cents), found: sum.trim().to_owned() },
        Check::count("orders: deleted", tables.orders.deleted(), number(&deleted)),
        Check::count("orders_final: changes, none missing", tables.orders.good(), number(&messages)),
        Check::count("orders_final: changes, none twice", tables.orders.good(), number(&history)),
    ])
}

async fn users(client: &Client, tables: &Tables) -> Result<Vec<Check>, QueryError> {
    const ROWS: &str = "SELECT user_id, full_name, email, toUnixTimestamp64Micro(created_at), \
                        toUnixTimestamp64Micro(updated_at) FROM silver_users_current ORDER BY user_id FORMAT TSVRaw";
    let found = client.ask(ROWS).await?;
    let mut expected: Vec<&User> = tables.users.rows().iter().collect();
    expected.sort_unstable_by_key(|user| user.id);
    let deleted = client.ask(&count_deleted("silver_users", "user_id")).await?;
    Ok(vec![
        Check::count("silver_users: rows", expected.len() as u64, found.lines().count() as u64),
        Check::count(
            "silver_users: rows identical in all columns",
            expected.len() as u64,
            identical(expected.iter().map(|user| user_line(user)), &found),
        ),
        Check::count("silver_users: deleted", tables.users.deleted(), number(&deleted)),
    ])
}

async fn dead_letters(client: &Client, tables: &Tables) -> Result<Vec<Check>, QueryError> {
    let all = client.ask("SELECT count() FROM dead_letters").await?;
    let messages = client.ask("SELECT uniqExact(topic, partition, offset) FROM dead_letters").await?;
    let bad = Bad::ALL.map(|kind| tables.orders.bad(kind)).iter().sum::<u64>() + tables.users.malformed();
    Ok(vec![
        Check::count("dead_letters: bad messages, none missing", bad, number(&messages)),
        Check::count("dead_letters: bad messages, none twice", bad, number(&all)),
    ])
}

/// Keys whose newest change is a delete.
fn count_deleted(table: &str, key: &str) -> String {
    format!("SELECT countIf(gone) FROM (SELECT argMax(_deleted, _version) AS gone FROM {table} GROUP BY {key})")
}

async fn show(client: &Client) -> Result<(), QueryError> {
    const RESULTS: [(&str, &str); 3] = [
        (
            "Dead letters by reason",
            "SELECT topic, stage, code, count() AS messages FROM dead_letters \
             GROUP BY ALL ORDER BY messages DESC",
        ),
        (
            "Orders by status",
            "SELECT status, count() AS orders, sum(quantity * unit_price) AS amount FROM orders_current \
             GROUP BY status ORDER BY orders DESC",
        ),
        (
            "Top customers",
            "SELECT purchaser, count() AS orders, sum(quantity * unit_price) AS amount FROM orders_current \
             GROUP BY purchaser ORDER BY amount DESC LIMIT 5",
        ),
    ];
    for (title, query) in RESULTS {
        println!("{title}\n{}", client.ask(&format!("{query} FORMAT PrettyCompactMonoBlock")).await?);
    }
    Ok(())
}

impl Check {
    fn holds(&self) -> bool {
        self.expected == self.found
    }

    fn count(what: &'static str, expected: u64, found: u64) -> Self {
        Self { what, expected: grouped(expected), found: grouped(found) }
    }
}

/// Lines that are in both. By content, not by position: one missing row must not make all later ones differ.
fn identical(expected: impl Iterator<Item = String>, found: &str) -> u64 {
    let found: std::collections::HashSet<&str> = found.lines().collect();
    expected.filter(|line| found.contains(line.as_str())).count() as u64
}

fn order_line(o: &Order) -> String {
    format!(
        "{}\tORD-{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        o.id,
        1000 + o.id,
        o.order_date,
        o.order_time,
        o.purchaser,
        o.quantity,
        o.product_id,
        money(o.unit_price),
        o.status(),
        o.updated_at
    )
}

fn user_line(user: &User) -> String {
    format!("{}\t{}\t{}\t{}\t{}", user.id, user.full_name(), user.email(), user.created_at, user.updated_at)
}

/// Cents as units, two digits after the point.
fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A count as ClickHouse prints it. What is no number is no count that was expected.
fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_missing_or_differs_is_noticed() {
        let expected = || ["1\ta", "2\tb", "3\tc"].into_iter().map(String::from);
        assert_eq!(identical(expected(), "1\ta\n2\tb\n3\tc\n"), 3);
        assert_eq!(identical(expected(), "1\ta\n3\tc\n"), 2);
        assert_eq!(identical(expected(), "1\ta\n2\tB\n3\tc\n"), 2);
    }

    #[test]
    fn one_difference_decides() {
        let same = Check::count("a", 1, 1);
        assert_eq!(verdict(&[same.clone(), same.clone()]), Verdict::AsExpected);
        assert_eq!(verdict(&[same, Check::count("b", 1, 2)]), Verdict::Different);
        assert_eq!(verdict(&[Check::count("no number", 1, number("Code: 60"))]), Verdict::Different);
    }

    #[test]
    fn cents_are_written_with_both_digits() {
        assert_eq!([money(5), money(120), money(1_234_567)], ["0.05", "1.20", "12345.67"]);
    }
}
