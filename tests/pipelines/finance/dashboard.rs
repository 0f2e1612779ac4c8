//! The dashboard's page asks ClickHouse as a user of its own. Each of its queries is run here as it stands in the page, by the
//! same kind of request.

use harness::clickhouse::User;
use harness::place;
use reqwest::Url;
use reqwest::blocking::Client;
use serde_json::Value;

use crate::world::{DATABASE, World};

const FOLDER: &str = "examples/finance/dashboard";

/// The user of `reader.sql`: a server in a test knows users from its file alone.
pub(super) fn user() -> User {
    let statements = super::read(&format!("{FOLDER}/reader.sql"));
    let grants = statements.lines().filter_map(|line| line.strip_suffix(" TO dashboard;"));
    let grants: Vec<_> = grants.map(str::to_owned).collect();
    assert!(grants.len() > 5, "{FOLDER}/reader.sql grants something");
    User { name: "dashboard".to_owned(), password: "look".to_owned(), grants, policies: Vec::new() }
}

/// Each query has rows, in a form that a browser lets the page read; nothing else is allowed.
pub(super) fn check(world: &World) {
    let user = user();
    let page = super::read(&format!("{FOLDER}/index.html"));
    let queries = queries(&page);
    let names: Vec<_> = queries.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["figures", "minutes", "merchants", "countries", "accounts", "suspicious", "latest"]);
    for (name, query) in queries {
        let answer = ask(world, &user, &format!("{query}\nFORMAT JSONCompact"));
        let rows = answer["rows"].as_u64().unwrap_or_else(|| panic!("{name}: {answer}"));
        let columns: Vec<_> = answer["meta"].as_array().into_iter().flatten().map(|column| &column["name"]).collect();
        println!("dashboard, {name}: {rows} rows of {columns:?}");
        assert!(rows > 0, "{name} has no rows");
    }
    let files = place::repository().join(FOLDER);
    assert!(files.join("index.html").is_file());
    assert!(!page.contains("src=") && !page.contains("@import"), "the page loads something");

    for statement in [
        "SELECT count() FROM silver.bronze_finance",
        "SELECT count() FROM silver.dead_letters",
        "INSERT INTO silver.bookings (sign) VALUES (1)",
        "DROP VIEW silver.payments_by_minute",
        "ALTER TABLE silver.transactions DELETE WHERE 1",
    ] {
        let refused = world.clickhouse.try_query_as(&user, statement).expect_err(statement);
        assert!(refused.to_string().contains("ACCESS_DENIED"), "{statement}: {refused}");
    }
}

/// The page's queries with their names.
fn queries(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("<script type=\"application/sql\" data-name=\"").skip(1);
    let query = |block: &'_ str| -> Option<(usize, usize, usize)> {
        let name = block.find("\">")?;
        Some((name, name + 2, block.find("</script>")?))
    };
    let read = blocks.map(|block| {
        let (name, begin, end) = query(block).expect("a block with a name and an end");
        (&block[..name], block[begin..end].trim())
    });
    read.collect()
}

/// The page's request.
fn ask(world: &World, user: &User, query: &str) -> Value {
    let words = [
        ("query", query),
        ("database", DATABASE),
        ("user", &user.name),
        ("password", &user.password),
        ("param_currency", "EUR"),
        ("add_http_cors_header", "1"),
        ("output_format_json_quote_64bit_integers", "0"),
        ("output_format_json_quote_decimals", "1"),
    ];
    let url = Url::parse_with_params(&world.clickhouse.http_url(), words).expect("a URL");
    let answer = Client::new().get(url).header("Origin", "null").send().expect("ClickHouse answers");
    // Without it a browser keeps the answer from a page that came from elsewhere, such as from a file.
    let allowed = answer.headers().get("access-control-allow-origin").cloned();
    let text = answer.text().expect("text");
    assert_eq!(allowed.as_ref().and_then(|it| it.to_str().ok()), Some("*"), "{query}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{query}: {text}"))
}
