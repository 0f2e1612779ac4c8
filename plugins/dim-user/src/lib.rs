//! The plans of users, from when to when: a slowly changing dimension of type 2, made of the events that say a plan.

use std::borrow::Cow;

use plugin_sdk::{Ctx, Json, Millis, Parameters, Reject, Row, StateValue, Table, Timestamp, Version, days, minutes};
use serde::Deserialize;

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct EventIn<'a> {
    /// Of the event's form: `v1`.
    pub schema_version: &'a str,
    /// Of an event that is sent again it is the same.
    pub idempotency_key: &'a str,
    /// Whose it is.
    pub user_id: &'a str,
    /// Signing up and paying say a plan.
    pub event_type: &'a str,
    /// When it happened, by the application's clock.
    pub timestamp: Timestamp<Millis>,
    /// Where the plan stands.
    pub properties: Option<Json<'a>>,
}

/// A plan that a user had, or has.
#[derive(Table)]
#[table(name = "dim_user", kind = "current", sort_key = ["user_id", "effective_start"])]
pub struct DimUser<'v> {
    user_id: &'v str,
    #[column(clickhouse = "LowCardinality(String)")]
    plan: &'v str,
    /// Since when.
    effective_start: Timestamp<Millis>,
    /// Until when, this moment not included; null: it still holds.
    effective_end: Option<Timestamp<Millis>>,
    is_current: bool,
}

/// What makes a new version when it changes.
#[derive(Clone, Debug, PartialEq, StateValue)]
pub struct Plan {
    plan: String,
}

/// Bounds of what is believed.
#[derive(Parameters)]
pub struct Limits {
    /// How many seconds a clock may be ahead of the engine's.
    #[parameter(default = 300)]
    max_ahead_seconds: u32,
}

fn plan(event: EventIn<'_>, ctx: &Ctx<Limits>) -> Result<Option<Plan>, Reject> {
    #[derive(Deserialize)]
    struct Properties<'a> {
        #[serde(borrow, default)]
        plan: Option<Cow<'a, str>>,
    }
    if !matches!(event.event_type, "user_signup" | "purchase") {
        return Ok(None);
    }
    // In another form the same words may mean something else.
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
    // The parser's own words would quote the event.
    let Properties { plan } = serde_json::from_str(event.properties.map_or("{}", |json| json.0))
        .map_err(|_| Reject::new("bad_properties", "a plan is text"))?;
    match plan.as_deref().map(str::trim).filter(|plan| !plan.is_empty()) {
        Some(plan) => Ok(Some(Plan { plan: plan.to_lowercase() })),
        // Something was bought that is no plan.
        None if event.event_type == "purchase" => Ok(None),
        None => Err(Reject::new("no_plan", "who signs up has a plan")),
    }
}

fn version<'v>(user_id: &'v str, version: Version<'v, Plan>, _: &Ctx<Limits>) -> DimUser<'v> {
    let Version { start, end, value } = version;
    DimUser { user_id, plan: &value.plan, effective_start: start, effective_end: end, is_current: end.is_none() }
}

plugin_sdk::export! {
    plugin: Users,
    format: Flat,
    input: EventIn,
    output: DimUser,
    parameters: Limits,
    event_time: of(|event| event.timestamp).delay(minutes(5)),
    // An old change that is sent again after a newer one would take effect a second time.
    dedup: by(|event| event.idempotency_key).within(days(7)),
    scd2: by(|event| event.user_id),
    row: plan,
    version: version,
}
