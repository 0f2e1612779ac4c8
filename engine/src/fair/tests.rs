use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// One that gives turns on so many cores, each of which takes what the party's `cost` says; all parties always want more.
struct World {
    queue: Queue<()>,
    /// Turns under way: when each ends, and what it costs.
    under_way: Vec<(Duration, Granted<()>, Duration)>,
    cores: usize,
    at: Duration,
    used: Vec<Duration>,
}

impl World {
    fn new(cores: usize, shares: &[Share]) -> Self {
        let mut queue = Queue::default();
        for (number, share) in shares.iter().enumerate() {
            let party = queue.party(&number.to_string());
            queue.share(party, *share, Duration::ZERO);
        }
        Self { queue, under_way: Vec::new(), cores, at: Duration::ZERO, used: vec![Duration::ZERO; shares.len()] }
    }

    /// Until then, each party has work waiting if `wants` says so, whose next piece takes `cost`.
    fn run(&mut self, until: Duration, wants: impl Fn(usize) -> bool, mut cost: impl FnMut(usize) -> Duration) {
        while self.at < until {
            for number in 0..self.used.len() {
                let party = Party(number);
                while wants(number) && self.queue.waiting(party).count() < self.cores {
                    self.queue.push(party, (), self.at);
                }
            }
            while self.under_way.len() < self.cores
                && let Some(granted) = self.queue.next(self.at)
            {
                let takes = cost(granted.party.0);
                self.under_way.push((self.at + takes, granted, takes));
            }
            let next = self.under_way.iter().map(|(ends, ..)| *ends).chain(self.queue.next_release()).min();
            self.at = next.unwrap_or(until).min(until);
            let over: Vec<_> = self.under_way.extract_if(.., |(ends, ..)| *ends <= self.at).collect();
            for (_, Granted { party, expected, .. }, took) in over {
                self.used[party.0] += took;
                self.queue.charge(party, took, expected, self.at);
                self.queue.learn(party, took);
                self.queue.ended(party);
            }
        }
    }

    fn part(&self, number: usize) -> f64 {
        self.used[number].as_secs_f64() / self.used.iter().sum::<Duration>().as_secs_f64()
    }
}

fn weight(weight: u32) -> Share {
    Share { weight, cap: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever their pieces take, those who always wait get time by weight: off by no more than the turns that are under way.
    #[test]
    fn shares_are_by_weight(
        parties in prop::collection::vec((1_u32..10, 1_u32..200, 1_u32..200), 2..12),
        cores in 1_usize..5,
    ) {
        let shares: Vec<_> = parties.iter().map(|(of, ..)| weight(*of)).collect();
        let all = f64::from(shares.iter().map(|share| share.weight).sum::<u32>());
        let mut world = World::new(cores, &shares);
        let mut turn = 0;
        world.run(Duration::from_secs(200), |_| true, |number| {
            turn += 1;
            let (_, one, other) = parties[number];
            if turn % 2 == 0 { MS * one } else { MS * other }
        });
        for (number, share) in shares.iter().enumerate() {
            let (is, should) = (world.part(number), f64::from(share.weight) / all);
            prop_assert!((is - should).abs() < 0.01 + should * 0.05, "party {number} got {is:.4}, its share is {should:.4}");
        }
    }

    /// Nobody who waits is passed over for longer than the others' shares allow.
    #[test]
    fn nobody_starves(pieces in prop::collection::vec(1_u32..2_000, 1..30), own in 1_u32..50) {
        let others = pieces.len();
        let mut world = World::new(1, &vec![weight(1); others + 1]);
        let longest = *pieces.iter().max().unwrap_or(&0);
        world.run(Duration::from_secs(300), |_| true, |number| pieces.get(number).map_or(MS * own, |piece| MS * *piece));
        let fair = Duration::from_secs(300) / u32::try_from(others + 1).unwrap_or(1);
        let used = world.used[others];
        prop_assert!(used + MS * (2 * longest + own) >= fair, "{used:?} of {fair:?}");
    }
}

#[test]
fn one_with_long_pieces_holds_up_one_with_short_ones_for_a_piece_at_most() {
    let mut world = World::new(1, &[weight(1), weight(1)]);
    // The second wants something every now and then, and much less than its share.
    let mut worst = Duration::ZERO;
    for second in 1..100 {
        let wanted = world.at;
        world.queue.push(Party(1), (), wanted);
        let before = world.used[1];
        while world.used[1] == before {
            let until = world.at + MS;
            world.run(until, |number| number == 0, |number| if number == 0 { MS * 100 } else { MS });
        }
        worst = worst.max(world.at - wanted);
        world.run(Duration::from_secs(second), |number| number == 0, |_| MS * 100);
    }
    assert!(worst <= MS * 102, "it waited for {worst:?}");
}

#[test]
fn time_that_was_not_used_is_not_saved_up() {
    let mut world = World::new(1, &[weight(1), weight(1)]);
    world.run(Duration::from_secs(100), |number| number == 0, |_| MS * 10);
    let before = world.used[0];
    world.run(Duration::from_secs(110), |_| true, |_| MS * 10);
    let (first, second) = (world.used[0] - before, world.used[1]);
    assert!(first.abs_diff(second) <= MS * 20, "{first:?} beside {second:?}");
}

#[test]
fn one_party_is_not_given_all_cores_while_another_waits() {
    let mut queue = Queue::default();
    let (greedy, other) = (queue.party("greedy"), queue.party("other"));
    for _ in 0..4 {
        queue.push(greedy, (), Duration::ZERO);
    }
    let first = queue.next(Duration::ZERO).map(|granted| granted.expected);
    queue.charge(greedy, MS * 50, first.unwrap_or_default(), MS * 50);
    queue.learn(greedy, MS * 50);
    queue.ended(greedy);
    queue.push(other, (), MS * 50);
    let next: Vec<_> = std::iter::from_fn(|| queue.next(MS * 50)).map(|granted| granted.party).collect();
    assert_eq!(next[0], other);
}

#[test]
fn a_cap_holds_although_nobody_else_wants_anything() {
    let capped = Share { weight: 1, cap: Some(0.25) };
    let mut world = World::new(2, &[capped]);
    world.run(Duration::from_secs(100), |_| true, |_| MS * 7);
    let used = world.used[0].as_secs_f64();
    assert!((25.0..25.5).contains(&used), "{used} s of 100");
}

#[test]
fn what_a_capped_party_leaves_is_the_others() {
    let mut world = World::new(1, &[Share { weight: 100, cap: Some(0.1) }, weight(1)]);
    world.run(Duration::from_secs(100), |_| true, |_| MS * 5);
    assert!((world.part(0) - 0.1).abs() < 0.005, "{}", world.part(0));
    assert!((world.part(1) - 0.9).abs() < 0.005);
}

#[test]
fn one_that_is_held_gets_no_turn_until_it_is_released_as_often() {
    let mut queue = Queue::default();
    let party = queue.party("a");
    queue.hold(party, MS);
    queue.hold(party, MS);
    queue.push(party, "work", MS);
    assert_eq!(queue.next(MS), None);
    queue.release(party, MS);
    assert_eq!(queue.next(MS), None);
    queue.release(party, MS);
    assert_eq!(queue.next(MS).map(|granted| granted.what), Some("work"));
}

#[test]
fn what_is_begun_goes_before_what_is_new() {
    let mut queue = Queue::default();
    let party = queue.party("a");
    queue.push(party, "new", MS);
    queue.push_first(party, "begun", MS);
    assert_eq!(queue.next(MS).map(|granted| granted.what), Some("begun"));
}
