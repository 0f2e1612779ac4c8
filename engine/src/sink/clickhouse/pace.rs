//! How often lanes insert into one server.
//!
//! A server takes so many inserts a second before its merges fall behind, whatever their size. So a lane gathers rows for as
//! long as its part of that budget allows. Parts are max-min fair, by weight: who inserts less often than its part leaves the
//! rest to the others, so a quiet tenant takes next to nothing from the busy ones, and is not held up itself. A tenant's
//! lanes share its part in the same way, by the blocks of an epoch: they gather for equally long. Many tenants become few parts so, each of more rows, and one that floods makes its own
//! blocks fuller, not the others' rarer. A block that is full is not held back: it is the part that merges want.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::offsets::LaneId;

/// A lane's rhythm is that of its last epochs.
const RHYTHM: usize = 4;
/// A lane that has not inserted for so long is forgotten.
const QUIET: Duration = Duration::from_secs(60);
/// How old the parts may be.
const SHARED: Duration = Duration::from_secs(1);
/// The longest that rows are gathered: beyond, few would mind more parts.
const LONGEST: Duration = Duration::from_secs(30);
/// Who takes nearly its part is held back by it: messages come and epochs end some time behind each linger.
const NEARLY: f64 = 1.25;

/// How often lanes insert.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    paced: Mutex<Paced>,
}

#[derive(Debug)]
struct Paced {
    per_second: f64,
    tenants: HashMap<String, Tenant>,
    /// When the parts were made.
    shared: Option<Duration>,
    /// Blocks a second for a tenant of weight 1.
    part: f64,
}

#[derive(Debug)]
struct Tenant {
    weight: u32,
    most: Option<u32>,
    lanes: BTreeMap<LaneId, Inserts>,
    /// Epochs a second for each lane; none: it has no lanes that insert.
    part: Option<f64>,
}

/// When a lane has inserted an epoch, and how many blocks it had; the latest last.
type Inserts = VecDeque<(Duration, u32)>;

impl Default for Tenant {
    fn default() -> Self {
        Self { weight: 1, most: None, lanes: BTreeMap::new(), part: None }
    }
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self { began: Instant::now(), paced: Mutex::new(Paced::new(per_second)) }
    }

    pub(super) fn share(&self, tenant: &str, weight: u32, most: Option<u32>) {
        self.lock().share(tenant, weight, most);
    }

    /// A lane begins, which counts as an insert: when hundreds begin, they do not all insert at once. But one that begins again
    /// and again, and inserts nothing, takes no part of the others'.
    pub(super) fn begins(&self, lane: &LaneId) {
        let mut paced = self.lock();
        if !paced.knows(lane) {
            paced.inserted(lane, 1, self.began.elapsed());
        }
    }

    /// A lane has inserted an epoch of so many blocks.
    pub(super) fn inserted(&self, lane: &LaneId, blocks: usize) {
        self.lock().inserted(lane, blocks, self.began.elapsed());
    }

    /// How long a lane should gather rows for an epoch. To ask is not to insert: a lane that waits for messages has no part.
    pub(super) fn linger(&self, lane: &LaneId) -> Duration {
        self.lock().linger(lane, self.began.elapsed())
    }

    /// Changed in one step each.
    fn lock(&self) -> MutexGuard<'_, Paced> {
        self.paced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paced {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tenants: HashMap::new(), shared: None, part: per_second }
    }

    fn share(&mut self, tenant: &str, weight: u32, most: Option<u32>) {
        let tenant = self.tenants.entry(tenant.to_owned()).or_default();
        (tenant.weight, tenant.most) = (weight.max(1), most);
        self.shared = None;
    }

    fn knows(&self, lane: &LaneId) -> bool {
        self.tenants.get(&lane.tenant).is_some_and(|tenant| tenant.lanes.contains_key(lane))
    }

    fn inserted(&mut self, lane: &LaneId, blocks: usize, at: Duration) {
        let lanes = &mut self.tenants.entry(lane.tenant.clone()).or_default().lanes;
        if !lanes.contains_key(lane) {
            lanes.insert(lane.clone(), VecDeque::with_capacity(RHYTHM));
            self.shared = None;
        }
        let inserts = lanes.get_mut(lane).expect("it is there now");
        if inserts.len() == RHYTHM {
            inserts.pop_front();
        }
        inserts.push_back((at, u32::try_from(blocks).unwrap_or(u32::MAX)));
    }

    fn linger(&mut self, lane: &LaneId, at: Duration) -> Duration {
        if self.shared.is_none_or(|then| at.saturating_sub(then) >= SHARED) {
            self.make_parts(at);
        }
        let unknown = Tenant::default();
        let tenant = self.tenants.get(&lane.tenant).unwrap_or(&unknown);
        let part = tenant.part.unwrap_or_else(|| tenant.at_most(self.part, self.per_second));
        Duration::try_from_secs_f64(1.0 / part).unwrap_or(LONGEST).min(LONGEST)
    }

    fn make_parts(&mut self, at: Duration) {
        self.shared = Some(at);
        let mut lanes = Vec::with_capacity(self.tenants.len());
        for tenant in self.tenants.values_mut() {
            tenant.lanes.retain(|_, inserts| inserts.back().is_some_and(|(last, _)| at.saturating_sub(*last) < QUIET));
            lanes.push(tenant.lanes.values().map(|inserts| wants(inserts, at)).collect::<Vec<_>>());
        }
        let insert = self.tenants.values().zip(&lanes).filter(|(_, lanes)| !lanes.is_empty());
        let wants = insert.map(|(tenant, lanes)| {
            let often: f64 = lanes.iter().map(|(_, often)| often).sum();
            (f64::from(tenant.weight), tenant.most.map_or(often, |most| often.min(f64::from(most))))
        });
        self.part = part(self.per_second, wants.collect());
        for (tenant, lanes) in self.tenants.values_mut().zip(lanes) {
            let own = tenant.at_most(self.part, self.per_second);
            tenant.part = (!lanes.is_empty()).then(|| part(own, lanes));
        }
    }
}

impl Tenant {
    /// What it may take, if each has so much for its weight.
    fn at_most(&self, part: f64, per_second: f64) -> f64 {
        let own = (part * f64::from(self.weight)).min(per_second);
        self.most.map_or(own, |most| own.min(f64::from(most)))
    }
}

/// A lane's blocks an epoch, and blocks a second, a little more than there were.
fn wants(inserts: &Inserts, at: Duration) -> (f64, f64) {
    let since = inserts.front().map_or(QUIET, |(first, _)| at.saturating_sub(*first)).max(Duration::from_millis(1));
    let blocks: f64 = inserts.iter().map(|(_, blocks)| f64::from(*blocks)).sum();
    (blocks / inserts.len().max(1) as f64, blocks * NEARLY / since.as_secs_f64())
}

/// Max-min fair parts of something, each as `(weight, want)`: what one of weight 1 may take. Whoever wants less gets what it wants,
/// the others share what is left; if all get what they want, the one that takes most may take the rest.
fn part(mut all: f64, mut wants: Vec<(f64, f64)>) -> f64 {
    wants.sort_by(|(one, wants), (other, want)| (wants * other).total_cmp(&(want * one)));
    let mut weights: f64 = wants.iter().map(|(weight, _)| weight).sum();
    let mut part = all;
    for (weight, want) in wants {
        part = all / weights;
        if want >= part * weight {
            break;
        }
        (all, weights) = (all - want, weights - weight);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(tenant: &str, partition: i32) -> LaneId {
        let text = str::to_owned;
        LaneId { tenant: text(tenant), plugin: text("p"), topic: text("t"), topic_id: text(""), partition }
    }

    fn pace() -> Paced {
        Paced::new(20)
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn assert_near(linger: Duration, seconds: f64) {
        assert!((linger.as_secs_f64() / seconds - 1.0).abs() < 0.01, "{linger:?} is not {seconds} s");
    }

    /// Lanes that insert as often as they may, for so long.
    fn run(pace: &mut Paced, lanes: &[LaneId], seconds: f64) -> Vec<usize> {
        let mut inserts = vec![0; lanes.len()];
        let mut due: Vec<_> = lanes.iter().map(|lane| pace.linger(lane, at(0.0))).collect();
        for now in (0..).map(|step| at(f64::from(step) / 100.0)).take_while(|now| *now < at(seconds)) {
            for ((lane, due), inserts) in lanes.iter().zip(&mut due).zip(&mut inserts) {
                if *due <= now {
                    pace.inserted(lane, 1, now);
                    *inserts += 1;
                    *due = now + pace.linger(lane, now);
                }
            }
        }
        inserts
    }

    #[test]
    fn one_alone_has_all_and_hundreds_that_begin_wait_for_their_turns() {
        let mut pace = pace();
        assert_near(pace.linger(&lane("a", 0), at(0.0)), 0.05);
        for partition in 0..100 {
            pace.inserted(&lane("a", partition), 1, at(0.0));
        }
        assert_near(pace.linger(&lane("a", 0), at(0.5)), 5.0);
        for partition in 0..10_000 {
            pace.inserted(&lane("a", partition), 1, at(1.0));
        }
        assert_eq!(pace.linger(&lane("a", 0), at(1.5)), LONGEST);
    }

    #[test]
    fn tenants_share_by_weight_whatever_the_number_of_their_lanes() {
        let mut pace = pace();
        pace.share("heavy", 3, None);
        let lanes: Vec<_> = (0..50).map(|n| lane("many", n)).chain([lane("heavy", 0)]).collect();
        let inserts = run(&mut pace, &lanes, 100.0);
        let (heavy, many) = (inserts[50], inserts[..50].iter().sum::<usize>());
        assert!((1_300..1_600).contains(&heavy), "15 a second: {heavy}");
        assert!((400..700).contains(&many), "5 a second: {many}");
        pace.share("heavy", 3, Some(2));
        assert_near(pace.linger(&lane("heavy", 0), at(100.0)), 0.5);
    }

    #[test]
    fn who_inserts_seldom_leaves_the_rest_to_others_and_is_not_held_up() {
        let mut pace = pace();
        for second in 0..60 {
            for quiet in 0..100 {
                if second % 30 == quiet % 30 {
                    pace.inserted(&lane("quiet", quiet), 1, at(f64::from(second)));
                }
            }
            for part in 0..16 {
                pace.inserted(&lane("busy", 0), 1, at(f64::from(second) + f64::from(part) / 16.0));
            }
        }
        let busy = pace.linger(&lane("busy", 0), at(60.0));
        assert!(busy < at(0.1), "{busy:?}, not half of all");
        let newcomer = pace.linger(&lane("new", 0), at(60.0));
        assert!(newcomer < at(0.1), "{newcomer:?}");
    }

    #[test]
    fn who_begins_again_and_again_and_inserts_nothing_has_next_to_no_part() {
        let pace = Pace::new(20);
        pace.begins(&lane("bad", 0));
        pace.inserted(&lane("busy", 0), 1);
        let once = pace.lock().tenants["bad"].lanes[&lane("bad", 0)].clone();
        (0..10).for_each(|_| pace.begins(&lane("bad", 0)));
        assert_eq!(pace.lock().tenants["bad"].lanes[&lane("bad", 0)], once);
    }

    #[test]
    fn who_waits_for_messages_has_no_part() {
        let mut pace = pace();
        pace.inserted(&lane("busy", 0), 1, at(0.0));
        for partition in 0..500 {
            pace.linger(&lane("quiet", partition), at(1.0));
        }
        assert_near(pace.linger(&lane("busy", 0), at(3.0)), 0.05);
    }

    #[test]
    fn lanes_of_several_tables_gather_for_as_long_as_others_and_their_blocks_count() {
        let mut pace = pace();
        for epoch in 0..40 {
            pace.inserted(&lane("a", 0), 3, at(f64::from(epoch) / 4.0));
            pace.inserted(&lane("a", 1), 1, at(f64::from(epoch) / 4.0));
        }
        assert_near(pace.linger(&lane("a", 0), at(10.0)), 4.0 / 20.0);
        assert_near(pace.linger(&lane("a", 1), at(10.0)), 4.0 / 20.0);
    }

    #[test]
    fn together_they_stay_near_the_budget() {
        let mut pace = pace();
        let lanes: Vec<_> = (0..200).map(|n| lane(&format!("t{n}"), 0)).collect();
        for lane in &lanes {
            pace.inserted(lane, 1, at(0.0));
        }
        let inserts = run(&mut pace, &lanes, 300.0);
        let all: usize = inserts.iter().sum();
        assert!((5_000..6_600).contains(&all), "{all} in 300 s, of 20 a second");
        let (least, most) = (inserts.iter().min().expect("200"), inserts.iter().max().expect("200"));
        assert!(*most < 2 * least, "{least} to {most}");
    }
}
