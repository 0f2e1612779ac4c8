//! Who does something next: users that come for visits, and stay away in the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::random::Random;

/// Plans, from the smallest on.
pub(crate) const PLANS: [&str; 4] = ["free", "basic", "pro", "team"];

/// Of a hundred visits of an application whose users have not all come yet, so many are first ones.
const NEW_USERS: u32 = 10;

const MINUTE_MS: u32 = 60_000;

/// A user.
#[derive(Clone, Copy, Debug)]
struct User {
    /// Index into [`PLANS`].
    plan: usize,
    /// What most visits are made with.
    device: usize,
}

/// A visit under way; ordered by when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    due_ms: i64,
    number: u64,
    user: u32,
    events_left: u32,
    is_first: bool,
    device: usize,
}

/// What happens next, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// The user's number, from 0.
    pub(crate) user: u32,
    /// The visit's number.
    pub(crate) visit: u64,
    /// The user signs up.
    pub(crate) is_signup: bool,
    /// What the visit is made with: any number.
    pub(crate) device: usize,
    /// The user's plan.
    pub(crate) plan: usize,
}

/// All users and the visits that are under way.
#[derive(Debug)]
pub(crate) struct People {
    users: Vec<User>,
    most_users: u32,
    visits: BinaryHeap<Reverse<Visit>>,
    visits_begun: u64,
}

impl People {
    pub(crate) fn new(most_users: u32) -> Self {
        Self { users: Vec::new(), most_users, visits: BinaryHeap::new(), visits_begun: 0 }
    }

    /// Who acts at this time: whose visit goes on first, else somebody who comes.
    pub(crate) fn next(&mut self, random: &mut Random, at_ms: i64) -> Act {
        let goes_on = self.visits.peek().is_some_and(|Reverse(visit)| visit.due_ms <= at_ms);
        let waiting = if goes_on { self.visits.pop() } else { None };
        let visit = waiting.map_or_else(|| self.begin(random), |Reverse(visit)| visit);
        if visit.events_left > 1 {
            let (due_ms, events_left) = (at_ms + pause_ms(random), visit.events_left - 1);
            self.visits.push(Reverse(Visit { due_ms, events_left, is_first: false, ..visit }));
        }
        let Visit { number, user, is_first, device, .. } = visit;
        Act { user, visit: number, is_signup: is_first, device, plan: self.users[user as usize].plan }
    }

    /// The user is on this plan from now on.
    pub(crate) fn change_plan(&mut self, user: u32, plan: usize) {
        self.users[user as usize].plan = plan;
    }

    fn begin(&mut self, random: &mut Random) -> Visit {
        let known = u32::try_from(self.users.len()).expect("users are numbered in 32 bits");
        let is_first = known == 0 || known < self.most_users && random.below(100) < NEW_USERS;
        let user = if is_first {
            self.users.push(User { plan: random.index(PLANS.len()), device: random.index(usize::MAX) });
            known
        } else {
            // The younger half comes again: everybody stays away in the end.
            known / 2 + random.below(known - known / 2)
        };
        let own = self.users[user as usize].device;
        let device = if random.below(10) == 0 { random.index(usize::MAX) } else { own };
        self.visits_begun += 1;
        Visit { due_ms: 0, number: self.visits_begun, user, events_left: 1 + random.below(12), is_first, device }
    }
}

/// Between two events of a visit: mostly minutes, now and then about as long as ends a session.
fn pause_ms(random: &mut Random) -> i64 {
    let minutes = match random.below(100) {
        0..90 => 0..4,
        90..97 => 4..29,
        _ => 29..45,
    };
    let span = (minutes.end - minutes.start) * MINUTE_MS;
    i64::from(minutes.start * MINUTE_MS + 1 + random.below(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signs_up_is_new_and_who_is_new_signs_up() {
        let (mut random, mut people) = (Random::new(7), People::new(50));
        let mut known = Vec::new();
        for second in 0..20_000 {
            let act = people.next(&mut random, second * 1000);
            assert_eq!(act.is_signup, !known.contains(&act.user), "user {}", act.user);
            if act.is_signup {
                known.push(act.user);
            }
        }
        assert_eq!(known, (0..50).collect::<Vec<_>>());
    }
}
