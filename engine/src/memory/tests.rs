#![expect(clippy::unwrap_used, reason = "tests")]

use futures::FutureExt;
use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

/// Takes epochs until one has to wait.
fn fill(account: &Account, bytes: usize) -> Vec<Booking> {
    std::iter::from_fn(|| account.room(bytes).now_or_never()).collect()
}

fn held(memory: &Memory, tenant: &str) -> usize {
    let all = memory.tenants();
    all.iter().find(|held| &*held.tenant == tenant).unwrap().bytes.iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn a_lone_tenant_gets_half_and_a_second_one_half_of_what_is_left() {
    let memory = Memory::new(1600 * MIB); // 1,200 of which are for epochs
    let (a, b) = (memory.account("a"), memory.account("b"));
    let first = fill(&a, MIB);
    assert_eq!(held(&memory, "a"), 600 * MIB);
    let second = fill(&b, MIB);
    assert_eq!(held(&memory, "b"), 300 * MIB);
    drop((first, second));
    assert_eq!(memory.held(), 0);
}

#[test]
fn weights_count() {
    let memory = Memory::new(1600 * MIB);
    memory.share("heavy", 3);
    let _kept = fill(&memory.account("heavy"), MIB);
    assert_eq!(held(&memory, "heavy"), 900 * MIB);
}

#[test]
fn who_holds_no_epoch_is_let_in_however_little_is_free() {
    let memory = Memory::new(8 * MIB);
    let _remembered = memory.account("a").book(For::State, 100 * MIB);
    let b = memory.account("b");
    let first = b.room(64 * MIB).now_or_never();
    assert!(first.is_some());
    assert!(b.room(1).now_or_never().is_none(), "but with one alone");
    assert_eq!(b.epoch_bytes(32 * MIB), LEAST_EPOCH_BYTES);
}

#[test]
fn lanes_collect_less_where_little_is_free() {
    let memory = Memory::new(1600 * MIB);
    let a = memory.account("a");
    assert_eq!(a.epoch_bytes(32 * MIB), 32 * MIB);
    let _others = memory.account("b").book(For::Epochs, 1120 * MIB);
    assert_eq!(a.epoch_bytes(32 * MIB), 10 * MIB);
}

#[tokio::test]
async fn who_waits_is_let_in_when_there_is_room_the_poorest_tenant_first() {
    let memory = Memory::new(160 * MIB); // 120 of which are for epochs
    let (rich, poor) = (memory.account("rich"), memory.account("poor"));
    let mut kept = fill(&rich, 10 * MIB);
    let _first = poor.room(MIB).await;
    let (mut one, mut other) = (Box::pin(rich.room(59 * MIB)), Box::pin(poor.room(59 * MIB)));
    assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
    assert_eq!(memory.tenants().iter().map(|held| held.waiting).sum::<usize>(), 2);
    kept.pop();
    assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_ready());
    kept.clear();
    assert!(futures::poll!(&mut one).is_ready());
}

#[tokio::test]
async fn a_lane_that_gives_up_waiting_holds_nothing() {
    let memory = Memory::new(16 * MIB);
    let a = memory.account("a");
    let kept = a.room(10 * MIB).await;
    {
        let mut waiting = Box::pin(a.room(10 * MIB));
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    drop(kept);
    assert_eq!(memory.held(), 0);
}

#[test]
fn a_guest_grows_up_to_the_limit_and_a_small_one_always() {
    let memory = Memory::new(100 * MIB);
    let account = memory.account("a");
    let mut guest = account.book(For::Guests, MIB);
    assert!(guest.grow(90 * MIB));
    assert!(!guest.grow(101 * MIB));
    let mut small = account.book(For::Guests, MIB);
    assert!(small.grow(LEAST_GUEST_BYTES), "however little is left");
    assert!(!small.grow(LEAST_GUEST_BYTES + 1));
    drop(guest);
    assert_eq!(memory.held(), LEAST_GUEST_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is taken and given back: nobody waits for ever, sums are right, and tenants that want the same hold about the same.
    #[test]
    fn everybody_goes_on(wants in prop::collection::vec((0_usize..6, 1_usize..40), 1..200), limit in 50_usize..500) {
        let memory = Memory::new(limit * MIB);
        let mut waiting: Vec<_> = wants
            .iter()
            .map(|(tenant, mib)| {
                let account = memory.account(&tenant.to_string());
                Box::pin(async move { account.room(mib * MIB).await })
            })
            .collect();
        let mut done = 0;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while done < wants.len() {
            let before = done;
            let mut held = Vec::new();
            waiting.retain_mut(|lane| match lane.as_mut().poll(&mut context) {
                std::task::Poll::Ready(booking) => {
                    held.push(booking);
                    false
                }
                std::task::Poll::Pending => true,
            });
            done += held.len();
            let largest = 40 * 6; // each tenant's one epoch that is always let in
            prop_assert!(memory.held() <= (limit + largest) * MIB);
            prop_assert!(done > before, "{} of {} lanes wait for ever", waiting.len(), wants.len());
        }
        prop_assert_eq!(memory.held(), 0);
    }
}
