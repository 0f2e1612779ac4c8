//! Products, natively.

use orders_products::{ProductIn, Products};
use plugin_sdk::testing::Harness;
use plugin_sdk::{Change, Decimal};

#[test]
fn a_price_below_nothing_is_rejected_unless_the_product_is_deleted() {
    let product = ProductIn { price: Decimal::parse("49.90"), tags: None };
    let paid = ProductIn { price: Decimal::parse("-0.01"), tags: None };
    let answer = Harness::<Products>::new().passed("id", [1, 2, 3, 4]).run([
        Change::create(product),
        Change::update(paid),
        Change::delete(paid),
        Change::delete(ProductIn::default()),
    ]);
    answer.assert_table("products", "id | price\n 1 | 49.90\n 3 | -0.01\n 4 | null");
    assert_eq!(answer.rejects(), [(1, "bad_price")]);
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<Products>("cases");
}
