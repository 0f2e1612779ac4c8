//! The benchmark of keyed state: clicks grouped into the visits of their user.

use plugin_sdk::{
    Ctx, Late, Merge, Millis, Pass, Reject, Row, Session, StateValue, Table, Timestamp, Uuid, hours, minutes, pass,
};

/// A click as it comes.
#[derive(Clone, Copy, Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct ClickIn {
    pub user: u64,
    pub at: Timestamp<Millis>,
    pub cents: i64,
}

/// A click and its visit.
#[derive(Debug, Table)]
#[table(name = "clicks", kind = "append", sort_key = ["user", "at"])]
pub struct Click {
    user: Pass<u64>,
    at: Pass<Timestamp<Millis>>,
    visit: Uuid,
}

/// A visit.
#[derive(Debug, Table)]
#[table(name = "visits", kind = "current", sort_key = ["user", "start"])]
pub struct Visit {
    user: u64,
    start: Timestamp<Millis>,
    end: Timestamp<Millis>,
    clicks: u64,
    cents: i64,
    closed: bool,
}

/// What clicks add up to.
#[derive(Clone, Debug, StateValue)]
pub struct Sum {
    cents: i64,
}

impl Merge for Sum {
    fn merge(&mut self, later: &Self) {
        self.cents += later.cents;
    }
}

fn add(click: ClickIn, _: &Ctx) -> Result<Option<Sum>, Reject> {
    Ok(Some(Sum { cents: click.cents }))
}

fn click(_: ClickIn, visit: Session<Sum>, _: &Ctx) -> Click {
    Click { user: pass(), at: pass(), visit: visit.id }
}

fn visit(user: u64, visit: Session<Sum>, _: &Ctx) -> Visit {
    Visit {
        user,
        start: visit.start,
        end: visit.end,
        clicks: visit.events,
        cents: visit.sum.cents,
        closed: visit.closed,
    }
}

plugin_sdk::export! {
    plugin: Clicks,
    format: Flat,
    input: ClickIn,
    output: (Click, Visit),
    event_time: of(|click| click.at).delay(minutes(5)).late(Late::Reject),
    sessions: by(|click| click.user).gap(minutes(30)).longest(hours(24)),
    row: add,
    event: click,
    session: visit,
}
