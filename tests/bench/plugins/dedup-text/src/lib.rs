//! The benchmark of keyed state: events dropped that are there already, by a text.

use plugin_sdk::{Ctx, Late, Millis, Pass, Reject, Row, Table, Timestamp, days, minutes, pass};

/// An event as it comes.
#[derive(Clone, Copy, Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct EventIn<'a> {
    pub key: &'a str,
    pub at: Timestamp<Millis>,
}

/// An event, once.
#[derive(Debug, Table)]
#[table(name = "events", kind = "append", sort_key = ["key"])]
pub struct Event<'a> {
    key: Pass<&'a str>,
    at: Pass<Timestamp<Millis>>,
}

fn keep<'a>(_: EventIn<'a>, _: &Ctx) -> Result<Event<'a>, Reject> {
    Ok(Event { key: pass(), at: pass() })
}

plugin_sdk::export! {
    plugin: Events,
    format: Flat,
    input: EventIn,
    output: Event,
    event_time: of(|event| event.at).delay(minutes(1)).late(Late::Process),
    dedup: by(|event| event.key).within(days(7)),
    row: keep,
}
