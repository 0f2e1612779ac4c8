//! Which lanes a message goes to: one look at it for each place where messages say whose they are, however many lanes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::Message;
use crate::decode::avro::Registry;
use crate::decode::{Look, Seen};
use crate::input::SelectBy;
use crate::source::Part;

/// Names a member of a partition.
pub(super) type MemberId = u64;

/// The routes of a stream.
#[derive(Debug, Default)]
pub(super) struct Routes {
    places: Vec<Place>,
    /// Lanes of what nobody claims.
    rest: Vec<MemberId>,
    /// Those of them from which the message that is looked at is claimed.
    claimed: Vec<MemberId>,
}

/// A place where messages say whose they are.
#[derive(Debug)]
struct Place {
    by: SelectBy,
    look: Look,
    values: HashMap<Box<[u8]>, Whose>,
    /// Members that need the look.
    users: usize,
}

/// Whose the messages with a value are.
#[derive(Debug, Default)]
struct Whose {
    members: Vec<MemberId>,
    /// Lanes of what nobody claims, of which they are not.
    claimed_from: Vec<MemberId>,
}

impl Routes {
    pub(super) fn add(&mut self, member: MemberId, part: &Part) {
        for by in part.places() {
            match self.place(&by) {
                Some(place) => place.users += 1,
                None => {
                    let look = Look::new(&by);
                    self.places.push(Place { by, look, values: HashMap::new(), users: 1 });
                }
            }
        }
        self.each_value(part, |whose, claimed| {
            let of = if claimed { &mut whose.claimed_from } else { &mut whose.members };
            of.push(member);
        });
        if matches!(part, Part::Unclaimed(_)) {
            self.rest.push(member);
        }
    }

    pub(super) fn remove(&mut self, member: MemberId, part: &Part) {
        self.each_value(part, |whose, _| {
            whose.members.retain(|it| *it != member);
            whose.claimed_from.retain(|it| *it != member);
        });
        for by in part.places() {
            if let Some(place) = self.place(&by) {
                place.users -= 1;
            }
        }
        self.places.retain(|place| place.users > 0);
        self.rest.retain(|it| *it != member);
    }

    fn place(&mut self, by: &SelectBy) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.by == *by)
    }

    /// The values that a part names, and whether it is of what has none of them.
    fn each_value(&mut self, part: &Part, mut each: impl FnMut(&mut Whose, bool)) {
        let mut at = |by: &SelectBy, value: &str, claimed: bool| {
            let Some(place) = self.place(by) else { return };
            let whose = place.values.entry(value.as_bytes().into()).or_default();
            each(whose, claimed);
            if whose.members.is_empty() && whose.claimed_from.is_empty() {
                place.values.remove(value.as_bytes());
            }
        };
        match part {
            Part::Whole => {}
            Part::Selected(selection) => at(&selection.by, &selection.value, false),
            Part::Unclaimed(claims) => claims.each(|by, value| at(by, value, true)),
        }
    }

    /// Whether schemas are needed to look at messages in Avro.
    pub(super) fn reads_columns(&self) -> bool {
        self.places.iter().any(|place| matches!(place.by, SelectBy::Column(_)))
    }

    pub(super) fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.places.iter_mut().for_each(|place| place.look.set_registry(registry));
    }

    /// The members that a message is for.
    pub(super) fn of(&mut self, message: &Message, members: &mut Vec<MemberId>) {
        members.clear();
        self.claimed.clear();
        for Place { look, values, .. } in &mut self.places {
            let Seen::Value(value) = look.at(message) else { continue };
            if let Some(whose) = values.get(value) {
                members.extend_from_slice(&whose.members);
                self.claimed.extend_from_slice(&whose.claimed_from);
            }
        }
        members.extend(self.rest.iter().filter(|member| !self.claimed.contains(member)));
    }
}
