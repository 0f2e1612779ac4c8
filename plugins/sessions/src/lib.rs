//! Events that applications write to one topic: checked, each once by its idempotency key, and grouped into the sessions of
//! their user.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plugin_sdk::{
    Ctx, Decimal, Json, Late, Merge, Millis, Parameters, Pass, Reject, Row, Session, StateValue, Table, Timestamp,
    Uuid, days, hours, minutes, pass,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct EventIn<'a> {
    /// Of the event's form: `v1`.
    pub schema_version: &'a str,
    /// Of an event that is sent again it is the same.
    pub idempotency_key: &'a str,
    /// Whose it is.
    pub user_id: &'a str,
    /// Decides what its properties are.
    pub event_type: &'a str,
    /// When it happened, by the application's clock.
    pub timestamp: Timestamp<Millis>,
    /// What an event of the type has.
    pub properties: Option<Json<'a>>,
}

/// An event, once.
#[derive(Table)]
#[table(
    name = "fact_events",
    kind = "current",
    sort_key = ["idempotency_key"],
    index(name = "by_user", expression = "user_id", kind = "bloom_filter(0.01)"),
    index(name = "by_time", expression = "timestamp", kind = "minmax")
)]
pub struct Event<'a> {
    idempotency_key: Pass<&'a str>,
    event_id: Pass<&'a str>,
    user_id: Pass<&'a str>,
    #[column(clickhouse = "LowCardinality(String)")]
    event_type: Pass<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Pass<Timestamp<Millis>>,
    device: Pass<Option<Json<'a>>>,
    properties: Pass<Option<Json<'a>>>,
    /// What the application takes for a session, if anything.
    #[column(from = "session_id")]
    client_session_id: Pass<Option<&'a str>>,
    /// The session in `user_sessions`.
    session_id: Uuid,
}

/// A session of a user: events without a pause of half an hour.
#[derive(Table)]
#[table(name = "user_sessions", kind = "current", sort_key = ["user_id", "session_start"])]
pub struct UserSession<'s> {
    user_id: &'s str,
    /// Time of its first event.
    session_start: Timestamp<Millis>,
    /// Time of its last event.
    session_end: Timestamp<Millis>,
    session_id: Uuid,
    duration_ms: i64,
    events: u64,
    page_views: u32,
    purchases: u32,
    failed_payments: u32,
    /// What was paid, by currency.
    revenue: Vec<(&'s str, Decimal<18, 2>)>,
    /// The first page that was looked at.
    entry_page: Option<&'s str>,
    /// The last one.
    exit_page: Option<&'s str>,
    /// Whether it is over.
    closed: bool,
}

/// What an event adds to its session.
#[derive(Clone, Debug, Default, StateValue)]
pub struct Visit {
    page_views: u32,
    purchases: u32,
    failed_payments: u32,
    revenue: BTreeMap<String, Decimal<18, 2>>,
    entry_page: Option<String>,
    exit_page: Option<String>,
}

impl Merge for Visit {
    fn merge(&mut self, later: &Self) {
        self.page_views += later.page_views;
        self.purchases += later.purchases;
        self.failed_payments += later.failed_payments;
        for (currency, amount) in &later.revenue {
            match self.revenue.get_mut(currency) {
                // Sixteen digits in front of the point: more than a session can spend. What is beyond stays out.
                Some(sum) => *sum = sum.checked_add(*amount).unwrap_or(*sum),
                None => drop(self.revenue.insert(currency.clone(), *amount)),
            }
        }
        if self.entry_page.is_none() {
            self.entry_page.clone_from(&later.entry_page);
        }
        if later.exit_page.is_some() {
            self.exit_page.clone_from(&later.exit_page);
        }
    }
}

/// Bounds of what is believed.
#[derive(Parameters)]
pub struct Limits {
    /// How many seconds a clock may be ahead of the engine's.
    #[parameter(default = 300)]
    max_ahead_seconds: u32,
}

fn check(event: EventIn<'_>, ctx: &Ctx<Limits>) -> Result<Option<Visit>, Reject> {
    if event.schema_version != "v1" {
        return Err(Reject::new("unknown_schema", "the schema_version is not v1"));
    }
    if event.idempotency_key.is_empty() || event.user_id.is_empty() {
        return Err(Reject::new("no_key", "an event has an idempotency_key and a user_id"));
    }
    let latest = ctx.now.units().saturating_add(i64::from(ctx.parameters.max_ahead_seconds) * 1000);
    if event.timestamp.units() > latest {
        return Err(Reject::new("timestamp_ahead", "the event's clock is further ahead than max_ahead_seconds"));
    }
    let properties = event.properties.map_or("{}", |json| json.0);
    match event.event_type {
        "user_signup" => Ok(Some(Visit::default())),
        "page_view" => page_view(properties).map(Some),
        "purchase" => purchase(properties).map(Some),
        "payment_failed" => Ok(Some(Visit { failed_payments: 1, ..Visit::default() })),
        _ => Err(Reject::new("unknown_type", "there is no such type of event")),
    }
}

/// Reads properties; text without escapes is borrowed from the batch.
fn read<'a, T: Deserialize<'a>>(properties: &'a str, what: &'static str) -> Result<T, Reject> {
    // The parser's own words would quote the event.
    serde_json::from_str(properties).map_err(|_| Reject::new("bad_properties", what))
}

fn page_view(properties: &str) -> Result<Visit, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        #[serde(borrow)]
        page: Cow<'a, str>,
    }
    let Properties { page } = read(properties, "a page view has a page")?;
    let page = Some(page.into_owned());
    Ok(Visit { page_views: 1, entry_page: page.clone(), exit_page: page, ..Visit::default() })
}

fn purchase(properties: &str) -> Result<Visit, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        /// As it stands: a number of 64 bits would round it.
        #[serde(borrow)]
        amount: &'a RawValue,
        #[serde(borrow)]
        currency: Cow<'a, str>,
    }
    let Properties { amount, currency } = read(properties, "a purchase has an amount and a currency")?;
    let amount = Decimal::<12, 2>::parse(amount.get().trim_matches('"')).filter(|amount| *amount > Decimal::default());
    let amount = amount.and_then(|amount| Decimal::new(amount.unscaled()));
    let Some(amount) = amount else {
        return Err(Reject::new("bad_amount", "an amount is above zero, with at most two digits behind the point"));
    };
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Err(Reject::new("bad_currency", "a currency is three capital letters"));
    }
    Ok(Visit { purchases: 1, revenue: BTreeMap::from([(currency.into_owned(), amount)]), ..Visit::default() })
}

fn event<'a>(_: EventIn<'a>, session: Session<Visit>, _: &Ctx<Limits>) -> Event<'a> {
    Event {
        idempotency_key: pass(),
        event_id: pass(),
        user_id: pass(),
        event_type: pass(),
        timestamp: pass(),
        device: pass(),
        properties: pass(),
        client_session_id: pass(),
        session_id: session.id,
    }
}

fn session<'s>(user_id: &'s str, session: Session<'s, Visit>, _: &Ctx<Limits>) -> UserSession<'s> {
    let visit = session.sum;
    UserSession {
        user_id,
        session_start: session.start,
        session_end: session.end,
        session_id: session.id,
        duration_ms: session.end.units().saturating_sub(session.start.units()),
        events: session.events,
        page_views: visit.page_views,
        purchases: visit.purchases,
        failed_payments: visit.failed_payments,
        revenue: visit.revenue.iter().map(|(currency, amount)| (currency.as_str(), *amount)).collect(),
        entry_page: visit.entry_page.as_deref(),
        exit_page: visit.exit_page.as_deref(),
        closed: session.closed,
    }
}

plugin_sdk::export! {
    plugin: UserSessions,
    format: Flat,
    input: EventIn,
    output: (Event, UserSession),
    parameters: Limits,
    event_time: of(|event| event.timestamp).delay(minutes(5)).idle(minutes(10)).late(Late::Reject),
    dedup: by(|event| event.idempotency_key).within(days(7)),
    sessions: by(|event| event.user_id).gap(minutes(30)).longest(hours(24)),
    row: check,
    event: event,
    session: session,
}
