//! Payments, natively: a test for each row of the crate's table.

use finance_transactions::{TransactionIn, Transactions};
use plugin_sdk::testing::{Answer, Harness, run_cases};
use plugin_sdk::{Change, Decimal, Timestamp};

fn good() -> TransactionIn<'static> {
    TransactionIn {
        transaction_id: 7,
        account_id: 1,
        merchant_id: 2,
        card_number: "4111111111111111",
        amount: cents(1050),
        currency: " eur",
        status: "approved ",
        ip: "2001:DB8::1",
        occurred_at: Timestamp::new(1_767_225_600_000_000),
    }
}

fn bad() -> TransactionIn<'static> {
    TransactionIn { ip: "256.1.1.1", ..good() }
}

fn cents(of: i128) -> Decimal<12, 2> {
    Decimal::new(of).expect("twelve digits")
}

type Booked = Change<TransactionIn<'static>, Option<TransactionIn<'static>>>;

fn answer(change: Booked) -> Answer {
    Harness::<Transactions>::new().run([change])
}

fn update(before: TransactionIn<'static>, after: TransactionIn<'static>) -> Answer {
    answer(Change::update(after).with_before(Some(before)))
}

#[test]
fn a_good_payment_is_cleaned_and_booked() {
    for change in [Change::create(good()), Change::read(good())] {
        let answer = answer(change.with_before(None));
        answer.assert_table(
            "transactions",
            "transaction_id | card_issuer | card_last_four | currency | status | ip | fault
             7 | 411111 | 1111 | EUR | APPROVED | 2001:db8::1 | null",
        );
        answer.assert_table(
            "bookings",
            "transaction_id | sign | account_id | merchant_id | amount | currency | status | ip
             7 | 1 | 1 | 2 | 10.50 | EUR | APPROVED | 2001:db8::1",
        );
    }
}

#[test]
fn a_change_takes_back_what_was_booked() {
    let answer = update(good(), TransactionIn { amount: cents(2000), merchant_id: 3, status: "REVERSED", ..good() });
    answer.assert_table(
        "bookings",
        "sign | merchant_id | amount | status
         -1 | 2 | 10.50 | APPROVED
         1 | 3 | 20.00 | REVERSED",
    );
    answer.assert_table("transactions", "status | fault\n REVERSED | null");
}

#[test]
fn one_that_is_mended_has_nothing_to_take_back() {
    update(bad(), good()).assert_table("bookings", "sign | amount\n 1 | 10.50");
}

#[test]
fn one_that_is_spoilt_is_shown_and_does_not_count_any_more() {
    let answer = update(good(), TransactionIn { amount: cents(-1), ..good() });
    answer.assert_table("bookings", "sign | amount\n -1 | 10.50");
    answer.assert_table("transactions", "card_issuer | card_last_four | fault\n \"\" | \"\" | bad_amount");
    assert_eq!(answer.rejects(), []);
}

#[test]
fn what_never_was_good_is_set_aside() {
    for (code, wrong) in [
        ("bad_amount", TransactionIn { amount: cents(0), ..good() }),
        ("unknown_currency", TransactionIn { currency: "XYZ", ..good() }),
        ("unknown_status", TransactionIn { status: "", ..good() }),
        ("bad_card_number", TransactionIn { card_number: "4111111111111112", ..good() }),
        ("bad_ip", bad()),
    ] {
        assert_eq!(answer(Change::create(wrong).with_before(None)).rejects(), [(0, code)]);
        assert_eq!(update(bad(), wrong).rejects(), [(0, code)]);
    }
}

#[test]
fn a_delete_takes_back_what_was_booked() {
    answer(Change::delete(good()).with_before(Some(good()))).assert_table("bookings", "sign | amount\n -1 | 10.50");
    let answer = answer(Change::delete(bad()).with_before(Some(bad())));
    assert_eq!((answer.rejects().len(), answer.rows("transactions").len(), answer.rows("bookings").len()), (0, 1, 0));
}

#[test]
fn without_the_row_before_nothing_is_taken_for_granted() {
    for change in [Change::update(good()), Change::delete(good())] {
        assert_eq!(answer(change.with_before(None)).rejects(), [(0, "no_row_before")]);
    }
}

#[test]
fn whatever_happens_to_a_payment_its_bookings_add_up_to_what_it_is() {
    let other = TransactionIn { amount: cents(5), ..good() };
    let rows = [None, Some(good()), Some(other), Some(bad())];
    // Every way through three states, beginning with none: the bookings of its changes leave what the last state counts.
    for states in 0..rows.len().pow(3) {
        let path = [states % 4, states / 4 % 4, states / 16].map(|state| rows[state]);
        let mut sum = 0;
        let mut before = None;
        for after in path {
            let change = match (before, after) {
                (None, None) => continue,
                (None, Some(row)) => Change::create(row).with_before(None),
                (Some(was), None) => Change::delete(was).with_before(Some(was)),
                (Some(was), Some(row)) => Change::update(row).with_before(Some(was)),
            };
            before = after;
            for booking in answer(change).rows("bookings") {
                let amount = if booking.get("amount") == Some("10.50") { 1050 } else { 5 };
                sum += if booking.get("sign") == Some("1") { amount } else { -amount };
            }
        }
        let counts = before.filter(|row| row.ip == good().ip).map_or(0, |row| row.amount.unscaled());
        assert_eq!(sum, counts, "{path:?}");
    }
}

#[test]
fn cases() {
    run_cases::<Transactions>("cases");
}
