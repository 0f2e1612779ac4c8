//! One change of the plugin in the midst of a run, and a crash at each step there is, also of the process that recovers.

use engine::simulation::Process;
use harness::simulation::{Change, run_change, simulate};

/// GIVEN a plugin that changes in the midst of a run, WHEN the process crashes at its n-th step, for each n there is, and the
/// one after it does too, or not, THEN the tables hold what one undisturbed version would have made, and no epoch is of two.
fn crashes_at_any_step(change: Change) {
    let (mut before_first_commit, mut on_the_way_back) = (0, 0);
    for first in 0.. {
        let mut crashed = false;
        for second in [12, u32::MAX] {
            let seed = u64::from(first) * 2 + u64::from(second % 2);
            let processes = [first, second].map(Process::ending_at_count);
            let changed = simulate(seed, 100, async |world| run_change(world, change, processes).await);
            assert!(changed.wrong.is_empty(), "{change:?}, steps {first} and {second}: {}", changed.wrong.join("\n"));
            crashed = changed.crashed;
            before_first_commit += usize::from(changed.before_first_commit);
            on_the_way_back += usize::from(changed.on_the_way_back);
            let ran = changed.newcomer_ran || change == Change::WithBug;
            assert!(crashed || ran, "{change:?}: the newcomer made nothing, though nothing crashed");
        }
        if !crashed {
            assert!(first > 30, "a run has more steps than {first}");
            break;
        }
    }
    assert!(
        before_first_commit > 3,
        "{change:?}: {before_first_commit} crashes between the change and the first commit"
    );
    let goes_back = matches!(change, Change::WithBug | Change::AndBack);
    assert!(!goes_back || on_the_way_back > 3, "{change:?}: {on_the_way_back} crashes on the way back");
}

#[test]
fn a_crash_at_any_step_of_a_change_on_the_spot() {
    crashes_at_any_step(Change::OnTheSpot);
}

#[test]
fn a_crash_at_any_step_of_a_change_of_tables() {
    crashes_at_any_step(Change::OtherTable);
}

#[test]
fn a_crash_at_any_step_of_a_change_of_state() {
    crashes_at_any_step(Change::OtherState);
}

#[test]
fn a_crash_at_any_step_of_a_version_that_is_withdrawn() {
    crashes_at_any_step(Change::WithBug);
}

#[test]
fn a_crash_at_any_step_of_a_rollback() {
    crashes_at_any_step(Change::AndBack);
}
