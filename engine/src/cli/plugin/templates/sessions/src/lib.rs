//! Clicks of users, grouped into visits.

use plugin_sdk::{
    Ctx, Merge, Millis, Pass, Reject, Row, Session, StateValue, Table, Timestamp, Uuid, hours,
    minutes, pass,
};

/// What is looked at: fields of the message, by name. `Option` where they may be null.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct ClickIn<'a> {
    /// Who clicked.
    pub user_id: i64,
    /// When, by the application's clock.
    pub at: Timestamp<Millis>,
    /// On which page.
    pub page: &'a str,
}

/// A click, and the visit that it is of.
#[derive(Table)]
#[table(name = "{{table}}_clicks", kind = "append", sort_key = ["user_id", "at"])]
pub struct Click<'a> {
    user_id: Pass<i64>, // goes from the message to the table as it is
    at: Pass<Timestamp<Millis>>,
    page: Pass<&'a str>,
    visit_id: Uuid,
}

/// A visit: its row is written again with each click, and for the last time when it is over.
#[derive(Table)]
#[table(name = "{{table}}_visits", kind = "current", sort_key = ["user_id", "start"])]
pub struct Visit<'s> {
    user_id: i64,
    /// Time of the first click.
    start: Timestamp<Millis>,
    /// Time of the last click.
    end: Timestamp<Millis>,
    visit_id: Uuid,
    clicks: u64,
    carts: u32,
    last_page: &'s str,
    closed: bool,
}

/// What the clicks of a visit add up to. When its fields change, raise its version: see the guide.
#[derive(Clone, Debug, StateValue)]
pub struct Sum {
    carts: u32,
    last_page: String,
}

impl Merge for Sum {
    /// Adds a later click.
    fn merge(&mut self, later: &Self) {
        self.carts += later.carts;
        self.last_page.clone_from(&later.last_page);
    }
}

/// Checks a click, and says what it adds to its visit. `None` would leave it out.
fn check(click: ClickIn<'_>, _: &Ctx) -> Result<Option<Sum>, Reject> {
    if click.page.is_empty() {
        return Err(Reject::new("no_page", "a click is on a page"));
    }
    Ok(Some(Sum {
        carts: u32::from(click.page == "/cart"),
        last_page: click.page.to_owned(),
    }))
}

/// The row of a click.
fn click<'a>(_: ClickIn<'a>, visit: Session<Sum>, _: &Ctx) -> Click<'a> {
    Click {
        user_id: pass(),
        at: pass(),
        page: pass(),
        visit_id: visit.id,
    }
}

/// The row of a visit.
fn visit<'s>(user_id: i64, visit: Session<'s, Sum>, _: &Ctx) -> Visit<'s> {
    Visit {
        user_id,
        start: visit.start,
        end: visit.end,
        visit_id: visit.id,
        clicks: visit.events,
        carts: visit.sum.carts,
        last_page: &visit.sum.last_page,
        closed: visit.closed,
    }
}

plugin_sdk::export! {
    plugin: Plugin,
    format: Flat,
    input: ClickIn,
    output: (Click, Visit),
    event_time: of(|click| click.at).delay(minutes(1)).idle(minutes(5)),
    sessions: by(|click| click.user_id).gap(minutes(30)).longest(hours(12)),
    row: check,
    event: click,
    session: visit,
}
