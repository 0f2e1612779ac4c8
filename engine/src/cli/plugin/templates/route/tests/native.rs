//! The function, natively: no WebAssembly, no engine.

use plugin_sdk::Change;
use plugin_sdk::testing::Harness;

use {{crate}}::{PaymentIn, Plugin};

fn payment(method: &str) -> PaymentIn<'_> {
    PaymentIn {
        method,
        reference: Some(" invoice 7 "),
    }
}

#[test]
fn each_payment_goes_to_the_table_of_its_method() {
    let payments = ["Card", "transfer", "cash"].map(|method| Change::create(payment(method)));
    let answer = Harness::<Plugin>::new()
        .passed("id", [1_i64, 2, 3])
        .run(payments);
    let ids = |table: &str| {
        answer
            .rows(table)
            .iter()
            .filter_map(|row| row.get("id"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(
        [ids("{{table}}_by_card"), ids("{{table}}_by_transfer")],
        ["1", "2"]
    );
    assert_eq!(
        answer.rows("{{table}}_by_transfer")[0].get("reference"),
        Some("invoice 7")
    );
    assert_eq!(answer.rejects(), [(2, "unknown_method")]);
}

#[test]
fn a_deleted_payment_stays_in_the_books() {
    let answer = Harness::<Plugin>::new().run([Change::delete(payment("card"))]);
    assert!(answer.rejects().is_empty() && answer.rows("{{table}}_by_card").is_empty());
}
