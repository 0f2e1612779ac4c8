//! What Debezium's MongoDB connector writes of a change.
//!
//! `capture.mode=change_streams_update_full`, flattened by `ExtractNewDocumentState` with `add.fields=op,ts_ms,source.ts_ms`,
//! deletes rewritten and with their `_id`, JSON without schema: to the byte what the transform itself makes of such changes
//! (`schemas/debezium/mongo-flattened.jsonl`). The document's fields in their order, an ObjectId as text, a date as milliseconds, a document in it as an object; then
//! `__deleted`, a boolean here (`ExtractNewRecordState`, of relational sources, writes it as text), and the added fields. Of
//! a delete, of which the change stream knows no more, these and the `_id`. The source's clock counts seconds.

use crate::{Change, DAY_MS, Event, Flaw};

/// A message of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The key, which decides the partition.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Message {
    /// Of a change that the connector sees now.
    #[must_use]
    pub fn new(change: &Change, now_ms: i64) -> Self {
        let added = |op: char| added(op, now_ms);
        let (id, value) = match change {
            Change::Read(event) => (&event.id, document(event, None, &added('r'))),
            Change::Create(event) => (&event.id, document(event, None, &added('c'))),
            Change::Update(event) => (&event.id, document(event, None, &added('u'))),
            Change::Delete(id) => (id, format!(r#"{{"__deleted":true,"_id":"{id}",{}}}"#, added('d'))),
            Change::Flawed(Flaw::Cut, event) => {
                let whole = document(event, None, &added('c'));
                (&event.id, whole[..whole.len() - 20].to_owned())
            }
            Change::Flawed(flaw, event) => (&event.id, document(event, Some(*flaw), &added('c'))),
        };
        Self { key: format!(r#"{{"id":"{id}"}}"#), value }
    }
}

fn added(op: char, now_ms: i64) -> String {
    format!(r#""__op":"{op}","__ts_ms":{now_ms},"__source_ts_ms":{}"#, now_ms / 1000 * 1000)
}

fn document(event: &Event, flaw: Option<Flaw>, added: &str) -> String {
    let mut fields = vec![format!(r#""_id":"{}""#, event.id)];
    fields.push(match event.user_id {
        _ if flaw == Some(Flaw::WrongUser) => r#""user_id":"nobody""#.to_owned(),
        Some(user) => format!(r#""user_id":{user}"#),
        None => r#""user_id":null"#.to_owned(),
    });
    if flaw != Some(Flaw::NoType) {
        fields.push(format!(r#""event_type":"{}""#, event.event_type));
    }
    match flaw {
        Some(Flaw::NoTime) => {}
        Some(Flaw::WrongTime) => fields.push(r#""timestamp":"yesterday""#.to_owned()),
        _ if event.as_text => fields.push(format!(r#""timestamp":"{}""#, iso(event.timestamp_ms))),
        _ => fields.push(format!(r#""timestamp":{}"#, event.timestamp_ms)),
    }
    fields.extend(event.metadata.iter().map(|metadata| format!(r#""metadata":{metadata}"#)));
    format!(r#"{{{},"__deleted":false,{added}}}"#, fields.join(","))
}

/// A time as text, such as `2025-01-31T12:34:56.789Z`: days to dates as in H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms".
#[must_use]
pub fn iso(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY_MS) + 719_468, ms.rem_euclid(DAY_MS));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153; // months from March on
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}
