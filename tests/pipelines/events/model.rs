//! What the events of a log must become, by somebody who sees all of them at once, and knows the rules but neither the engine
//! nor its SDK.

use std::collections::{BTreeMap, HashSet};

use events_generator::Message;
use harness::rows::Rows;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::calendar::{DAY_MS, milliseconds};

const GAP_MS: i64 = 30 * 60 * 1000;
const LONGEST_MS: i64 = DAY_MS;
/// How far an application's clock may be ahead.
const MOST_AHEAD_MS: i64 = 300_000;

/// An event as it is written.
#[derive(Deserialize)]
struct Written<'a> {
    schema_version: Option<String>,
    event_id: Option<String>,
    idempotency_key: Option<String>,
    event_type: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    timestamp: Option<String>,
    #[serde(borrow)]
    device: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// A good event, once.
#[derive(Debug)]
pub(crate) struct Event {
    key: String,
    id: String,
    pub(crate) kind: String,
    pub(crate) user: String,
    client_session: Option<String>,
    pub(crate) at_ms: i64,
    device: String,
    properties: String,
    page: Option<String>,
    /// Cents and currency of a purchase.
    paid: Option<(i128, String)>,
    plan: Option<String>,
    reason: Option<String>,
}

/// What happened on a day.
#[derive(Default)]
struct Day<'a> {
    active: HashSet<&'a str>,
    new: HashSet<&'a str>,
    events: u64,
    sessions: u64,
}

/// All that is known of a log.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Messages so far, and the bytes of their values.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    ends: BTreeMap<i32, i64>,
    /// How many messages name which type.
    pub(crate) types: BTreeMap<String, u64>,
    pub(crate) events: Vec<Event>,
    keys: HashSet<String>,
    pub(crate) duplicates: u64,
    /// Plugin, partition, offset, code.
    pub(crate) dead: Vec<(&'static str, i32, i64, &'static str)>,
    plan_keys: HashSet<String>,
    /// Each user's changes of plan, in the order in which they came.
    plans: BTreeMap<String, Vec<(i64, String)>>,
}

impl Model {
    /// The next message, as it is sent.
    pub(crate) fn add(&mut self, message: &Message) {
        let end = self.ends.entry(message.partition).or_default();
        let offset = *end;
        *end += 1;
        self.messages += 1;
        self.bytes += message.value.len() as u64;
        let any: Option<Value> = serde_json::from_str(&message.value).ok();
        let named = any.as_ref().and_then(|event| event["event_type"].as_str());
        *self.types.entry(named.unwrap_or_default().to_owned()).or_default() += 1;

        let mut dead = |plugin, code| self.dead.push((plugin, message.partition, offset, code));
        let (written, at_ms) = match read(&message.value) {
            Ok(read) => read,
            Err(code) => {
                dead("dim-user", code);
                return dead("sessions", code);
            }
        };
        if let Err(code) = believed(&written, at_ms, message.made_ms) {
            dead("sessions", code);
            if says_plan(&written) {
                dead("dim-user", code);
            }
            return;
        }
        match event(&written, at_ms) {
            Ok(event) if self.keys.insert(event.key.clone()) => self.events.push(event),
            Ok(_) => self.duplicates += 1,
            Err(code) => dead("sessions", code),
        }
        self.add_plan(&written, at_ms);
    }

    fn add_plan(&mut self, written: &Written<'_>, at_ms: i64) {
        let plan = if says_plan(written) { properties(written)["plan"].as_str().map(str::to_owned) } else { None };
        let (Some(plan), Some(user), Some(key)) = (plan, &written.user_id, &written.idempotency_key) else { return };
        if self.plan_keys.insert(key.clone()) {
            self.plans.entry(user.clone()).or_default().push((at_ms, plan));
        }
    }

    /// The plans of users: user, plan, from, until, whether it still holds.
    pub(crate) fn dim_user(&self) -> Rows {
        let mut rows = Rows::new();
        for (user, changes) in &self.plans {
            let mut changes = changes.clone();
            changes.sort_by_key(|(at, _)| *at); // stable: of two at one time the later one holds
            let mut versions: Vec<(i64, &str)> = Vec::new();
            for (index, (at, plan)) in changes.iter().enumerate() {
                let is_last_of_its_time = changes.get(index + 1).is_none_or(|(next, _)| next != at);
                if is_last_of_its_time && versions.last().is_none_or(|(_, before)| before != plan) {
                    versions.push((*at, plan));
                }
            }
            for (index, (from, plan)) in versions.iter().enumerate() {
                let until = versions.get(index + 1).map(|(next, _)| next.to_string());
                let current = until.is_none().to_string();
                let row = [Some(user.clone()), Some((*plan).to_owned()), Some(from.to_string()), until, Some(current)];
                rows.push(row.into());
            }
        }
        rows
    }

    /// The dead letters: plugin, partition, offset, code.
    pub(crate) fn dead_letters(&self) -> Rows {
        let row = |(plugin, partition, offset, code): &(&str, i32, i64, &str)| {
            [(*plugin).to_owned(), partition.to_string(), offset.to_string(), (*code).to_owned()].map(Some).into()
        };
        self.dead.iter().map(row).collect()
    }

    /// Each good event: what silver passes on, in one text.
    pub(crate) fn silver_events(&self) -> Rows {
        let line = |event: &Event| {
            let Event { key, id, user, kind, at_ms, device, properties, client_session, .. } = event;
            let session = client_session.as_deref().unwrap_or("none");
            format!("{key}|{id}|{user}|{kind}|{at_ms}|{session}|{device}|{properties}")
        };
        self.events.iter().map(|event| vec![Some(line(event))]).collect()
    }

    /// Each good event with its properties as columns, in one text.
    pub(crate) fn fact_events(&self) -> Rows {
        let line = |event: &Event| {
            let Event { key, user, kind, at_ms, page, paid, plan, reason, .. } = event;
            let (amount, currency) = paid
                .as_ref()
                .map_or_else(|| ("none".to_owned(), "none"), |(amount, currency)| (cents(*amount), currency.as_str()));
            let [page, plan, reason] = [page, plan, reason].map(|text| text.as_deref().unwrap_or("none"));
            let hour = at_ms.div_euclid(3_600_000);
            format!("{key}|{user}|{kind}|{at_ms}|{hour}|{page}|{amount}|{currency}|{plan}|{reason}")
        };
        self.events.iter().map(|event| vec![Some(line(event))]).collect()
    }

    /// Each session: user, first and last event, events, page views, purchases, failed payments, revenue, first and last page.
    pub(crate) fn sessions(&self) -> Rows {
        self.each_session(|user, events| {
            let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count().to_string();
            let mut revenue: BTreeMap<&str, i128> = BTreeMap::new();
            for (amount, currency) in events.iter().filter_map(|event| event.paid.as_ref()) {
                *revenue.entry(currency).or_default() += amount;
            }
            let revenue: Vec<_> = revenue.iter().map(|(currency, sum)| format!("{currency}={}", cents(*sum))).collect();
            let pages: Vec<_> = events
                .iter()
                .filter(|event| event.kind == "page_view")
                .filter_map(|event| event.page.clone())
                .collect();
            let (first, last) = (events[0].at_ms, events[events.len() - 1].at_ms);
            vec![
                Some(user.to_owned()),
                Some(first.to_string()),
                Some(last.to_string()),
                Some((last - first).to_string()),
                Some(events.len().to_string()),
                Some(count("page_view")),
                Some(count("purchase")),
                Some(count("payment_failed")),
                Some(revenue.join(",")),
                pages.first().cloned(),
                pages.last().cloned(),
            ]
        })
    }

    fn each_session<T>(&self, mut make: impl FnMut(&str, &[&Event]) -> T) -> Vec<T> {
        let mut users: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in &self.events {
            users.entry(&event.user).or_default().push(event);
        }
        let mut made = Vec::new();
        for (user, mut events) in users {
            events.sort_by_key(|event| event.at_ms);
            let mut first = 0;
            for next in 1..=events.len() {
                let goes_on = next < events.len()
                    && events[next].at_ms - events[next - 1].at_ms < GAP_MS
                    && events[next].at_ms - events[first].at_ms < LONGEST_MS;
                if !goes_on {
                    made.push(make(user, &events[first..next]));
                    first = next;
                }
            }
        }
        made
    }

    /// Each day: people, new ones, events, sessions begun.
    pub(crate) fn daily_active_users(&self) -> Rows {
        let mut days: BTreeMap<i64, Day<'_>> = BTreeMap::new();
        for event in &self.events {
            let day = days.entry(event.at_ms.div_euclid(DAY_MS)).or_default();
            day.active.insert(&event.user);
            if event.kind == "user_signup" {
                day.new.insert(&event.user);
            }
            day.events += 1;
        }
        for day in self.each_session(|_, events| events[0].at_ms.div_euclid(DAY_MS)) {
            days.entry(day).or_default().sessions += 1;
        }
        let row = |(number, day): (i64, Day<'_>)| {
            let counts = [day.active.len() as u64, day.new.len() as u64, day.events, day.sessions];
            std::iter::once(number.to_string()).chain(counts.map(|count| count.to_string())).map(Some).collect()
        };
        days.into_iter().map(row).collect()
    }

    /// Each user's purchases in a currency: how many, worth what, on average, from when to when.
    pub(crate) fn revenue_per_user(&self) -> Rows {
        let mut users: BTreeMap<(&str, &str), Vec<(i128, i64)>> = BTreeMap::new();
        for event in &self.events {
            if let Some((amount, currency)) = &event.paid {
                users.entry((&event.user, currency)).or_default().push((*amount, event.at_ms));
            }
        }
        let row = |((user, currency), purchases): ((&str, &str), Vec<(i128, i64)>)| {
            let sum: i128 = purchases.iter().map(|(amount, _)| amount).sum();
            let count = purchases.len() as i128;
            // To the cent, half of one upwards, from hundredths of a cent.
            let average = (sum * 100 / count + 50) / 100;
            let times = || purchases.iter().map(|(_, at)| *at);
            let (first, last) = (times().min().expect("a purchase"), times().max().expect("a purchase"));
            let texts = [user.to_owned(), currency.to_owned(), count.to_string(), cents(sum), cents(average)];
            texts.into_iter().chain([first, last].map(|at| at.to_string())).map(Some).collect()
        };
        users.into_iter().map(row).collect()
    }

    /// Users away for a week or more at the end of this day: user, last seen, for how many days, events, purchases until then.
    pub(crate) fn churn_risk(&self, day: i64) -> Rows {
        let mut users: BTreeMap<&str, (i64, u64, u64)> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.at_ms < (day + 1) * DAY_MS) {
            let (last, events, purchases) = users.entry(&event.user).or_insert((i64::MIN, 0, 0));
            *last = event.at_ms.max(*last);
            *events += 1;
            *purchases += u64::from(event.kind == "purchase");
        }
        let row = |(user, (last, events, purchases)): (&str, (i64, u64, u64))| {
            let away = day - last.div_euclid(DAY_MS);
            let texts =
                [user.to_owned(), last.to_string(), away.to_string(), events.to_string(), purchases.to_string()];
            (away >= 7).then(|| texts.map(Some).into())
        };
        users.into_iter().filter_map(row).collect()
    }

    /// Devices: kind, system, browser, first and last seen.
    pub(crate) fn devices(&self) -> Rows {
        let mut devices: BTreeMap<[String; 3], (i64, i64)> = BTreeMap::new();
        for event in &self.events {
            let device: Value = serde_json::from_str(&event.device).expect("it was read before");
            let names = ["type", "os", "browser"].map(|name| device[name].as_str().unwrap_or_default().to_owned());
            let (first, last) = devices.entry(names).or_insert((event.at_ms, event.at_ms));
            (*first, *last) = (event.at_ms.min(*first), event.at_ms.max(*last));
        }
        let row = |(names, (first, last)): ([String; 3], (i64, i64))| {
            names.into_iter().chain([first, last].map(|at| at.to_string())).map(Some).collect()
        };
        devices.into_iter().map(row).collect()
    }
}

/// An event that can be read, and its time; else the code of its dead letter.
fn read(value: &str) -> Result<(Written<'_>, i64), &'static str> {
    let written: Written<'_> = serde_json::from_str(value).map_err(|_| "invalid_json")?;
    let Written { schema_version, event_id, idempotency_key, event_type, user_id, .. } = &written;
    let must_be = [schema_version, event_id, idempotency_key, event_type, user_id];
    if must_be.iter().any(|field| field.is_none()) {
        return Err("missing_value");
    }
    let at_ms = milliseconds(written.timestamp.as_deref().ok_or("missing_value")?).ok_or("invalid_value")?;
    Ok((written, at_ms))
}

fn believed(written: &Written<'_>, at_ms: i64, now_ms: i64) -> Result<(), &'static str> {
    if written.schema_version.as_deref() != Some("v1") {
        return Err("unknown_schema");
    }
    // The engine's clock is a little later; nothing here is between the two.
    if at_ms > now_ms + MOST_AHEAD_MS { Err("timestamp_ahead") } else { Ok(()) }
}

fn says_plan(written: &Written<'_>) -> bool {
    matches!(written.event_type.as_deref(), Some("user_signup" | "purchase"))
}

fn properties(written: &Written<'_>) -> Value {
    written.properties.map_or(Value::Null, |text| serde_json::from_str(text.get()).expect("a part of what was read"))
}

fn event(written: &Written<'_>, at_ms: i64) -> Result<Event, &'static str> {
    let properties = properties(written);
    let text = |name: &str| properties[name].as_str().map(str::to_owned);
    let kind = written.event_type.clone().unwrap_or_default();
    let paid = match kind.as_str() {
        "page_view" if text("page").is_none() => return Err("bad_properties"),
        "purchase" => Some(payment(&properties)?),
        "user_signup" | "page_view" | "payment_failed" => None,
        _ => return Err("unknown_type"),
    };
    let raw = |part: Option<&RawValue>| part.map(|part| part.get().to_owned()).unwrap_or_default();
    Ok(Event {
        key: written.idempotency_key.clone().unwrap_or_default(),
        id: written.event_id.clone().unwrap_or_default(),
        kind,
        user: written.user_id.clone().unwrap_or_default(),
        client_session: written.session_id.clone(),
        at_ms,
        device: raw(written.device),
        properties: raw(written.properties),
        page: text("page"),
        paid,
        plan: text("plan"),
        reason: text("reason"),
    })
}

fn payment(properties: &Value) -> Result<(i128, String), &'static str> {
    let amount = properties["amount"].as_str().map_or_else(|| properties["amount"].to_string(), str::to_owned);
    let amount = in_cents(&amount).filter(|amount| *amount > 0).ok_or("bad_amount")?;
    match properties["currency"].as_str() {
        Some(currency) if currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_uppercase()) => {
            Ok((amount, currency.to_owned()))
        }
        _ => Err("bad_currency"),
    }
}

/// `19.9` is 1990.
fn in_cents(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<2}");
    (part.len() == 2).then(|| format!("{whole}{part}").parse().ok())?
}

/// 1990 is `19.90`.
fn cents(amount: i128) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}
