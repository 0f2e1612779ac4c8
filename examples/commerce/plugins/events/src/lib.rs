//! Events of a MongoDB collection, flattened by `ExtractNewDocumentState`: every event, and each later update of it.
//!
//! The id, an ObjectId's text, the user and the rest of the document go from the message to the table without entering the
//! plugin. What decides whether it is an event, its type and its time, is looked at.

use plugin_sdk::{Change, Ctx, Json, Lowercase, Millis, Parameters, Pass, Reject, Row, Table, Timestamp, pass};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct EventIn<'a> {
    /// As the application writes it.
    pub event_type: Option<&'a str>,
    /// When it happened, by the application's clock: a date, or ISO 8601 text.
    pub timestamp: Option<Timestamp<Millis>>,
}

/// An event as it was after a change.
#[derive(Table)]
#[table(
    name = "silver_events",
    kind = "append",
    sort_key = ["timestamp", "event_id"],
    partition_by = "toDate(timestamp)",
    index(name = "by_user", expression = "user_id", kind = "bloom_filter(0.01)"),
    index(name = "by_type", expression = "event_type", kind = "set(100)")
)]
pub struct Event<'a> {
    /// The document's _id.
    #[column(from = "_id")]
    event_id: Pass<&'a str>,
    /// Null where they had not signed in.
    user_id: Pass<Option<i64>>,
    /// Trimmed, in lower case.
    #[column(clickhouse = "LowCardinality(String)")]
    event_type: Lowercase<'a>,
    /// When it happened, by the application's clock.
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    timestamp: Timestamp<Millis>,
    /// The rest of what the application says, as JSON.
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
    let Some(event_type) = change.row.event_type.map(str::trim).filter(|text| !text.is_empty()) else {
        return Err(Reject::new("no_event_type", "an event has an event_type"));
    };
    let Some(timestamp) = change.row.timestamp else {
        return Err(Reject::new("no_timestamp", "an event has a timestamp"));
    };
    let latest = ctx.now.units().saturating_add(i64::from(ctx.parameters.max_ahead_seconds) * 1000);
    if timestamp.units() > latest {
        return Err(Reject::new("timestamp_ahead", "the event's clock is further ahead than max_ahead_seconds"));
    }
    let event_type = Lowercase(event_type);
    Ok(Some(Event { event_id: pass(), user_id: pass(), event_type, timestamp, metadata: pass() }))
}

plugin_sdk::export! {
    plugin: CommerceEvents,
    format: Flat,
    input: Change<EventIn>,
    output: Option<Event>,
    parameters: Limits,
    row: clean,
}
