#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::batch::Message;
use crate::config::{Mode, Tenant, parse_plugin};
use crate::offsets::{OffsetRange, TopicPartition};
use crate::plugin::{Host, HostSettings};
use crate::sink::ClickHouseSettings;
use crate::transform::Transform;

const RULES: fn(Promote) -> Rollout =
    |promote| Rollout { mode: Mode::Shadow, promote, probation_rows: Some(4), ..Rollout::default() };

/// Messages as they are, into this table.
fn bronze(table: &str) -> Arc<Version> {
    let tenant = Tenant::default_of(ClickHouseSettings::new("http://localhost:8123"), "d");
    let text = format!("topics = [\"t\"]\nbronze = \"{table}\"\n");
    let file = parse_plugin(Path::new("plugins/p"), &text, &tenant.into()).unwrap();
    let host = Host::new(HostSettings { instances: 1, ..HostSettings::default() }).unwrap();
    let transform = Transform::build(&host, file.settings.clone(), None).unwrap();
    Arc::new(Version::new(file, transform))
}

fn lane() -> LaneId {
    LaneId {
        tenant: "default".to_owned(),
        plugin: "p".to_owned(),
        topic: "t".to_owned(),
        topic_id: String::new(),
        partition: 0,
    }
}

/// Two messages, said to take so many bytes.
fn batch(start: i64, bytes: usize) -> Arc<(RawBatch, Schemas)> {
    let message = |offset| Message::owned(offset, Some(0), None, Some(b"x".to_vec()), vec![]);
    let partition = TopicPartition { topic: "t".into(), partition: 0 };
    let range = OffsetRange { start, end: start + 2 };
    let raw = RawBatch { partition, range, messages: vec![message(start), message(start + 1)], bytes };
    Arc::new((raw, Schemas::default()))
}

fn epoch(number: u64) -> Epoch {
    Epoch { generation: 0, number, clock_ms: 7, watermark_ms: None }
}

/// What the version that runs makes of a batch.
fn made(version: &Version, batch: &(RawBatch, Schemas), number: u64) -> Made {
    let made = version.transform.run(&lane(), &batch.0, &batch.1, epoch(number), &mut State::default());
    Made::of(&made.unwrap())
}

fn follow(shadow: &Shadow, of: &Arc<ShadowLane>, runs: &Version, number: u64, bytes: usize) {
    let batch = batch(i64::try_from(number * 2).unwrap(), bytes);
    let before = made(runs, &batch, number);
    shadow.follow(of, batch, epoch(number), before);
}

/// Waits until nothing waits for it any more.
fn settled(shadow: &Shadow) -> ShadowView {
    for _ in 0..6_000 {
        let view = shadow.view();
        if view.waiting == 0 {
            return view;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("still waiting: {:?}", shadow.view());
}

#[test]
fn one_that_makes_the_same_takes_over_by_rule_after_its_probation() {
    let runs = bronze("one");
    let shadow = Shadow::new(bronze("one"), RULES(Promote::WhenEqual)).unwrap();
    let of = shadow.begin(&lane(), None, None).unwrap();
    follow(&shadow, &of, &runs, 0, 1);
    assert_eq!(settled(&shadow).difference.messages, 2);
    assert_eq!(shadow.verdict(), ShadowVerdict::Watching, "four messages are its probation");
    follow(&shadow, &of, &runs, 1, 1);
    let view = settled(&shadow);
    assert!(view.difference.is_equal(), "{view:?}");
    assert_eq!((view.difference.messages, view.skipped_messages, shadow.verdict()), (4, 0, ShadowVerdict::Equal));
}

#[test]
fn one_that_makes_other_rows_waits_for_an_operator_whatever_its_rule() {
    let runs = bronze("one");
    let shadow = Shadow::new(bronze("other"), RULES(Promote::WhenEqual)).unwrap();
    let of = shadow.begin(&lane(), None, None).unwrap();
    (0..3).for_each(|number| follow(&shadow, &of, &runs, number, 1));
    let view = settled(&shadow);
    let (one, other) = (&view.difference.tables["one"], &view.difference.tables["other"]);
    assert_eq!((one.gone, one.new, other.gone, other.new), (6, 0, 0, 6));
    assert_eq!(shadow.verdict(), ShadowVerdict::Watching);
}

/// GIVEN a shadow that is stuck, WHEN more comes than may wait, THEN the lane is not held up, and what is left out is counted.
#[test]
fn one_that_keeps_no_state_leaves_whole_batches_out_when_it_falls_behind() {
    let runs = bronze("one");
    let shadow = Shadow::new(bronze("one"), RULES(Promote::ByHand)).unwrap();
    let of = shadow.begin(&lane(), None, None).unwrap();
    let stuck = of.state.lock().unwrap();
    follow(&shadow, &of, &runs, 0, HELD_BYTES);
    follow(&shadow, &of, &runs, 1, 1);
    follow(&shadow, &of, &runs, 2, 1);
    assert_eq!((shadow.view().waiting, shadow.view().skipped_messages), (1, 4));
    drop(stuck);
    assert_eq!(settled(&shadow).difference.messages, 2);
    follow(&shadow, &of, &runs, 3, 1);
    let view = settled(&shadow);
    assert_eq!((view.difference.messages, view.skipped_messages, view.ended), (4, 4, None));
}

#[test]
fn one_that_was_ended_says_why_and_takes_nothing_more() {
    let runs = bronze("one");
    let shadow = Shadow::new(bronze("one"), RULES(Promote::WhenEqual)).unwrap();
    let of = shadow.begin(&lane(), None, None).unwrap();
    shadow.end("for this reason".to_owned());
    shadow.end("for another".to_owned());
    assert!(!shadow.follows());
    follow(&shadow, &of, &runs, 0, 1);
    let view = settled(&shadow);
    assert_eq!((view.ended.as_deref(), view.difference.messages), (Some("for this reason"), 0));
    assert_eq!(shadow.verdict(), ShadowVerdict::Ended("for this reason".to_owned()));
}
