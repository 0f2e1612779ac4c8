//! The function, natively: no WebAssembly, no engine.

use plugin_sdk::Change;
use plugin_sdk::testing::Harness;

use {{crate}}::{CustomerIn, Plugin};

#[test]
fn names_and_addresses_are_cleaned() {
    let customer = CustomerIn {
        name: Some(" Ada "),
        email: " Ada@Example.ORG",
    };
    let answer = Harness::<Plugin>::new()
        .passed("id", [7_i64])
        .run([Change::create(customer)]);
    assert_eq!(
        answer.table("{{table}}"),
        ["id=7 name=Ada email=ada@example.org note=null"]
    );
}

#[test]
fn an_address_without_at_is_rejected_but_never_a_delete() {
    let nobody = CustomerIn {
        name: None,
        email: "nobody",
    };
    let answer = Harness::<Plugin>::new().run([Change::update(nobody), Change::delete(nobody)]);
    assert_eq!(answer.rejects(), [(0, "bad_email")]);
    assert_eq!(answer.rows("{{table}}").len(), 1);
}
