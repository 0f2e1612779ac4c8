//! Which lanes a message goes to: one look at it for each place where messages say whose they are, however many lanes. Lanes
//! of one part are a group: what goes to one of them goes to all.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::Message;
use crate::decode::avro::Registry;
use crate::decode::{Look, Seen};
use crate::input::{SelectBy, Selection};
use crate::source::{Claims, Part};

/// Names a member of a partition.
pub(super) type MemberId = u64;
/// Names the members of one part: they want the same messages.
pub(super) type GroupId = u64;

/// The routes of a stream.
#[derive(Debug, Default)]
pub(super) struct Routes {
    names: GroupId,
    groups: HashMap<GroupId, Vec<MemberId>>,
    places: Vec<Place>,
    /// What nobody claims.
    rest: Vec<(GroupId, Arc<Claims>)>,
    /// Those of them from which the message that is looked at is claimed.
    claimed: Vec<GroupId>,
}

/// A place where messages say whose they are.
#[derive(Debug)]
struct Place {
    by: SelectBy,
    look: Look,
    values: HashMap<Box<[u8]>, Whose>,
    /// Groups that need the look.
    users: usize,
}

/// Whose the messages with a value are.
#[derive(Debug, Default)]
struct Whose {
    group: Option<GroupId>,
    /// Of these, which are of what nobody claims, they are not.
    claimed_from: Vec<GroupId>,
}

impl Routes {
    pub(super) fn add(&mut self, member: MemberId, part: &Part) {
        let group = self.group(part).unwrap_or_else(|| self.open(part));
        self.groups.entry(group).or_default().push(member);
    }

    pub(super) fn remove(&mut self, member: MemberId, part: &Part) {
        let Some(group) = self.group(part) else { return };
        let Some(members) = self.groups.get_mut(&group) else { return };
        members.retain(|it| *it != member);
        if members.is_empty() {
            self.close(group, part);
        }
    }

    fn group(&self, part: &Part) -> Option<GroupId> {
        match part {
            Part::Whole => None,
            Part::Selected(Selection { by, value }) => {
                let place = self.places.iter().find(|place| place.by == *by)?;
                place.values.get(value.as_bytes())?.group
            }
            Part::Unclaimed(claims) => Some(self.rest.iter().find(|(_, its)| its == claims)?.0),
        }
    }

    fn open(&mut self, part: &Part) -> GroupId {
        self.names += 1;
        let group = self.names;
        for by in part.places() {
            match self.place(&by) {
                Some(place) => place.users += 1,
                None => {
                    let look = Look::new(&by);
                    self.places.push(Place { by, look, values: HashMap::new(), users: 1 });
                }
            }
        }
        match part {
            Part::Whole => {}
            Part::Selected(Selection { by, value }) => self.whose(by, value, |whose| whose.group = Some(group)),
            Part::Unclaimed(claims) => {
                claims.each(|by, value| self.whose(by, value, |whose| whose.claimed_from.push(group)));
                self.rest.push((group, claims.clone()));
            }
        }
        group
    }

    fn close(&mut self, group: GroupId, part: &Part) {
        match part {
            Part::Whole => {}
            Part::Selected(Selection { by, value }) => self.whose(by, value, |whose| whose.group = None),
            Part::Unclaimed(claims) => {
                claims.each(|by, value| self.whose(by, value, |whose| whose.claimed_from.retain(|it| *it != group)));
                self.rest.retain(|(it, _)| *it != group);
            }
        }
        for by in part.places() {
            if let Some(place) = self.place(&by) {
                place.users -= 1;
            }
        }
        self.places.retain(|place| place.users > 0);
        self.groups.remove(&group);
    }

    fn place(&mut self, by: &SelectBy) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.by == *by)
    }

    /// Changes whose the messages with a value are.
    fn whose(&mut self, by: &SelectBy, value: &str, change: impl FnOnce(&mut Whose)) {
        let Some(place) = self.place(by) else { return };
        let whose = place.values.entry(value.as_bytes().into()).or_default();
        change(whose);
        if whose.group.is_none() && whose.claimed_from.is_empty() {
            place.values.remove(value.as_bytes());
        }
    }

    /// Whether schemas are needed to look at messages in Avro.
    pub(super) fn reads_columns(&self) -> bool {
        self.places.iter().any(|place| matches!(place.by, SelectBy::Column(_)))
    }

    pub(super) fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.places.iter_mut().for_each(|place| place.look.set_registry(registry));
    }

    /// The groups that a message is for.
    pub(super) fn of(&mut self, message: &Message, groups: &mut Vec<GroupId>) {
        groups.clear();
        self.claimed.clear();
        for Place { look, values, .. } in &mut self.places {
            let Seen::Value(value) = look.at(message) else { continue };
            if let Some(whose) = values.get(value) {
                groups.extend(whose.group);
                self.claimed.extend_from_slice(&whose.claimed_from);
            }
        }
        groups.extend(self.rest.iter().map(|(group, _)| *group).filter(|group| !self.claimed.contains(group)));
    }

    /// The members of a group.
    pub(super) fn members(&self, group: GroupId) -> &[MemberId] {
        self.groups.get(&group).map_or(&[], Vec::as_slice)
    }
}
