//! Claims about the breaker, in paused time.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::journal::{Intent, Poison};
use crate::offsets::OffsetRange;
use crate::state::Sealed;
use crate::transform::Tally;

fn version(name: &str) -> VersionId {
    VersionId { plugin_digest: name.to_owned(), settings_digest: String::new() }
}

fn rules(policy: FailurePolicy) -> Failure {
    Failure { policy, ..Failure::default() }
}

fn call(failures: usize) -> Turn {
    Turn::Call(Budget { failures })
}

/// An epoch of so many rows, on some of which the plugin failed.
fn epoch(rows: usize, failures: usize) -> Transformed {
    let poison = Poison { offset: 0, code: "trap".to_owned(), reason: String::new() };
    let intent = Intent {
        generation: 1,
        epoch: 1,
        range: OffsetRange { start: 0, end: i64::try_from(rows).expect("few") },
        messages: rows,
        input_digest: String::new(),
        plugin_digest: String::new(),
        settings_digest: String::new(),
        schemas: None,
        clock_ms: 0,
        watermark_ms: None,
        next_watermark_ms: None,
        state_digest: None,
        state_version: None,
        expired: None,
        calls: Vec::new(),
        poison: vec![poison; failures],
        parked: None,
        blocks: Vec::new(),
        marks: Vec::new(),
    };
    Transformed {
        blocks: Vec::new(),
        intent,
        state: Sealed::Unchanged,
        replaced: Vec::new(),
        of_state: false,
        rejects: Vec::new(),
        tally: Tally { messages: rows, rows_in: rows, ..Tally::default() },
    }
}

/// GIVEN few rows at a time, all of which fail, THEN the budget runs out; GIVEN one in a hundred, THEN it never does.
#[tokio::test(start_paused = true)]
async fn what_goes_well_makes_up_for_what_does_not() {
    let (breaker, rules) = (Breaker::default(), rules(FailurePolicy::Pause));
    let turn = || breaker.turn(&version("a"), rules, 100);
    for spent in 0..64 {
        assert_eq!(turn(), call(64 - spent));
        breaker.made(&epoch(1, 1));
    }
    assert_eq!(turn(), call(0));
    breaker.made(&epoch(250, 0));
    assert_eq!(turn(), call(2));
    breaker.made(&epoch(50, 0));
    assert_eq!(turn(), call(3));
    for _ in 0..1_000 {
        breaker.made(&epoch(101, 1));
    }
    assert!(matches!(turn(), Turn::Call(Budget { failures: 3.. })));
}

/// GIVEN an open breaker that pauses, THEN each turn is a probe, the pauses grow up to a bound, and are short again after the
/// plugin has worked for a while.
#[tokio::test(start_paused = true)]
async fn pauses_grow_and_a_probe_that_succeeds_closes() {
    let (breaker, rules) = (Breaker::default(), rules(FailurePolicy::Pause));
    let fails = || async {
        breaker.turn(&version("a"), rules, 100);
        let began = Instant::now();
        let until = breaker.open(rules, "it traps".to_owned());
        tokio::time::sleep_until(until).await;
        began.elapsed().as_secs()
    };
    let mut pauses = Vec::new();
    for _ in 0..11 {
        pauses.push(fails().await);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(breaker.view().map(|view| (view.state, view.policy)), Some(("open".into(), "pause".into())));
    assert_eq!(breaker.turn(&version("a"), rules, 100), call(49), "more than half of a probe must go well");
    assert_eq!(breaker.turn(&version("a"), rules, 1), call(0));
    assert_eq!(breaker.view().map(|view| view.state), Some("half_open".into()));
    breaker.made(&epoch(100, 2));
    assert_eq!((breaker.view(), breaker.turn(&version("a"), rules, 100)), (None, call(62)));
    assert_eq!((fails().await, breaker.opened()), (300, 2), "it did not work for long");
    breaker.turn(&version("a"), rules, 100);
    breaker.made(&epoch(100, 0));
    advance(Duration::from_secs(61)).await;
    assert_eq!(fails().await, 1);
}

/// GIVEN an open breaker that parks, THEN it parks until the pause is over, and what is said meanwhile delays no probe.
#[tokio::test(start_paused = true)]
async fn messages_are_parked_until_the_next_probe() {
    let (breaker, rules) = (Breaker::default(), rules(FailurePolicy::Park));
    assert!(matches!(breaker.turn(&version("a"), rules, 100), Turn::Call(_)));
    let until = breaker.open(rules, format!("it traps {}\n  at somewhere", "x".repeat(300)));
    let Turn::Park(reason) = breaker.turn(&version("a"), rules, 100) else { panic!("it is called") };
    assert!(reason.starts_with("it traps xxx") && reason.len() == REASON_CHARS, "{reason}");
    assert!(breaker.parks());
    advance(Duration::from_millis(500)).await;
    assert_eq!(breaker.open(rules, "a message is too long".to_owned()), until);
    advance(Duration::from_millis(501)).await;
    assert!(!breaker.parks());
    assert_eq!(breaker.turn(&version("a"), rules, 1_000), call(64));
    breaker.open(rules, "it traps".to_owned());
    advance(Duration::from_millis(1_500)).await;
    assert!(matches!(breaker.turn(&version("a"), rules, 100), Turn::Park(_)), "twice as long");
}

/// GIVEN an open breaker, WHEN another version or other rules come, THEN it is closed at once.
#[tokio::test(start_paused = true)]
async fn another_version_or_other_rules_begin_anew() {
    let (breaker, rules) = (Breaker::default(), rules(FailurePolicy::Park));
    breaker.turn(&version("a"), rules, 100);
    breaker.open(rules, "it traps".to_owned());
    breaker.concerns(&version("a"), rules);
    assert!(breaker.parks());
    assert_eq!(breaker.turn(&version("b"), rules, 100), call(64));
    breaker.open(rules, "it traps".to_owned());
    breaker.concerns(&version("b"), Failure { max_failures: 65, ..rules });
    assert_eq!(breaker.view(), None);
}
