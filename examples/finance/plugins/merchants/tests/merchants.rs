//! Merchants, natively.

use finance_merchants::{MerchantIn, Merchants};
use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Change, Millis, Timestamp};

fn at(hour: i64) -> Timestamp<Millis> {
    Timestamp::new(1_767_225_600_000 + hour * 3_600_000)
}

fn merchant(category: &str, hour: i64) -> MerchantIn<'_> {
    let (updated_at, committed_at) = (at(hour), Some(at(hour + 1)));
    MerchantIn { merchant_id: 7, name: "Corner", category, country: "de", updated_at, committed_at }
}

#[test]
fn a_version_lasts_from_one_change_to_the_next() {
    let harness = Harness::<Merchants>::new();
    let mut lane = harness.lane();
    lane.run([Change::read(merchant("Groceries ", 0)), Change::update(merchant("groceries", 1))]).assert_table(
        "dim_merchants",
        "merchant_id | category | country | effective_start | effective_end | is_current
         7 | groceries | DE | 2026-01-01T00:00:00.000Z | null | true",
    );
    lane.run([Change::update(merchant("gambling", 2))]).assert_table(
        "dim_merchants",
        "category | effective_start | effective_end
         groceries | 2026-01-01T00:00:00.000Z | 2026-01-01T02:00:00.000Z
         gambling | 2026-01-01T02:00:00.000Z | null",
    );
    // A merchant that is gone was one until the row was deleted, not until it had been changed last.
    lane.run([Change::delete(merchant("gambling", 2))]).assert_table(
        "dim_merchants",
        "category | effective_start | effective_end\n gambling | 2026-01-01T02:00:00.000Z | 2026-01-01T03:00:00.000Z",
    );
}

#[test]
fn a_merchant_without_category_or_country_is_rejected() {
    let nowhere = MerchantIn { country: "D1", ..merchant("fuel", 0) };
    let answer = Harness::<Merchants>::new().run([Change::create(merchant(" ", 0)), Change::create(nowhere)]);
    assert_eq!(answer.rejects(), [(0, "no_category"), (1, "bad_country")]);
}

#[test]
fn cases() {
    run_cases::<Merchants>("cases");
}
