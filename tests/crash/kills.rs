//! The engine dies at every step of a lane and at random moments; with it, now and then, ClickHouse, the broker or both.

use std::env;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use engine::crash_point::CrashPoint;
use engine::random::Random;
use harness::engine::Setup;
use harness::pipeline::{ARRIVAL, Pipeline};

/// Deaths unless `CRASH_RUNS` says otherwise: each step once, and as many at random moments.
const RUNS: usize = 2 * CrashPoint::ALL.len();
/// Messages of an epoch.
const EPOCH_MESSAGES: usize = 500;
/// So many orders are to come before each death: of each partition ten epochs.
const AHEAD: i64 = 20_000;
/// The longest that an engine is let run before it dies at a random moment.
const MOMENT_MS: u32 = 1_500;

/// What dies with the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    None,
    ClickHouse,
    Broker,
    Both,
}

#[test]
fn tables_are_exact_after_deaths_at_every_step_and_moment() {
    let runs = setting("CRASH_RUNS", RUNS);
    let mut random = Random::new(seed());
    let mut pipeline = Pipeline::new(0, EPOCH_MESSAGES);
    let mut died = Vec::new();
    for run in 0..runs {
        let there = pipeline.arrived_so_far();
        pipeline.produce((there + AHEAD - pipeline.orders).max(0));
        died.push(if run % 2 == 0 {
            let step = CrashPoint::ALL[run / 2 % CrashPoint::ALL.len()];
            die_at(&pipeline.setup, step, &mut random)
        } else {
            die_at_a_moment(&mut pipeline, &mut random)
        });
    }
    pipeline.run_to_the_end();
    println!("{runs} deaths: {}", died.join(", "));
    pipeline.assert_each_arrived_once();
}

/// The engine dies at a step of one of its lanes, some epochs after its start.
pub(crate) fn die_at(setup: &Setup, step: CrashPoint, random: &mut Random) -> String {
    let most = match step {
        CrashPoint::Claimed => 4, // a lane claims once
        CrashPoint::MadeAgain | CrashPoint::Withdrawn => 1,
        CrashPoint::MovedOver => 4,
        CrashPoint::Transformed
        | CrashPoint::Intended
        | CrashPoint::InsertedOne
        | CrashPoint::InsertedAll
        | CrashPoint::Committed => 20,
        CrashPoint::Noted | CrashPoint::DayReplaced => panic!("no lane comes by {}", step.as_str()),
    };
    if step == CrashPoint::MadeAgain {
        // For an epoch to be made again there has to be one that was decided and not ended.
        let _ = die_at(setup, CrashPoint::Intended, random);
    }
    let times = 1 + random.below(most);
    let status = setup.start_to_die(step, times).wait(ARRIVAL);
    assert!(!status.success(), "it ended in good order before {}: {status}", step.as_str());
    format!("{} {times}", step.as_str())
}

/// The engine dies whenever, and with it or some time before it what it works with.
fn die_at_a_moment(pipeline: &mut Pipeline, random: &mut Random) -> String {
    let others = random.pick(&[Others::None, Others::None, Others::ClickHouse, Others::Broker, Others::Both]);
    let mut engine = pipeline.setup.start();
    engine.wait_until_up();
    let moment = live(random);
    if matches!(others, Others::ClickHouse | Others::Both) {
        pipeline.clickhouse.kill();
    }
    if matches!(others, Others::Broker | Others::Both) {
        pipeline.kafka.kill();
    }
    if others != Others::None {
        let _ = live(random);
    }
    engine.kill();
    if matches!(others, Others::Broker | Others::Both) {
        pipeline.kafka.restart();
    }
    if matches!(others, Others::ClickHouse | Others::Both) {
        pipeline.clickhouse.restart();
    }
    format!("after {} ms with {others:?}", moment.as_millis())
}

/// Lets it live for a random time.
#[expect(clippy::disallowed_methods, reason = "nothing is waited for: this is how long it lives")]
pub(crate) fn live(random: &mut Random) -> Duration {
    let moment = Duration::from_millis(random.below(MOMENT_MS).into());
    thread::sleep(moment);
    moment
}

/// What decides the random moments: `CRASH_SEED` gives those of another run again.
pub(crate) fn seed() -> u64 {
    let seed = setting("CRASH_SEED", u64::from(std::process::id()));
    println!("CRASH_SEED={seed}");
    seed
}

pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
