//! How old a lane's tables are: the time since the last moment of which is known that all the partition held is committed.
//!
//! Seen by this process alone. It notes which end the partition had when, and waits until that end is committed; so no clocks of
//! others are compared, and a topic that rests is fresh however old its last message is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many ends are remembered; of more, every second one, and from then on as far apart: a lane that is an hour behind needs not
/// know it by the second.
const MOST: u32 = 64;

/// What is known of a lane's partition.
#[derive(Debug)]
pub(super) struct Freshness {
    /// All that the partition held then is committed. At first when the lane was made, as nothing is known of before.
    as_of: Instant,
    /// The ends beyond, and when they were seen last; both grow.
    beyond: VecDeque<(Instant, i64)>,
    /// The least time between two of them.
    pause: Duration,
}

impl Freshness {
    pub(super) fn new(now: Instant) -> Self {
        Self { as_of: now, beyond: VecDeque::new(), pause: Duration::ZERO }
    }

    /// The partition's end is this now.
    pub(super) fn saw(&mut self, now: Instant, end: i64) {
        match self.beyond.back_mut() {
            Some((seen, last)) if end <= *last => *seen = now,
            Some((seen, _)) if now.saturating_duration_since(*seen) < self.pause => {}
            Some(_) | None => self.beyond.push_back((now, end)),
        }
        if self.beyond.len() > MOST as usize {
            let mut keep = false;
            self.beyond.retain(|_| {
                keep = !keep;
                keep
            });
            let first = self.beyond.front().map_or(now, |(seen, _)| *seen);
            self.pause = now.saturating_duration_since(first) * 2 / MOST;
        }
    }

    /// All before this offset is committed.
    pub(super) fn committed(&mut self, offset: i64) {
        while let Some((seen, _)) = self.beyond.pop_front_if(|(_, end)| *end <= offset) {
            self.as_of = seen;
        }
        if self.beyond.is_empty() {
            self.pause = Duration::ZERO;
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.as_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ages in seconds, of a lane that was made at second 0.
    struct Watched(Instant, Freshness);

    impl Watched {
        fn new() -> Self {
            let began = Instant::now();
            Self(began, Freshness::new(began))
        }

        fn saw(&mut self, second: u64, end: i64) {
            self.1.saw(self.0 + Duration::from_secs(second), end);
        }

        fn age(&self, second: u64) -> u64 {
            self.1.age(self.0 + Duration::from_secs(second)).as_secs()
        }
    }

    #[test]
    fn a_lane_that_keeps_up_is_as_old_as_its_epochs() {
        let mut lane = Watched::new();
        for second in 1..1000 {
            let end = i64::try_from(second).unwrap_or(0) * 100;
            lane.saw(second, end);
            lane.1.committed(end - 100); // one epoch is under way
            assert_eq!(lane.age(second), 1);
        }
    }

    #[test]
    fn a_topic_that_rests_is_fresh_and_one_that_waits_grows_old() {
        let mut lane = Watched::new();
        lane.saw(10, 5);
        lane.1.committed(5);
        assert_eq!(lane.age(10), 0);
        lane.saw(3600, 5);
        lane.1.committed(5);
        assert_eq!(lane.age(3600), 0, "nothing came for an hour");
        lane.saw(3601, 6);
        assert_eq!(lane.age(3700), 100, "a message waits");
        lane.saw(3650, 6);
        lane.1.committed(6);
        assert_eq!(lane.age(3700), 50, "at 3650 there was no more");
    }

    #[test]
    fn a_lane_far_behind_is_known_roughly_and_in_little_memory() {
        let mut lane = Watched::new();
        for second in 0..10_000_u32 {
            lane.saw(second.into(), i64::from(second) + 1);
        }
        assert!(lane.1.beyond.len() <= MOST as usize);
        lane.1.committed(5_000);
        let age = lane.age(10_000);
        assert!((5_000..5_400).contains(&age), "{age}");
        lane.1.committed(10_000);
        let age = lane.age(10_000);
        assert!(age < 400, "{age}");
        lane.saw(10_000, 10_000);
        lane.1.committed(10_000);
        assert_eq!(lane.age(10_000), 0, "it has caught up");
    }
}
