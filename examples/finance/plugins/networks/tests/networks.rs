//! Networks, natively.

use finance_networks::{NetworkIn, Networks};
use plugin_sdk::Change;
use plugin_sdk::testing::{Harness, run_cases};

#[test]
fn what_no_dictionary_could_read_is_rejected() {
    let texts = ["192.0.2.0/24", "2001:db8::/32", "192.0.2.0", "192.0.2.0/33", "2001:db8::/129", "here/8"];
    let networks = texts.map(|network| Change::create(NetworkIn { network, country: "de" }));
    let answer = Harness::<Networks>::new().run(networks);
    answer.assert_table("networks", "network | country\n 192.0.2.0/24 | DE\n 2001:db8::/32 | DE");
    assert_eq!(answer.rejects(), [2, 3, 4, 5].map(|row| (row, "bad_network")));
}

#[test]
fn a_delete_is_never_rejected() {
    let answer = Harness::<Networks>::new().run([Change::delete(NetworkIn::default())]);
    assert_eq!((answer.rejects().len(), answer.rows("networks").len()), (0, 1));
}

#[test]
fn cases() {
    run_cases::<Networks>("cases");
}
