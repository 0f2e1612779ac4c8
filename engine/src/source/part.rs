//! The part of a topic that a reader gives: all of it, one tenant's messages, or those that no tenant claims.
//!
//! A message is in a part or not by its own bytes alone (and, for Avro, its schema), as [`Look`] sees them: whoever reads a
//! range again, at whatever time and in whatever batches, finds the same messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names_topic;
use crate::batch::{Message, NoOp};
use crate::decode::avro::Registry;
use crate::decode::{Look, Seen};
use crate::input::{SelectBy, Selection};

/// A part of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All messages.
    Whole,
    /// Those with this value there.
    Selected(Selection),
    /// Those that are in no tenant's part, whether they have a row or not.
    Unclaimed(Arc<Claims>),
}

/// What tenants claim of shared topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims(Vec<Claimed>);

/// What is claimed of some topics: values by column, and by header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claimed {
    /// Names and patterns.
    topics: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<String, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, BTreeSet<String>>,
}

impl Claims {
    /// Adds a claim of these topics.
    pub fn add(&mut self, topics: &[String], selection: &Selection) {
        let place = self.0.binary_search_by(|claimed| claimed.topics.as_slice().cmp(topics)).unwrap_or_else(|place| {
            let (columns, headers) = (BTreeMap::new(), BTreeMap::new());
            self.0.insert(place, Claimed { topics: topics.to_vec(), columns, headers });
            place
        });
        let values = match &selection.by {
            SelectBy::Column(path) => self.0[place].columns.entry(path.clone()),
            SelectBy::Header(name) => self.0[place].headers.entry(name.clone()),
        };
        values.or_default().insert(selection.value.clone());
    }

    /// All topics of which something is claimed.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let topics: BTreeSet<&String> = self.0.iter().flat_map(|claimed| &claimed.topics).collect();
        topics.into_iter().cloned().collect()
    }

    /// What is claimed of one topic.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> Self {
        Self(self.0.iter().filter(|claimed| names_topic(&claimed.topics, topic)).cloned().collect())
    }

    /// Where a message may say whose it is.
    pub(super) fn places(&self) -> Vec<SelectBy> {
        let columns: BTreeSet<&String> = self.0.iter().flat_map(|claimed| claimed.columns.keys()).collect();
        let headers: BTreeSet<&String> = self.0.iter().flat_map(|claimed| claimed.headers.keys()).collect();
        let columns = columns.into_iter().cloned().map(SelectBy::Column);
        columns.chain(headers.into_iter().cloned().map(SelectBy::Header)).collect()
    }

    /// Gives each value that is claimed, and where it has to stand.
    pub(super) fn each(&self, mut each: impl FnMut(&SelectBy, &str)) {
        for Claimed { columns, headers, .. } in &self.0 {
            let columns = columns.iter().map(|(path, values)| (SelectBy::Column(path.clone()), values));
            let headers = headers.iter().map(|(name, values)| (SelectBy::Header(name.clone()), values));
            columns.chain(headers).for_each(|(by, values)| values.iter().for_each(|value| each(&by, value)));
        }
    }

    /// Whether somebody claims the messages with this value there.
    pub(super) fn has(&self, by: &SelectBy, value: &[u8]) -> bool {
        let Ok(value) = std::str::from_utf8(value) else { return false };
        let values = |claimed: &Claimed| match by {
            SelectBy::Column(path) => claimed.columns.get(path).is_some_and(|values| values.contains(value)),
            SelectBy::Header(name) => claimed.headers.get(name).is_some_and(|values| values.contains(value)),
        };
        self.0.iter().any(values)
    }
}

impl FromIterator<(Vec<String>, Selection)> for Claims {
    fn from_iter<I: IntoIterator<Item = (Vec<String>, Selection)>>(all: I) -> Self {
        let mut claims = Self::default();
        all.into_iter().for_each(|(topics, selection)| claims.add(&topics, &selection));
        claims
    }
}

impl Part {
    /// Where a message says whether it is in the part.
    pub(super) fn places(&self) -> Vec<SelectBy> {
        match self {
            Self::Whole => Vec::new(),
            Self::Selected(selection) => vec![selection.by.clone()],
            Self::Unclaimed(claims) => claims.places(),
        }
    }

    /// The same part of one topic: not the same is claimed of each.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> Self {
        match self {
            Self::Unclaimed(claims) => Self::Unclaimed(Arc::new(claims.of_topic(topic))),
            Self::Whole | Self::Selected(_) => self.clone(),
        }
    }

    /// Whether schemas are needed to look at messages in Avro.
    #[must_use]
    pub fn reads_columns(&self) -> bool {
        self.places().iter().any(|place| matches!(place, SelectBy::Column(_)))
    }
}

/// Finds the messages of a part.
#[derive(Debug)]
pub struct Filter {
    part: Part,
    looks: Vec<(SelectBy, Look)>,
}

/// Why a message is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// It has no row, so it was never anybody's.
    NoRow(NoOp),
    /// It says whose it is, and there is nobody of that name; the column or header that says so.
    UnknownTenant(SelectBy),
    /// It does not say whose it is; where it should, and why it does not.
    NoTenant(SelectBy, &'static str),
}

impl Filter {
    /// Of a part.
    #[must_use]
    pub fn new(part: Part) -> Self {
        let looks = part.places().into_iter().map(|by| (by.clone(), Look::new(&by))).collect();
        Self { part, looks }
    }

    /// What the schema registry says of the schema ids of all messages to come, until it is said anew.
    pub fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.looks.iter_mut().for_each(|(_, look)| look.set_registry(registry));
    }

    /// Whether a message is in the part.
    pub fn holds(&mut self, message: &Message) -> bool {
        let Self { part, looks } = self;
        let mut values = looks.iter_mut().map(|(by, look)| (by, look.at(message)));
        match part {
            Part::Whole => true,
            Part::Selected(selection) => values.any(|(_, seen)| seen == Seen::Value(selection.value.as_bytes())),
            Part::Unclaimed(claims) => {
                !values.any(|(by, seen)| matches!(seen, Seen::Value(value) if claims.has(by, value)))
            }
        }
    }

    /// Why a message that nobody claims is nobody's. Where tenants are told in several ways, a value counts before none.
    pub fn why_unclaimed(&mut self, message: &Message) -> Unclaimed {
        let mut why = None;
        for (by, look) in &mut self.looks {
            let found = match look.at(message) {
                Seen::Value(_) => return Unclaimed::UnknownTenant(by.clone()),
                Seen::Nothing(reason) => Unclaimed::NoTenant(by.clone(), reason),
                Seen::NoRow(no_op) => Unclaimed::NoRow(no_op),
            };
            why.get_or_insert(found);
        }
        why.unwrap_or(Unclaimed::NoRow(NoOp::Tombstone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: &str, tenant: Option<&str>) -> Message {
        let headers =
            tenant.map(|tenant| ("tenant".to_owned(), Some(tenant.as_bytes().to_vec()))).into_iter().collect();
        Message::owned(0, None, None, Some(value.as_bytes().to_vec()), headers)
    }

    fn by_column(value: &str) -> Selection {
        Selection { by: SelectBy::Column("tenant".to_owned()), value: value.to_owned() }
    }

    fn by_header(value: &str) -> Selection {
        Selection { by: SelectBy::Header("tenant".to_owned()), value: value.to_owned() }
    }

    fn claims(selections: &[Selection]) -> Claims {
        selections.iter().map(|selection| (vec!["shop".to_owned()], selection.clone())).collect()
    }

    #[test]
    fn a_claim_is_of_its_topics() {
        let topics = |topic: &str| vec![topic.to_owned()];
        let all = [(topics("a"), by_column("x")), (topics("^b"), by_column("y")), (topics("a"), by_header("z"))];
        let claims: Claims = all.into_iter().collect();
        assert_eq!(claims.topics(), ["^b", "a"]);
        let (a, b) = (claims.of_topic("a"), claims.of_topic("bb"));
        let (column, header) = (SelectBy::Column("tenant".to_owned()), SelectBy::Header("tenant".to_owned()));
        assert_eq!((a.has(&column, b"x"), a.has(&column, b"y"), a.has(&header, b"z")), (true, false, true));
        assert_eq!((b.has(&column, b"x"), b.has(&column, b"y"), b.has(&header, b"z")), (false, true, false));
        assert_eq!(a.places(), [column.clone(), header]);
        assert_eq!(b.places(), [column]);
    }

    #[test]
    fn a_message_is_somebodys_or_unclaimed() {
        let selections = [by_column("a"), by_column("b"), by_header("c")];
        let mut unclaimed = Filter::new(Part::Unclaimed(Arc::new(claims(&selections))));
        let mut filters = selections.map(|selection| Filter::new(Part::Selected(selection)));
        for (value, header, holders) in [
            (r#"{"tenant":"a"}"#, None, "a"),
            (r#"{"tenant":"b"}"#, Some("c"), "bc"),
            (r#"{"tenant":"c"}"#, None, "-"),
            (r#"{"tenant":"c"}"#, Some("c"), "c"),
            (r#"{"x":1}"#, None, "-"),
            (r#"{"x":1}"#, Some("a"), "-"),
            ("no json", Some("c"), "c"),
            ("no json", None, "-"),
        ] {
            let message = message(value, header);
            let names = ["a", "b", "c"].into_iter().zip(&mut filters);
            let mut held: String = names.filter_map(|(name, filter)| filter.holds(&message).then_some(name)).collect();
            if unclaimed.holds(&message) {
                held.push('-');
            }
            assert_eq!(held, holders, "{value} {header:?}");
        }
    }

    #[test]
    fn a_message_is_nobodys_for_a_reason() {
        let mut filter = Filter::new(Part::Unclaimed(Arc::new(claims(&[by_column("a"), by_header("b")]))));
        let mut why = |value: &str, header| filter.why_unclaimed(&message(value, header));
        let (column, header) = (SelectBy::Column("tenant".to_owned()), SelectBy::Header("tenant".to_owned()));
        assert_eq!(why(r#"{"tenant":"z"}"#, None), Unclaimed::UnknownTenant(column.clone()));
        assert_eq!(why(r#"{"x":1}"#, Some("z")), Unclaimed::UnknownTenant(header));
        assert!(matches!(why(r#"{"x":1}"#, None), Unclaimed::NoTenant(by, _) if by == column));
        assert!(matches!(why("no json", None), Unclaimed::NoTenant(by, _) if by == column));
        assert_eq!(why(r#"{"ts_ms":1}"#, None), Unclaimed::NoRow(NoOp::Heartbeat));
    }
}
