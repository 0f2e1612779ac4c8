//! Shipments, natively.

use orders_shipments::{ShipmentIn, Shipments};
use plugin_sdk::Change;
use plugin_sdk::testing::Harness;

#[test]
fn a_carrier_of_spaces_is_none() {
    let by = |carrier| ShipmentIn { carrier };
    let changes = [Change::create(by(Some(" DHL "))), Change::update(by(Some(" "))), Change::delete(by(None))];
    let answer = Harness::<Shipments>::new().passed("order_id", [1, 1, 1]).run(changes);
    answer.assert_table("shipments", "order_id | carrier\n 1 | DHL\n 1 | null\n 1 | null");
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<Shipments>("cases");
}
