//! Customers, natively.

use orders_customers::{CustomerIn, Customers};
use plugin_sdk::Change;
use plugin_sdk::testing::Harness;

#[test]
fn names_are_trimmed_and_addresses_lowered() {
    let customer = CustomerIn { first_name: " Anna", last_name: "Zähringer ", email: " Anna@Example.com " };
    let nobody = CustomerIn { email: "nobody", ..customer };
    let changes = [Change::create(customer), Change::update(nobody), Change::delete(nobody)];
    let answer = Harness::<Customers>::new().passed("id", [1, 2, 3]).run(changes);
    answer.assert_table(
        "customers",
        "id | first_name | last_name | email
         1 | Anna | Zähringer | anna@example.com
         3 | Anna | Zähringer | nobody",
    );
    assert_eq!(answer.rejects(), [(1, "bad_email")]);
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<Customers>("cases");
}
