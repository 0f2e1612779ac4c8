//! The border's benchmark: a row of 40 columns, of which the plugin touches three. The others stay in the host.

use plugin_sdk::{Ctx, Decimal, Micros, Pass, Reject, Row, Table, Timestamp, Uppercase};

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct Touched<'a> {
    pub status: &'a str,
    pub quantity: i32,
    pub updated_at: Timestamp<Micros>,
}

/// All 40.
#[derive(Default, Table)]
#[table(name = "wide", kind = "append", sort_key = ["number_01"])]
pub struct Wide<'a> {
    text_01: Pass<&'a str>,
    text_02: Pass<&'a str>,
    text_03: Pass<&'a str>,
    text_04: Pass<&'a str>,
    text_05: Pass<&'a str>,
    text_06: Pass<&'a str>,
    text_07: Pass<&'a str>,
    text_08: Pass<&'a str>,
    text_09: Pass<&'a str>,
    text_10: Pass<&'a str>,
    text_11: Pass<&'a str>,
    text_12: Pass<&'a str>,
    text_13: Pass<&'a str>,
    text_14: Pass<&'a str>,
    text_15: Pass<&'a str>,
    number_01: Pass<i64>,
    number_02: Pass<i64>,
    number_03: Pass<i64>,
    number_04: Pass<i64>,
    number_05: Pass<i64>,
    number_06: Pass<i64>,
    number_07: Pass<i64>,
    number_08: Pass<i64>,
    number_09: Pass<i64>,
    number_10: Pass<i64>,
    number_11: Pass<i64>,
    number_12: Pass<i64>,
    number_13: Pass<i64>,
    number_14: Pass<i64>,
    number_15: Pass<i64>,
    amount_01: Pass<Decimal<12, 2>>,
    amount_02: Pass<Decimal<12, 2>>,
    amount_03: Pass<Decimal<12, 2>>,
    amount_04: Pass<Decimal<12, 2>>,
    amount_05: Pass<Decimal<12, 2>>,
    amount_06: Pass<Decimal<12, 2>>,
    amount_07: Pass<Decimal<12, 2>>,
    status: Option<Uppercase<'a>>,
    quantity: i32,
    updated_at: Timestamp<Micros>,
}

fn touch<'a>(row: Touched<'a>, _: &Ctx) -> Result<Option<Wide<'a>>, Reject> {
    let status = row.status.trim();
    if status == "test" {
        return Ok(None);
    }
    if row.quantity <= 0 {
        return Err(Reject::new("bad_quantity", "an order is for one piece at least"));
    }
    let updated_at = Timestamp::new(row.updated_at.units().div_euclid(1_000_000) * 1_000_000);
    Ok(Some(Wide { status: Some(Uppercase(status)), quantity: row.quantity, updated_at, ..Wide::default() }))
}

plugin_sdk::export! {
    plugin: TouchThree,
    input: Touched,
    output: Option<Wide>,
    row: touch,
}
