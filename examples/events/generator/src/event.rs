//! An event, as the application writes it.

use serde::Serialize;
use serde_json::value::RawValue;

/// What an event of the form `v1` has. A field that is `None` is not in the text, but for the application's session, which may
/// be null.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) schema_version: &'static str,
    pub(crate) event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    pub(crate) event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) timestamp: String,
    pub(crate) device: Device,
    pub(crate) properties: Properties,
}

/// What an event came from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Device {
    #[serde(rename = "type")]
    kind: &'static str,
    os: &'static str,
    browser: &'static str,
}

/// What events of a type have. A number is kept as it is written.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

impl Event {
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("text, and numbers that are JSON already")
    }
}

impl Device {
    /// One of those that there are.
    pub(crate) fn of(number: usize) -> Self {
        let (kind, os, browser) = DEVICES[number % DEVICES.len()];
        Self { kind, os, browser }
    }
}

const DEVICES: [(&str, &str, &str); 9] = [
    ("mobile", "ios", "safari"),
    ("mobile", "android", "chrome"),
    ("mobile", "android", "firefox"),
    ("tablet", "ios", "safari"),
    ("tablet", "android", "chrome"),
    ("desktop", "windows", "edge"),
    ("desktop", "windows", "chrome"),
    ("desktop", "macos", "safari"),
    ("desktop", "linux", "firefox"),
];

/// Pages that are looked at.
pub(crate) const PAGES: [&str; 8] = ["/", "/pricing", "/features", "/docs", "/blog", "/account", "/cart", "/checkout"];
/// What is paid with.
pub(crate) const CURRENCIES: [&str; 5] = ["EUR", "EUR", "EUR", "USD", "GBP"];
/// Why nothing was paid.
pub(crate) const REASONS: [&str; 3] = ["card_declined", "insufficient_funds", "expired_card"];

/// An amount as applications write it: cents as a number, now and then as text.
pub(crate) fn amount(cents: u32, as_text: bool) -> Box<RawValue> {
    let number = format!("{}.{:02}", cents / 100, cents % 100);
    raw(if as_text { format!("\"{number}\"") } else { number })
}

/// A piece of JSON as it stands.
pub(crate) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_applications_do() {
        let event = Event {
            schema_version: "v1",
            event_id: "e1".to_owned(),
            idempotency_key: Some("k1".to_owned()),
            event_type: "purchase",
            user_id: Some("u1".to_owned()),
            session_id: None,
            timestamp: "2026-11-21T20:44:00.000Z".to_owned(),
            device: Device::of(8),
            properties: Properties {
                amount: Some(amount(1990, false)),
                currency: Some("EUR"),
                ..Properties::default()
            },
        };
        assert_eq!(
            event.text(),
            r#"{"schema_version":"v1","event_id":"e1","idempotency_key":"k1","event_type":"purchase","user_id":"u1","session_id":null,"timestamp":"2026-11-21T20:44:00.000Z","device":{"type":"desktop","os":"linux","browser":"firefox"},"properties":{"amount":19.90,"currency":"EUR"}}"#
        );
    }
}
