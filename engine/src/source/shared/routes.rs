//! Which lanes a message goes to: one look at it for each place where messages say whose they are, however many lanes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::Message;
use crate::decode::avro::Registry;
use crate::decode::{Look, Seen};
use crate::input::SelectBy;
use crate::source::{Claims, Part};

/// Names a member of a partition.
pub(super) type MemberId = u64;

/// The routes of a stream.
#[derive(Debug, Default)]
pub(super) struct Routes {
    places: Vec<Place>,
    rest: Vec<Rest>,
}

/// A place where messages say whose they are.
#[derive(Debug)]
struct Place {
    by: SelectBy,
    look: Look,
    members: HashMap<Box<[u8]>, Vec<MemberId>>,
    /// Members that need the look.
    users: usize,
}

/// A lane of what nobody claims.
#[derive(Debug)]
struct Rest {
    member: MemberId,
    claims: Arc<Claims>,
    /// Somebody claims the message that is looked at.
    claimed: bool,
}

impl Routes {
    pub(super) fn add(&mut self, member: MemberId, part: &Part) {
        for by in part.places() {
            let index = self.places.iter().position(|place| place.by == by).unwrap_or_else(|| {
                let look = Look::new(&by);
                self.places.push(Place { by, look, members: HashMap::new(), users: 0 });
                self.places.len() - 1
            });
            let place = &mut self.places[index];
            place.users += 1;
            if let Part::Selected(selection) = part {
                place.members.entry(selection.value.as_bytes().into()).or_default().push(member);
            }
        }
        if let Part::Unclaimed(claims) = part {
            self.rest.push(Rest { member, claims: claims.clone(), claimed: false });
        }
    }

    pub(super) fn remove(&mut self, member: MemberId, part: &Part) {
        for by in part.places() {
            let Some(place) = self.places.iter_mut().find(|place| place.by == by) else { continue };
            place.users -= 1;
            if let Part::Selected(selection) = part
                && let Some(members) = place.members.get_mut(selection.value.as_bytes())
            {
                members.retain(|it| *it != member);
                if members.is_empty() {
                    place.members.remove(selection.value.as_bytes());
                }
            }
        }
        self.places.retain(|place| place.users > 0);
        self.rest.retain(|rest| rest.member != member);
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
        self.rest.iter_mut().for_each(|rest| rest.claimed = false);
        for Place { by, look, members: here, .. } in &mut self.places {
            let Seen::Value(value) = look.at(message) else { continue };
            members.extend(here.get(value).into_iter().flatten());
            for rest in self.rest.iter_mut().filter(|rest| !rest.claimed) {
                rest.claimed = rest.claims.has(by, value);
            }
        }
        members.extend(self.rest.iter().filter(|rest| !rest.claimed).map(|rest| rest.member));
    }
}
