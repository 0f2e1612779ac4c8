//! Accounts, natively.

use finance_accounts::{AccountIn, Accounts};
use plugin_sdk::Change;
use plugin_sdk::testing::{Harness, run_cases};

#[test]
fn of_what_identifies_a_holder_four_digits_are_left() {
    let account = |iban| AccountIn { iban, country: "de", currency: " eur", segment: "retail " };
    let answer = Harness::<Accounts>::new().passed("account_id", [1, 2, 3, 4]).run([
        Change::create(account("DE89370400440532013000 ")),
        Change::update(account("12345678")),
        Change::read(account("12345678é€")),
        // The key alone: a delete is never rejected.
        Change::delete(AccountIn::default()),
    ]);
    answer.assert_table(
        "accounts",
        "account_id | iban_last_four | segment | country | currency
         1 | 3000 | retail | DE | EUR
         2 | \"\"   | retail | DE | EUR
         3 | \"\"   | retail | DE | EUR
         4 | \"\"   | \"\" | \"\" | \"\"",
    );
}

#[test]
fn name_address_and_card_do_not_even_cross() {
    let harness = Harness::<Accounts>::new();
    let names: Vec<_> = harness.description().input.iter().map(|it| it.column.name.to_string()).collect();
    for hidden in ["holder", "email", "card_number"] {
        assert!(!names.iter().any(|name| name == hidden), "{names:?}");
    }
}

#[test]
fn cases() {
    run_cases::<Accounts>("cases");
}
