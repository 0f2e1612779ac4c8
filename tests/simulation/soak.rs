//! What only shows after a long time.

use std::time::Duration;

use engine::simulation::Process;
use harness::simulation::{End, simulate};

/// GIVEN three thousand epochs, every twentieth of which meets a fault of the tables, WHEN one process runs through all of
/// them, THEN the last commits are made like the first.
#[test]
fn three_thousand_commits_in_one_process() {
    const COMMITS: usize = 3_000;
    simulate(7, 100, async |world| {
        world.topics.create("t", 1);
        world.produce(0, COMMITS);
        world.batch.max_messages = 1;
        world.batch.linger = Duration::ZERO;
        world.tables.trouble(50);
        world.start(Process::default());
        assert!(matches!(world.ended().await, End::Itself(Ok(()))));
        assert_eq!(world.disk.commits().len(), COMMITS);
        assert!(world.tables.faults() > 100, "{} faults", world.tables.faults());
        world.finish().await;
        world.check();
    });
}
