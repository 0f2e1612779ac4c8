//! Claims about versions and their trials.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::advance;

use super::*;
use crate::batch::Stage;
use crate::config::{Failure, Mode, Partitions, PluginFile, Promote, Rollout, Tenant};
use crate::journal::{Intent, Poison};
use crate::offsets::{LaneId, OffsetRange, PluginKey};
use crate::plugin::{Host, HostSettings};
use crate::sink::ClickHouseSettings;
use crate::source::Start;
use crate::state::Sealed;
use crate::transform::{Kind, Tally, Transform, TransformSettings, Transformed};

/// A version that writes into this table.
fn version(table: &str) -> Arc<Version> {
    let host = Host::new(HostSettings { instances: 1, ..HostSettings::default() }).expect("WebAssembly");
    let settings = TransformSettings::new("default", "plugin", Kind::Bronze { table: table.to_owned() }, "db");
    let tenant = Tenant::default_of(ClickHouseSettings::new("http://localhost:8123"), "db");
    let file = PluginFile {
        tenant: Arc::new(tenant),
        folder: "".into(),
        artifact: "plugin.wasm".into(),
        topics: vec!["t".into()],
        start: Start::Earliest,
        sha256: None,
        partitions: Partitions::default(),
        settings: settings.clone(),
        capsule: None,
        linger: Duration::ZERO,
        rollout: Rollout::default(),
        failure: Failure::default(),
        places: [].into(),
    };
    Arc::new(Version::new(file, Transform::build(&host, settings, None).expect("bronze needs nothing")))
}

fn lane(partition: i32) -> LaneId {
    let name = |name: &str| name.to_owned();
    LaneId { tenant: name("default"), plugin: name("plugin"), topic: name("t"), topic_id: name(""), partition }
}

/// An epoch of so many messages, of which some became dead letters and some were faults.
fn epoch(version: &Version, messages: usize, letters: usize, faults: usize) -> Transformed {
    let mut tally = Tally { messages, ..Tally::default() };
    tally.dead.insert((Stage::Transform, "wrong".to_owned()), letters);
    tally.dead.insert((Stage::Transform, "trap".to_owned()), faults);
    let poison = Poison { offset: 7, code: "trap".to_owned(), reason: "unreachable".to_owned() };
    let intent = Intent {
        generation: 1,
        epoch: 1,
        range: OffsetRange { start: 5, end: 5 + i64::try_from(messages).expect("few") },
        messages,
        input_digest: String::new(),
        plugin_digest: version.id().plugin_digest.clone(),
        settings_digest: version.id().settings_digest.clone(),
        schemas: None,
        clock_ms: 0,
        watermark_ms: None,
        next_watermark_ms: None,
        state_digest: None,
        state_version: None,
        expired: None,
        calls: Vec::new(),
        poison: vec![poison; faults],
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
        tally,
    }
}

/// A version that has made a thousand messages, ten of them dead letters, and one on trial after it.
struct World {
    before: Arc<Version>,
    newcomer: Arc<Version>,
    versions: Versions,
}

impl World {
    fn new(rules: Rollout) -> Self {
        Self::after(rules, |before| Some(epoch(before, 1_000, 10, 0)))
    }

    fn after(rules: Rollout, made: impl FnOnce(&Version) -> Option<Transformed>) -> Self {
        let (before, newcomer) = (version("old"), version("new"));
        let versions = Versions::new(before.clone());
        if let Some(made) = made(&before) {
            assert_eq!(versions.judge(&lane(0), before.id(), &made), Verdict::Keep);
        }
        versions.try_out(newcomer.clone(), rules);
        Self { before, newcomer, versions }
    }

    fn judge(&self, made: &Transformed) -> Verdict {
        self.versions.judge(&lane(0), self.newcomer.id(), made)
    }

    fn commit(&self, made: &Transformed) {
        self.versions.committed(&lane(0), &made.intent, &made.tally);
    }

    fn runs(&self, partition: i32) -> VersionId {
        self.versions.of(&lane(partition)).id().clone()
    }

    fn withdrawn(&self) -> Option<String> {
        let reason = |news| if let News::Withdrawn { reason, .. } = news { Some(reason) } else { None };
        self.versions.take_news().into_iter().find_map(reason)
    }
}

#[tokio::test(start_paused = true)]
async fn one_fault_withdraws_where_there_was_none() {
    let world = World::new(Rollout::default());
    assert_eq!(world.runs(0), *world.newcomer.id());
    assert_eq!(world.judge(&epoch(&world.newcomer, 3, 0, 0)), Verdict::Keep);
    let reason = "it failed on offset 7: unreachable".to_owned();
    assert_eq!(world.judge(&epoch(&world.newcomer, 3, 0, 1)), Verdict::Withdraw { reason: reason.clone() });
    assert_eq!(world.runs(0), *world.before.id());
    // Another lane may be in the midst of an epoch with it.
    assert!(matches!(world.judge(&epoch(&world.newcomer, 3, 0, 0)), Verdict::Withdraw { .. }));
    let at = Some((lane(0), 5));
    let version = world.newcomer.id().clone();
    assert_eq!(world.versions.take_news(), [News::Withdrawn { version, reason, at }]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_judged_without_anything_to_compare() {
    let world = World::after(Rollout::default(), |_| None);
    assert_eq!(world.judge(&epoch(&world.newcomer, 1_000, 900, 0)), Verdict::Keep, "dead letters are not");
    assert!(matches!(world.judge(&epoch(&world.newcomer, 1, 0, 1)), Verdict::Withdraw { .. }));
}

#[tokio::test(start_paused = true)]
async fn faults_that_the_version_before_had_are_no_complaint() {
    let world = World::after(Rollout::default(), |before| Some(epoch(before, 1_000, 0, 20)));
    assert_eq!(world.judge(&epoch(&world.newcomer, 50, 0, 2)), Verdict::Keep, "4 % of too few");
    assert_eq!(world.judge(&epoch(&world.newcomer, 950, 0, 25)), Verdict::Keep, "2.7 % after 2 %");
    assert!(matches!(world.judge(&epoch(&world.newcomer, 100, 0, 20)), Verdict::Withdraw { .. }), "4.3 %");
}

#[tokio::test(start_paused = true)]
async fn more_dead_letters_than_before_withdraw() {
    let world = World::new(Rollout::default());
    assert_eq!(world.judge(&epoch(&world.newcomer, 99, 3, 0)), Verdict::Keep, "too few to say");
    assert_eq!(world.judge(&epoch(&world.newcomer, 901, 15, 0)), Verdict::Keep, "1.8 % after 1 %");
    assert!(matches!(world.judge(&epoch(&world.newcomer, 100, 6, 0)), Verdict::Withdraw { .. }));
    let said = "24 of 1100 messages became dead letters (2.2 %), before it 1.0 %, and 1.0 % more are allowed";
    assert_eq!(world.withdrawn().as_deref(), Some(said));
}

/// On a topic with few messages as well, and where the version before has made none in this process.
#[tokio::test(start_paused = true)]
async fn a_version_that_rejects_everything_is_found_out_soon() {
    let found_out = |before: Option<(usize, usize)>| {
        let world =
            World::after(Rollout::default(), |it| before.map(|(messages, letters)| epoch(it, messages, letters, 0)));
        (1..1_000).find(|_| world.judge(&epoch(&world.newcomer, 1, 1, 0)) != Verdict::Keep)
    };
    assert_eq!(found_out(Some((1_000, 0))), Some(5));
    assert_eq!(found_out(Some((10, 0))), Some(5));
    assert_eq!(found_out(Some((1_000, 200))), Some(6));
    assert_eq!(found_out(None), Some(14));
    assert_eq!(found_out(Some((1_000, 995))), None, "as the version before did");
}

#[tokio::test(start_paused = true)]
async fn some_dead_letters_among_few_messages_are_an_accident() {
    let after = |before, messages, letters| {
        let world = World::after(Rollout::default(), |it| Some(epoch(it, before, 0, 0)));
        world.judge(&epoch(&world.newcomer, messages, letters, 0)) == Verdict::Keep
    };
    assert!(after(1_000, 4, 4));
    assert!(after(20, 40, 5));
    assert!(!after(20, 40, 20));
    assert!(!after(1_000, 90, 8));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_costs_too_much_withdraws() {
    let made = |version: &Version, cpu_ms| {
        let mut made = epoch(version, 100_000, 0, 0);
        made.tally.times.plugin.0 = Duration::from_millis(cpu_ms);
        made
    };
    let world = World::after(Rollout::default(), |before| Some(made(before, 100)));
    assert_eq!(world.judge(&made(&world.newcomer, 300)), Verdict::Keep, "three times as much is allowed");
    assert!(matches!(world.judge(&made(&world.newcomer, 320)), Verdict::Withdraw { .. }));
    let said = "it takes 3.10 µs of CPU time per message, before it 1.00 µs, and 3 times as much is allowed";
    assert_eq!(world.withdrawn().as_deref(), Some(said));
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_over_after_its_time_and_not_before_a_message() {
    let world = World::new(Rollout::default());
    advance(Duration::from_secs(61)).await;
    assert_eq!(world.versions.current().id(), world.before.id(), "it has shown nothing");
    world.commit(&epoch(&world.newcomer, 1, 0, 0));
    assert_eq!(world.versions.current().id(), world.newcomer.id());
    let (lane, version) = (lane(0), world.newcomer.id().clone());
    let moved = News::Moved { lane, version: version.clone(), offset: 5 };
    assert_eq!(world.versions.take_news(), [moved, News::Passed { version: version.clone() }]);
    assert!(!world.versions.withdraw(&version, "late".to_owned(), None), "its trial is over");
    assert_eq!(world.judge(&epoch(&world.newcomer, 3, 0, 3)), Verdict::Keep, "faults are poison now");
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_over_after_enough_messages() {
    let world = World::new(Rollout { probation_rows: Some(100), ..Rollout::default() });
    world.commit(&epoch(&world.newcomer, 99, 0, 0));
    assert!(world.versions.trial().is_some());
    world.commit(&epoch(&world.newcomer, 1, 0, 0));
    assert!(world.versions.trial().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_canary_has_its_share_of_the_lanes_and_the_first_of_them() {
    let world = World::new(Rollout { mode: Mode::Canary, share: 0.25, ..Rollout::default() });
    let has = |partition| world.runs(partition) == *world.newcomer.id();
    let with: Vec<_> = [9, 3, 4, 5, 6, 7, 8, 10].into_iter().filter(|partition| has(*partition)).collect();
    assert_eq!(with, [9, 6]);
    assert!(has(9) && !has(3), "a lane keeps what it has");
    world.commit(&epoch(&world.newcomer, 1, 0, 0));
    advance(Duration::from_secs(61)).await;
    assert!(!has(3), "an operator lets it take over");
    world.versions.replace(world.newcomer.clone());
    assert!(has(3));
}

#[tokio::test(start_paused = true)]
async fn a_canary_may_take_over_by_itself() {
    let rules = Rollout { mode: Mode::Canary, promote: Promote::WhenEqual, ..Rollout::default() };
    let world = World::new(rules);
    assert_eq!(world.runs(0), *world.newcomer.id());
    assert_eq!(world.runs(1), *world.before.id());
    world.commit(&epoch(&world.newcomer, 1, 0, 0));
    let (waits, other) = (lane(1), world.before.clone());
    let mut moves = Box::pin(world.versions.other_than(&waits, &other));
    assert!(moves.as_mut().now_or_never().is_none());
    advance(Duration::from_secs(61)).await;
    assert_eq!(world.runs(1), *world.newcomer.id());
    moves.await;
}

#[tokio::test(start_paused = true)]
async fn there_is_no_way_back_from_state_that_the_version_before_can_not_read() {
    let world = World::new(Rollout::default());
    let mut made = epoch(&world.newcomer, 3, 0, 0);
    made.intent.state_version = Some(2);
    assert_eq!(world.judge(&made), Verdict::Keep);
    assert!(!world.versions.withdraw(world.newcomer.id(), "broken".to_owned(), None));
    assert_eq!(world.judge(&epoch(&world.newcomer, 3, 0, 1)), Verdict::Keep);
    assert!(world.versions.trial().is_some_and(|trial| trial.no_way_back));
    // The next one is on trial after the one that wrote the state.
    let next = version("next");
    world.versions.try_out(next, Rollout::default());
    assert_eq!(world.versions.current().id(), world.newcomer.id());
}

#[tokio::test(start_paused = true)]
async fn a_version_whose_place_another_took_is_not_written_down_any_more() {
    let world = World::new(Rollout::default());
    let next = version("next");
    world.versions.try_out(next.clone(), Rollout::default());
    assert!(matches!(world.judge(&epoch(&world.newcomer, 3, 0, 0)), Verdict::Withdraw { .. }));
    assert_eq!(world.runs(0), *next.id());
    world.versions.try_out(world.before.clone(), Rollout::default());
    assert_eq!(world.runs(0), *world.before.id(), "the version before needs no trial");
    assert!(world.versions.trial().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_being_made_by_a_version_that_runs_no_more_is_made_again() {
    // An operator goes back while a lane is in the midst of an epoch on which the newcomer faults.
    let world = World::new(Rollout::default());
    world.versions.replace(world.before.clone());
    assert!(matches!(world.judge(&epoch(&world.newcomer, 3, 0, 1)), Verdict::Withdraw { .. }));
    // Two others come meanwhile, one in the place of the other.
    let world = World::new(Rollout::default());
    for next in ["next", "one more"] {
        world.versions.try_out(version(next), Rollout::default());
    }
    assert!(matches!(world.judge(&epoch(&world.newcomer, 3, 0, 1)), Verdict::Withdraw { .. }));
    assert!(world.versions.withdraw(world.newcomer.id(), "it can't be run".to_owned(), None));
    assert!(!world.versions.withdraw(world.before.id(), "it can't be run".to_owned(), None), "it runs");
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_plugins_that_come_change_and_go() {
    let (plugins, versions) = (Plugins::default(), Arc::new(Versions::new(version("old"))));
    assert!(plugins.changed().now_or_never().is_none());
    plugins.insert(versions.clone());
    plugins.changed().await;
    versions.try_out(version("new"), Rollout::default());
    plugins.changed().await;
    plugins.remove(&PluginKey::new("default", "plugin"));
    plugins.changed().await;
    assert!(plugins.all().is_empty());
}

#[test]
fn a_version_goes_on_with_what_is_at_hand_where_tables_are_the_same() {
    assert!(version("a").takes_over_from(&version("a")));
    assert!(!version("a").takes_over_from(&version("b")));
    assert!(version("a").is_for(&lane(3)));
    let of_other = LaneId { topic: "other".to_owned(), ..lane(3) };
    assert!(!version("a").is_for(&of_other));
    assert!(version("a").reads(&[]) && !version("a").reads(&[1]));
    let shown = version("a").id().to_string();
    assert!(shown.starts_with("bronze.") && shown.len() == 13, "{shown}");
}
