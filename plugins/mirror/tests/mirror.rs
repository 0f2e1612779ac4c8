//! A table whose columns come and go, natively.

use mirror::Mirror;
use plugin_sdk::testing::run_cases;

#[test]
fn cases() {
    run_cases::<Mirror>("cases");
}
