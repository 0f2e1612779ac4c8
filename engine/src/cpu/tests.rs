use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures::future::{join, join_all};

use super::*;

/// So long a piece goes on in vain before its test fails.
const BOUND: Duration = Duration::from_secs(60);

fn one_core() -> Cpu {
    Cpu::start(1).expect("a thread")
}

/// Works until it is told that somebody else has had a turn; says whether that was so.
fn until(told: &AtomicBool, between: impl Fn()) -> bool {
    let began = Instant::now();
    while !told.load(Ordering::Acquire) && began.elapsed() < BOUND {
        (0..1_000).for_each(|number| _ = std::hint::black_box(number));
        between();
    }
    told.load(Ordering::Acquire)
}

#[tokio::test]
async fn a_loop_without_end_is_preempted_at_its_checkpoints() {
    let (cpu, told) = (one_core(), Arc::new(AtomicBool::new(false)));
    let (seen, tell) = (told.clone(), told.clone());
    let looping = cpu.run("looping", move || until(&seen, checkpoint));
    let other = cpu.run("other", move || tell.store(true, Ordering::Release));
    assert!(join(looping, other).await.0, "the other had no turn on the only core");
}

#[tokio::test]
async fn one_without_checkpoints_loses_its_turn() {
    let (cpu, told) = (one_core(), Arc::new(AtomicBool::new(false)));
    let (seen, tell) = (told.clone(), told.clone());
    let slow = cpu.run("slow", move || until(&seen, || ()));
    let other = cpu.run("other", move || tell.store(true, Ordering::Release));
    assert!(join(slow, other).await.0, "the other had no turn on the only core");
}

#[tokio::test]
async fn one_of_low_priority_has_no_turn_that_another_wants() {
    let (cpu, told) = (one_core(), Arc::new(AtomicBool::new(false)));
    let (tell, seen) = (told.clone(), told.clone());
    let (slowed, is_slow) = oneshot::channel();
    let looping = cpu.run("looping", move || {
        let began = thread_time();
        while thread_time() - began < Duration::from_secs(1) {
            checkpoint();
        }
        let (_, at) = (slowed.send(()), thread_time());
        (until(&seen, || ()), thread_time() - at)
    });
    let other = async {
        is_slow.await.expect("told");
        cpu.run("other", move || tell.store(true, Ordering::Release)).await;
    };
    let ((done, spent), ()) = join(looping, other).await;
    assert!(done && spent < Duration::from_millis(100), "it had its turn for {spent:?} more");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn others_do_not_inherit_a_lowered_priority() {
    // SAFETY: all take numbers alone.
    let (process, own) = unsafe {
        let nice = |of: libc::pid_t| libc::getpriority(libc::PRIO_PROCESS, of.cast_unsigned());
        (nice(libc::getpid()), move || nice(libc::gettid()))
    };
    let cpu = one_core();
    for _ in 0..3 {
        let long = cpu.run("long", move || {
            let began = thread_time();
            while thread_time() - began < Duration::from_secs(1) {
                checkpoint();
            }
            own()
        });
        let others = join_all((0..50).map(|_| cpu.run("other", own)));
        let (long, others) = join(long, others).await;
        assert_eq!(long, (process + 10).min(19), "lowered from where the process is");
        assert!(others.iter().all(|it| *it == process), "{others:?}");
    }
}

#[tokio::test]
async fn one_that_waits_for_something_else_loses_its_turn() {
    let cpu = one_core();
    let (tell, told) = std::sync::mpsc::channel();
    let slow = cpu.run("slow", move || told.recv_timeout(BOUND).is_ok());
    let other = cpu.run("other", move || tell.send(()).is_ok());
    assert_eq!(join(slow, other).await, (true, true));
}

#[tokio::test]
async fn a_tenant_whose_piece_lost_its_turn_gets_no_other_until_it_is_done() {
    let (cpu, told) = (one_core(), Arc::new(AtomicBool::new(false)));
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let order = order.clone();
        move || order.lock().expect("whole").push(what)
    };
    let (seen, tell, done) = (told.clone(), told.clone(), note("slow"));
    let slow = cpu.run("slow", move || {
        assert!(until(&seen, || ()));
        done();
    });
    let (second, other) = (cpu.run("slow", note("its second")), note("other"));
    let other = cpu.run("other", move || {
        other();
        tell.store(true, Ordering::Release);
    });
    join(join(slow, second), other).await;
    assert_eq!(*order.lock().expect("whole"), ["other", "slow", "its second"]);
}

#[tokio::test]
async fn everything_is_done_once_whatever_is_interrupted() {
    const PIECES: usize = 300;
    let (cpu, done) = (Cpu::start(3).expect("threads"), Arc::new(AtomicUsize::new(0)));
    let pieces = (0..PIECES).map(|number| {
        let (cpu, done) = (cpu.clone(), done.clone());
        async move {
            let work = move || {
                let began = thread_time();
                while thread_time() - began < Duration::from_micros(100 * (number as u64 % 300)) {
                    checkpoint();
                }
                done.fetch_add(1, Ordering::Relaxed);
                number
            };
            cpu.run(&format!("tenant {}", number % 7), work).await
        }
    });
    assert_eq!(join_all(pieces).await, (0..PIECES).collect::<Vec<_>>());
    assert_eq!(done.load(Ordering::Relaxed), PIECES);
}

#[tokio::test]
async fn one_that_has_what_others_wait_for_goes_on() {
    let (cpu, lock) = (Cpu::start(2).expect("threads"), Arc::new(Mutex::new(0)));
    let pieces = (0..20).map(|number| {
        let (cpu, lock) = (cpu.clone(), lock.clone());
        async move {
            let work = move || {
                uninterrupted(|| {
                    let mut held = lock.lock().expect("whole");
                    let began = thread_time();
                    while thread_time() - began < Duration::from_millis(15) {
                        checkpoint();
                    }
                    *held += 1;
                });
            };
            cpu.run(&number.to_string(), work).await;
        }
    });
    join_all(pieces).await;
    assert_eq!(*lock.lock().expect("whole"), 20);
}

#[tokio::test]
async fn a_queue_is_emptied_by_the_threads_that_there_are() {
    let (cpu, mut threads) = (one_core(), std::collections::HashSet::new());
    let piece = || {
        std::thread::sleep(Duration::from_millis(1)); // a thread that is started in vain would be there by its end
        std::thread::current().id()
    };
    for _ in 0..50 {
        threads.extend(join_all((0..3).map(|_| cpu.run("a", piece))).await);
    }
    assert!(threads.len() <= 2, "{} threads", threads.len()); // the first may not have been ready for the first piece
}

#[tokio::test]
async fn a_panic_is_the_callers_and_the_thread_goes_on() {
    let cpu = one_core();
    let of = cpu.clone();
    let panicked = tokio::spawn(async move { of.run("a", || panic!("planted")).await }).await;
    assert!(panicked.is_err_and(|error| error.is_panic()));
    assert_eq!(cpu.run("a", || 7).await, 7);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let cpu = one_core();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let first = tokio::spawn({
        let cpu = cpu.clone();
        async move { cpu.run("a", move || told.recv_timeout(BOUND).is_ok()).await }
    });
    let begun = Arc::new(AtomicBool::new(false));
    let note = begun.clone();
    let given_up = cpu.run("a", move || note.store(true, Ordering::Release));
    assert!(futures::poll!(Box::pin(given_up)).is_pending()); // it waits, and is dropped
    tell.send(()).expect("somebody waits");
    assert!(first.await.expect("no panic"));
    cpu.run("a", || ()).await;
    assert!(!begun.load(Ordering::Acquire));
}

#[tokio::test]
async fn cpu_time_is_counted_for_the_tenant_by_what_it_was_for() {
    let cpu = one_core();
    let spend = || {
        let began = thread_time();
        while thread_time() - began < Duration::from_millis(20) {
            checkpoint();
        }
        note(Of::Guest, Duration::from_millis(15));
        whose()
    };
    assert_eq!(cpu.run("a", spend).await.as_deref(), Some("a"));
    cpu.run("a", || ()).await; // the piece before is settled when the thread takes this one
    cpu.charge("a", Of::Encode, Duration::from_millis(5));
    cpu.share("b", Share { weight: 3, cap: None });
    let used = cpu.used();
    let [a, b] = &used[..] else { panic!("{used:?}") };
    assert_eq!((&*a.tenant, &*b.tenant, b.share.weight, b.cpu), ("a", "b", 3, Duration::ZERO));
    let of = |what: &str| a.by.iter().find(|(of, _)| *of == what).map(|(_, time)| *time);
    assert_eq!((of("guest"), of("encode")), (Some(Duration::from_millis(15)), Some(Duration::from_millis(5))));
    assert!(a.cpu >= Duration::from_millis(25), "{:?}", a.cpu);
    assert_eq!(a.by.iter().map(|(_, time)| *time).sum::<Duration>(), a.cpu);
}

#[tokio::test]
async fn nothing_of_it_is_needed_in_place() {
    checkpoint();
    note(Of::Guest, Duration::from_secs(1));
    assert_eq!((Cpu::in_place().run("a", || 7).await, whose()), (7, None));
}
