//! Tenants that share a topic.

use engine::simulation::Process;
use harness::simulation::{End, partition, run_shared, simulate};

/// GIVEN three tenants in one topic, WHEN the process crashes at its n-th step, for each n there is, THEN each tenant has its
/// messages once, and what is nobody's is one dead letter.
#[test]
fn a_crash_at_any_step_leaves_each_tenant_its_own_messages() {
    for count in 0.. {
        let crashed = simulate(u64::from(count), 10_000, async |world| {
            world.topics.create("t", 1);
            ["a", "b", "c"].into_iter().for_each(|tenant| world.add_tenant(tenant));
            for number in 0..24 {
                let value = match number % 6 {
                    4 => "no json".to_owned(),
                    other => format!(r#"{{"n":{number},"tenant":"{}"}}"#, ["a", "b", "a", "z", "", "c"][other]),
                };
                world.topics.produce(&partition(0), None, Some(value.as_bytes()));
            }
            world.start(Process::ending_at_count(count));
            let crashed = matches!(world.ended().await, End::Crashed);
            world.finish().await;
            assert_eq!(
                [world.wrong(), world.wrong_shares(&[])].concat(),
                Vec::<String>::new(),
                "crash at step {count}"
            );
            crashed
        });
        if !crashed {
            assert!(count > 60, "a run has more steps than {count}");
            return;
        }
    }
}

/// GIVEN tenants that come and go on, WHEN processes fail, stop and crash as chance has it, THEN each has its messages once.
/// `SEED=n` runs one.
#[test]
fn whatever_happens_each_tenant_has_its_own_messages_once() {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(0..60, |seed: u64| seed..seed + 1);
    let wrong: Vec<_> =
        seeds.map(|seed| (seed, run_shared(seed).wrong)).filter(|(_, wrong)| !wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// GIVEN a seed, WHEN it is run again, THEN the same is committed in the same order.
#[test]
fn a_seed_does_the_same_again() {
    for seed in [3, 14] {
        assert_eq!(run_shared(seed), run_shared(seed), "SEED={seed}");
    }
}
