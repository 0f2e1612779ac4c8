//! Masking, natively.

use mask_pii::{CustomerIn, MaskPii};
use plugin_sdk::testing::{Harness, run_cases};

const KEY: &str = "0123456789abcdef";

fn harness(mode: &str) -> Harness<MaskPii> {
    let harness = Harness::<MaskPii>::new().parameter("key", KEY);
    ["email", "name", "phone"].into_iter().fold(harness, |harness, name| harness.parameter(name, mode))
}

fn customer<'a>(first_name: &'a str, last_name: &'a str, email: &'a str, phone: &'a str) -> CustomerIn<'a> {
    let [first_name, last_name, email, phone] = [first_name, last_name, email, phone].map(Some);
    CustomerIn { first_name, last_name, email, phone }
}

#[test]
fn each_mode_leaves_as_much_as_it_says() {
    let ada = customer(" Ada Augusta", "Lovelace", "Ada@Example.com ", "+44 20 1234567");
    harness("keep").run([ada]).assert_table(
        "customers_masked",
        "first_name | last_name | email | phone
        Ada Augusta | Lovelace | Ada@Example.com | +44 20 1234567",
    );
    harness("partial").run([ada, customer("", "李雷", "nobody", "12-34"), CustomerIn::default()]).assert_table(
        "customers_masked",
        "first_name | last_name | email          | phone
        A. A.       | L.        | A***@Example.com | ***67
        [redacted]  | 李.       | [redacted]     | [redacted]
        null        | null      | null           | null",
    );
    harness("redact").run([ada]).assert_table(
        "customers_masked",
        "first_name | last_name  | email      | phone
        [redacted]  | [redacted] | [redacted] | [redacted]",
    );
}

#[test]
fn pseudonyms_do_not_depend_on_how_it_is_written() {
    let same = [
        customer("Ada  Augusta", "Lovelace", "Ada@Example.com", "+44 20 1234567"),
        customer("ADA AUGUSTA ", "lovelace", " ada@example.COM", "+44(20)123-45-67"),
    ];
    let answer = harness("hash").run(same);
    let [one, other] = answer.rows("customers_masked") else { panic!("two rows") };
    assert_eq!(one.columns, other.columns);
    let values: Vec<_> = one.columns.iter().filter_map(|(_, value)| value.as_deref()).collect();
    assert!(values.iter().all(|value| value.len() == 32), "{values:?}");

    let elsewhere = harness("hash").parameter("key", "another key than that").run(same);
    assert_ne!(elsewhere.rows("customers_masked")[0].get("email"), one.get("email"));
}

#[test]
fn a_short_key_and_an_unknown_mode_stop_the_plugin() {
    let start = |name, value| {
        harness("hash").parameter(name, value).try_run([CustomerIn::default()]).expect_err("a wrong parameter")
    };
    assert!(start("key", "short").starts_with("parameter `key`: a key has 16 characters at least"));
    assert_eq!(start("phone", "hide"), "parameter `phone`: `hide` is none of keep, hash, partial, redact");
    let unset = Harness::<MaskPii>::new().try_run([CustomerIn::default()]).expect_err("no key");
    assert_eq!(unset, "parameter `key` is not set");
}

#[test]
fn cases() {
    run_cases::<MaskPii>("cases");
}
