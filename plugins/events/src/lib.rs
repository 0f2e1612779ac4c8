//! Events of a MongoDB collection: documents as Debezium's MongoDB connector captures them, one row for each.

use plugin_sdk::{Change, Ctx, Json, Lowercase, Millis, Parameters, Pass, Reject, Row, Table, Timestamp, pass};

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct EventIn<'a> {
    /// Of any type, as MongoDB's extended JSON writes it.
    #[column(name = "_id")]
    pub id: Json<'a>,
    /// As the application writes it.
    pub event_type: Option<&'a str>,
    /// What older producers call it.
    #[column(name = "type")]
    pub old_event_type: Option<&'a str>,
    /// When it happened, by the application's clock.
    pub timestamp: Option<Timestamp<Millis>>,
}

/// An event.
#[derive(Table)]
#[table(
    name = "silver_events",
    kind = "append",
    sort_key = ["timestamp", "event_id"],
    partition_by = "toYYYYMM(timestamp)",
    index(name = "by_user", expression = "user_id", kind = "bloom_filter(0.01)"),
    index(name = "by_type", expression = "event_type", kind = "set(100)")
)]
pub struct Event<'a> {
    /// The document's _id: a text, the digits of an ObjectId or number, the base64 of a UUID; of others the JSON.
    event_id: &'a str,
    user_id: Pass<Option<i64>>,
    /// In lower case.
    #[column(clickhouse = "LowCardinality(String)")]
    event_type: Lowercase<'a>,
    /// When it happened, by the application's clock.
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Timestamp<Millis>,
    /// The rest of what the application says, as MongoDB's extended JSON.
    metadata: Pass<Option<Json<'a>>>,
}

/// Bounds of what is believed.
#[derive(Parameters)]
pub struct Limits {
    /// How many seconds a clock may be ahead of the engine's.
    #[parameter(default = 86_400)]
    max_ahead_seconds: u32,
}

fn clean<'a>(change: Change<EventIn<'a>>, ctx: &Ctx<Limits>) -> Result<Option<Event<'a>>, Reject> {
    // What has happened has happened: documents are deleted to save space.
    if change.deleted() {
        return Ok(None);
    }
    let event = change.row;
    let event_type = event.event_type.or(event.old_event_type).map(str::trim).filter(|text| !text.is_empty());
    let Some(event_type) = event_type else {
        return Err(Reject::new("no_event_type", "an event has an event_type"));
    };
    let Some(timestamp) = event.timestamp else {
        return Err(Reject::new("no_timestamp", "an event has a timestamp"));
    };
    let latest = ctx.now.units().saturating_add(i64::from(ctx.parameters.max_ahead_seconds) * 1000);
    if timestamp.units() > latest {
        return Err(Reject::new("timestamp_ahead", "the event's clock is further ahead than max_ahead_seconds"));
    }
    Ok(Some(Event {
        event_id: id_text(event.id.0),
        user_id: pass(),
        event_type: Lowercase(event_type),
        timestamp,
        metadata: pass(),
    }))
}

/// The text in a document's `_id`: of `"…"`, `{"$oid": "…"}`, `{"$binary": "…", "$type": "04"}` and the like what stands in
/// quotes, of a number its digits, of another object its JSON. An id in quotes that has escapes keeps them: it stays as
/// unique as it was.
fn id_text(json: &str) -> &str {
    let json = json.trim();
    match json.strip_prefix("{\"$").and_then(|rest| rest.split_once(':')) {
        Some((_, value)) => first(value),
        None => json.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(json),
    }
}

/// The first text or number of an extended value: its base64, its digits. None of them has escapes.
fn first(value: &str) -> &str {
    let value = value.trim_start();
    if let Some(text) = value.strip_prefix('"') {
        return text.split('"').next().unwrap_or(text);
    }
    if let Some((_, inner)) = value.strip_prefix('{').and_then(|inner| inner.split_once(':')) {
        return first(inner);
    }
    value.split([',', '}']).next().unwrap_or(value).trim_end()
}

plugin_sdk::export! {
    plugin: Events,
    input: Change<EventIn>,
    output: Option<Event>,
    parameters: Limits,
    row: clean,
}
