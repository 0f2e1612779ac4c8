//! Accounts as they are now, without what identifies their holders: name, address and numbers stay out of every table.
//!
//! What the output does not name does not get out. Nothing is rejected: a dead letter would hold the message in clear.

use plugin_sdk::{Change, Ctx, Date, Pass, Reject, Row, Table, Uppercase, pass, text};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct AccountIn<'a> {
    /// In clear: it does not get out of here.
    pub iban: &'a str,
    /// Two letters of ISO 3166-1, in any case.
    pub country: &'a str,
    /// Three letters of ISO 4217, in any case.
    pub currency: &'a str,
    /// What kind of customer it is.
    pub segment: &'a str,
}

/// An account as it is now.
#[derive(Table)]
#[table(name = "accounts", kind = "current", sort_key = ["account_id"])]
pub struct Account<'a> {
    account_id: Pass<i32>,
    /// The last four digits of its IBAN.
    iban_last_four: &'a str,
    #[column(clickhouse = "LowCardinality(String)")]
    segment: &'a str,
    #[column(clickhouse = "LowCardinality(String)")]
    country: Uppercase<'a>,
    #[column(clickhouse = "LowCardinality(String)")]
    currency: Uppercase<'a>,
    opened_on: Pass<Date>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn masked<'a>(change: Change<AccountIn<'a>>, _: &Ctx) -> Result<Account<'a>, Reject> {
    let AccountIn { iban, country, currency, segment } = change.row;
    Ok(Account {
        account_id: pass(),
        iban_last_four: last_four(text::trim(iban)),
        segment: text::trim(segment),
        country: Uppercase(text::trim(country)),
        currency: Uppercase(text::trim(currency)),
        opened_on: pass(),
    })
}

/// The last four characters; of a text that is not longer than eight, none: they would be half of it.
fn last_four(text: &str) -> &str {
    if text.len() <= 8 { "" } else { text.get(text.len() - 4..).unwrap_or_default() }
}

plugin_sdk::export! {
    plugin: Accounts,
    input: Change<AccountIn>,
    output: Account,
    row: masked,
}
