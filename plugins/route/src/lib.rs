//! One topic of events to a table for each type of event, each with the columns that its type has.
//!
//! Applications write these events themselves: flat JSON objects, what a type has of its own below `properties`.

use std::borrow::Cow;
use std::str::FromStr;

use plugin_sdk::{Ctx, Decimal, Json, Millis, Parameters, Pass, Reject, Row, Table, Timestamp, pass};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct EventIn<'a> {
    /// Decides the table.
    pub event_type: &'a str,
    /// What an event of the type has.
    pub properties: Option<Json<'a>>,
}

/// Somebody opened an account.
#[derive(Table)]
#[table(name = "signups", kind = "append", sort_key = ["timestamp", "event_id"], partition_by = "toYYYYMM(timestamp)")]
pub struct Signup<'a> {
    event_id: Pass<&'a str>,
    user_id: Pass<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    #[column(clickhouse = "LowCardinality(String)")]
    plan: Cow<'a, str>,
}

/// Somebody looked at a page.
#[derive(Table)]
#[table(name = "page_views", kind = "append", sort_key = ["timestamp", "event_id"], partition_by = "toYYYYMM(timestamp)")]
pub struct PageView<'a> {
    event_id: Pass<&'a str>,
    user_id: Pass<&'a str>,
    session_id: Pass<Option<&'a str>>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    page: Cow<'a, str>,
}

/// Somebody paid.
#[derive(Table)]
#[table(name = "purchases", kind = "append", sort_key = ["timestamp", "event_id"], partition_by = "toYYYYMM(timestamp)")]
pub struct Purchase<'a> {
    event_id: Pass<&'a str>,
    user_id: Pass<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    amount: Decimal<12, 2>,
    /// Three letters, as ISO 4217 has them.
    #[column(clickhouse = "LowCardinality(String)")]
    currency: Cow<'a, str>,
}

/// Somebody could not pay.
#[derive(Table)]
#[table(name = "payment_failures", kind = "append", sort_key = ["timestamp", "event_id"])]
pub struct PaymentFailure<'a> {
    event_id: Pass<&'a str>,
    user_id: Pass<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    #[column(clickhouse = "LowCardinality(String)")]
    reason: Cow<'a, str>,
}

/// Something else happened.
#[derive(Table)]
#[table(name = "other_events", kind = "append", sort_key = ["event_type", "timestamp"])]
pub struct OtherEvent<'a> {
    event_id: Pass<&'a str>,
    #[column(clickhouse = "LowCardinality(String)")]
    event_type: Pass<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    properties: Pass<Option<Json<'a>>>,
}

/// What becomes of types that have no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are set aside.
    DeadLetter,
    /// They land in `other_events`.
    Keep,
}

impl FromStr for Unknown {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "dead_letter" => Ok(Self::DeadLetter),
            "keep" => Ok(Self::Keep),
            _ => Err(format!("`{text}` is none of dead_letter, keep")),
        }
    }
}

/// Where events go.
#[derive(Parameters)]
pub struct Routing {
    /// What becomes of types that have no table: dead_letter or keep.
    #[parameter(default = "dead_letter")]
    unknown: Unknown,
}

/// A row for one of the tables.
type Tables<'a> = (
    Option<Signup<'a>>,
    Option<PageView<'a>>,
    Option<Purchase<'a>>,
    Option<PaymentFailure<'a>>,
    Option<OtherEvent<'a>>,
);

fn route<'a>(event: EventIn<'a>, ctx: &Ctx<Routing>) -> Result<Tables<'a>, Reject> {
    let properties = event.properties.map_or("{}", |json| json.0);
    let mut tables: Tables<'a> = (None, None, None, None, None);
    match event.event_type {
        "user_signup" => tables.0 = Some(signup(properties)?),
        "page_view" => tables.1 = Some(page_view(properties)?),
        "purchase" => tables.2 = Some(purchase(properties)?),
        "payment_failed" => tables.3 = Some(payment_failure(properties)?),
        _ if ctx.parameters.unknown == Unknown::Keep => {
            tables.4 = Some(OtherEvent { event_id: pass(), event_type: pass(), timestamp: pass(), properties: pass() });
        }
        _ => return Err(Reject::new("unknown_type", "there is no table for this type of event")),
    }
    Ok(tables)
}

/// Reads properties; text without escapes is borrowed from the batch.
fn read<'a, T: Deserialize<'a>>(properties: &'a str, what: &'static str) -> Result<T, Reject> {
    // The parser's own words would quote the event.
    serde_json::from_str(properties).map_err(|_| Reject::new("bad_properties", what))
}

fn signup(properties: &str) -> Result<Signup<'_>, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        #[serde(borrow)]
        plan: Cow<'a, str>,
    }
    let Properties { plan } = read(properties, "a sign-up has a plan")?;
    Ok(Signup { event_id: pass(), user_id: pass(), timestamp: pass(), plan })
}

fn page_view(properties: &str) -> Result<PageView<'_>, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        #[serde(borrow)]
        page: Cow<'a, str>,
    }
    let Properties { page } = read(properties, "a page view has a page")?;
    Ok(PageView { event_id: pass(), user_id: pass(), session_id: pass(), timestamp: pass(), page })
}

fn purchase(properties: &str) -> Result<Purchase<'_>, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        /// As it stands: a number of 64 bits would round it.
        #[serde(borrow)]
        amount: &'a RawValue,
        #[serde(borrow)]
        currency: Cow<'a, str>,
    }
    let Properties { amount, currency } = read(properties, "a purchase has an amount and a currency")?;
    let bad_amount = || Reject::new("bad_amount", "an amount is above zero, with at most two digits behind the point");
    let amount = Decimal::parse(amount.get().trim_matches('"')).ok_or_else(bad_amount)?;
    if amount <= Decimal::default() {
        return Err(bad_amount());
    }
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Err(Reject::new("bad_currency", "a currency is three capital letters"));
    }
    Ok(Purchase { event_id: pass(), user_id: pass(), timestamp: pass(), amount, currency })
}

fn payment_failure(properties: &str) -> Result<PaymentFailure<'_>, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        #[serde(borrow)]
        reason: Cow<'a, str>,
    }
    let Properties { reason } = read(properties, "a failed payment has a reason")?;
    Ok(PaymentFailure { event_id: pass(), user_id: pass(), timestamp: pass(), reason })
}

plugin_sdk::export! {
    plugin: Route,
    format: Flat,
    input: EventIn,
    output: (Option<Signup>, Option<PageView>, Option<Purchase>, Option<PaymentFailure>, Option<OtherEvent>),
    parameters: Routing,
    row: route,
}
