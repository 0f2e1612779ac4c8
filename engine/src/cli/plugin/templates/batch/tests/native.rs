//! The function, natively: no WebAssembly, no engine.

use plugin_sdk::testing::Harness;

use {{crate}}::{Plugin, Reading};

#[test]
fn temperatures_are_converted_and_those_that_are_none_rejected() {
    let harness = Harness::<Plugin>::new().passed("sensor", [1_i64, 2, 3]);
    let answer = harness.run([20.0, 450.0, -40.0].map(|celsius| Reading { celsius }));
    assert_eq!(
        answer.table("{{table}}"),
        ["sensor=1 fahrenheit=68", "sensor=3 fahrenheit=-40"]
    );
    assert_eq!(answer.rejects(), [(1, "too_hot")]);
}

#[test]
fn the_limit_is_a_parameter() {
    let harness = Harness::<Plugin>::new().parameter("hottest", "500");
    assert!(
        harness
            .run([Reading { celsius: 450.0 }])
            .rejects()
            .is_empty()
    );
}
