//! Users, natively.

use plugin_sdk::testing::Harness;
use plugin_sdk::{Change, Format, Micros, Timestamp};
use users::{UserIn, Users};

fn user<'a>(full_name: &'a str, email: &'a str) -> UserIn<'a> {
    UserIn { full_name, email }
}

#[test]
fn names_are_trimmed_and_addresses_lowered() {
    let answer = Harness::<Users>::new()
        .passed("user_id", [1, 2])
        .passed("created_at", [Timestamp::<Micros>::new(0), Timestamp::new(1)])
        .passed("updated_at", [Timestamp::<Micros>::new(1_529_501_823_123_456), Timestamp::new(-1)])
        .run([
            Change::create(user(" Ada Lovelace\n", " Ada@Example.COM")),
            Change::read(user("李雷 🚀", "li@example.com")),
        ]);
    assert_eq!(
        answer.table("silver_users"),
        [
            "user_id=1 full_name=Ada Lovelace email=ada@example.com created_at=1970-01-01T00:00:00.000000Z \
             updated_at=2018-06-20T13:37:03.123456Z",
            "user_id=2 full_name=李雷 🚀 email=li@example.com created_at=1970-01-01T00:00:00.000001Z \
             updated_at=1969-12-31T23:59:59.999999Z",
        ]
    );
}

#[test]
fn what_is_no_address_is_rejected() {
    let long = format!("{}@example.com", "x".repeat(250));
    let bad = [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a@b@example.com",
        "ada@.com",
        "ada@example.",
        "a b@example.com",
        "ada@-example.com",
        "ada@example..com",
        "ada\u{a0}b@example.com",
        "ada\u{7f}@example.com",
        &long,
    ];
    let answer = Harness::<Users>::new().run(bad.map(|email| Change::update(user("Ada", email))));
    assert_eq!(answer.rejects(), (0..bad.len()).map(|row| (row, "bad_email")).collect::<Vec<_>>());
    assert!(answer.table("silver_users").is_empty());
}

#[test]
fn a_delete_by_key_alone_is_kept() {
    let answer = Harness::<Users>::new().passed("user_id", [7]).run([Change::delete(user("", ""))]);
    assert!(answer.rejects().is_empty());
    assert_eq!(answer.rows("silver_users")[0].get("user_id"), Some("7"));
}

#[test]
fn the_format_is_flat() {
    assert_eq!(Harness::<Users>::new().description().format, Format::Flat);
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<Users>("cases");
}
