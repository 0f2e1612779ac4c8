//! What merchants are, from when to when: a slowly changing dimension of type 2, made of the changes of their master data.
//!
//! A payment of last month was one at a grocer's, whatever the merchant has become since. So each version is kept, and a
//! payment finds the one that held when it was made.

use plugin_sdk::{Change, Ctx, Millis, Reject, Row, StateValue, Table, Timestamp, Version, hours, text};

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct MerchantIn<'a> {
    /// Which.
    pub merchant_id: i32,
    /// As customers read it on their statements.
    pub name: &'a str,
    /// What is sold there.
    pub category: &'a str,
    /// Where it is: two letters of ISO 3166-1.
    pub country: &'a str,
    /// Since when it is so.
    pub updated_at: Timestamp<Millis>,
    /// When the database learnt of it.
    #[column(change = "source_timestamp")]
    pub committed_at: Option<Timestamp<Millis>>,
}

/// A merchant as it was, or is.
#[derive(Table)]
#[table(name = "dim_merchants", kind = "current", sort_key = ["merchant_id", "effective_start"])]
pub struct Merchant<'v> {
    merchant_id: i32,
    name: &'v str,
    /// Trimmed, in small letters.
    #[column(clickhouse = "LowCardinality(String)")]
    category: &'v str,
    #[column(clickhouse = "LowCardinality(String)")]
    country: &'v str,
    /// Since when.
    effective_start: Timestamp<Millis>,
    /// Until when, this moment not included; null: it still is.
    effective_end: Option<Timestamp<Millis>>,
    is_current: bool,
}

/// What makes a new version when it changes.
#[derive(Clone, Debug, PartialEq, StateValue)]
pub struct Terms {
    name: String,
    category: String,
    country: String,
}

fn terms(change: Change<MerchantIn<'_>>, _: &Ctx) -> Result<Option<Terms>, Reject> {
    let MerchantIn { name, category, country, .. } = change.row;
    let [name, category, country] = [name, category, country].map(text::trim);
    if category.is_empty() {
        return Err(Reject::new("no_category", "a merchant sells something"));
    }
    if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(Reject::new("bad_country", "a country is two letters"));
    }
    let (category, country) = (category.to_lowercase(), country.to_ascii_uppercase());
    Ok(Some(Terms { name: name.to_owned(), category, country }))
}

fn version<'v>(merchant_id: i32, version: Version<'v, Terms>, _: &Ctx) -> Merchant<'v> {
    let Version { start, end, value: Terms { name, category, country } } = version;
    let is_current = end.is_none();
    Merchant { merchant_id, name, category, country, effective_start: start, effective_end: end, is_current }
}

plugin_sdk::export! {
    plugin: Merchants,
    input: Change<MerchantIn>,
    output: Merchant,
    // A deleted row says since when it was what it is no more.
    event_time: of(|change| if change.deleted() { change.row.committed_at } else { Some(change.row.updated_at) })
        .delay(hours(24)),
    scd2: by(|change| change.row.merchant_id),
    row: terms,
    version: version,
}
