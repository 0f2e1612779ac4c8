//! Threads that take turns.
//!
//! *Invariant:* as many turns are under way, or free, as the pool began with. Who has one is in `turns`, or about to be: it was
//! given to a piece that its thread has not taken yet.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::{Thread, thread_time};
use super::meter::{Meter, Of, Used};
use crate::fair::{Granted, Party, Queue, Share};

/// CPU time after which a piece waits if another tenant is due: a small part of what an epoch takes on its way, and a thousand
/// times what it costs to change threads.
const QUANTUM: Duration = Duration::from_millis(10);
/// A piece that is not at a checkpoint within this CPU time loses its turn: five times what a chunk of wide rows takes.
const MOST_CPU: Duration = Duration::from_millis(100);
/// The same on the clock: it waits for a disk, or other processes have the cores.
const MOST_TIME: Duration = Duration::from_secs(1);
/// A piece with so much CPU time behind it goes on at low priority: far more than an epoch of good rows takes, so it is a guest
/// that spins or a backlog of slow rows: other processes and the threads that serve I/O go first, and so does each piece that is due.
const LONG: Duration = Duration::from_millis(750);
/// How often turns are looked at.
const LOOK: Duration = Duration::from_millis(25);
/// Pieces that wait in their midst, each on a thread and with what it has made so far. Beyond, pieces run to their ends.
const MOST_PAUSED: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// What a pool does about slow pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// They lose their turns.
    Watched,
    /// Nobody waits for it, and its threads have low priority from the beginning.
    Background,
}

#[derive(Debug)]
pub(super) struct Pool {
    name: &'static str,
    manners: Manners,
    began: Instant,
    state: Mutex<State>,
    /// There is work for a thread.
    work: Condvar,
    /// There are turns to be looked at.
    watch: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue<Piece>,
    /// By party.
    meters: Vec<Arc<Meter>>,
    /// Turns that nobody has.
    free: usize,
    /// Threads that wait for work.
    idle: usize,
    /// The thread that has the lock looks for work next.
    looks: bool,
    /// Threads that the watch is to start.
    missing: usize,
    /// All turns, so many threads may wait.
    slots: usize,
    /// Work whose turn it is, until a thread takes it.
    started: VecDeque<Started>,
    /// Who runs, by a number.
    turns: BTreeMap<u64, Turn>,
    next_turn: u64,
    paused: usize,
    /// The watch has nothing to look at.
    unwatched: bool,
    closed: bool,
}

/// What waits for a turn.
struct Piece {
    since: Instant,
    what: What,
}

enum What {
    New(Work),
    Paused(Arc<Paused>),
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece")
    }
}

struct Started {
    party: Party,
    expected: Duration,
    work: Work,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Started({:?})", self.party)
    }
}

/// A piece that runs, as the watch sees it.
#[derive(Debug)]
struct Turn {
    party: Party,
    thread: Thread,
    /// At the last checkpoint: the thread's CPU time, and the time.
    cpu: Duration,
    at: Instant,
    /// The thread's priority was lowered.
    slowed: bool,
    /// Tells the thread that another has its turn.
    lost: Arc<AtomicBool>,
}

/// A thread in the midst of its piece, waiting for another turn.
#[derive(Debug)]
struct Paused {
    turn: u64,
    thread: Thread,
    cpu: Duration,
    slowed: bool,
    lost: Arc<AtomicBool>,
    waits: thread::Thread,
    /// What it is charged with, once it has a turn again.
    expected: Mutex<Duration>,
    granted: AtomicBool,
}

/// The piece that a thread runs.
struct Current {
    pool: Arc<Pool>,
    party: Party,
    tenant: Arc<str>,
    meter: Arc<Meter>,
    turn: u64,
    /// The thread's CPU time when it was charged last.
    since: Duration,
    /// What it was charged with for what follows.
    charged: Duration,
    /// CPU time of the piece so far.
    spent: Duration,
    /// The thread's priority was lowered.
    slowed: bool,
    /// Another has its turn, and it is to wait at its next checkpoint.
    lost: Arc<AtomicBool>,
    /// It does not wait at its checkpoints now.
    holds_on: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A place in a piece of work at which it may be interrupted for a while. Does nothing outside of a pool's threads.
pub fn checkpoint() {
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            current.checkpoint();
        }
    });
}

/// Does something within a piece at whose checkpoints the thread does not wait: it has what others may wait for, such as a lock.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let set =
        |to| CURRENT.with_borrow_mut(|current| current.as_mut().map(|it| std::mem::replace(&mut it.holds_on, to)));
    let before = set(true);
    let done = work();
    set(before.unwrap_or_default());
    done
}

/// Counts CPU time of this thread for the tenant whose piece it runs, if it runs any.
pub(crate) fn note(of: Of, time: Duration) {
    CURRENT.with_borrow(|current| {
        if let Some(current) = current {
            current.meter.note(of, time);
        }
    });
}

/// The tenant whose piece this thread runs, if it runs any.
pub(crate) fn whose() -> Option<Arc<str>> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| current.tenant.clone()))
}

impl Pool {
    pub(super) fn start(name: &'static str, threads: usize, manners: Manners) -> std::io::Result<Arc<Self>> {
        let threads = threads.max(1);
        let state = State {
            queue: Queue::default(),
            meters: Vec::new(),
            free: threads,
            idle: 0,
            looks: false,
            missing: 0,
            slots: threads,
            started: VecDeque::new(),
            turns: BTreeMap::new(),
            next_turn: 0,
            paused: 0,
            unwatched: false,
            closed: false,
        };
        let (work, watch) = (Condvar::new(), Condvar::new());
        let pool = Arc::new(Self { name, manners, began: Instant::now(), state: Mutex::new(state), work, watch });
        let begun = (0..threads).try_for_each(|_| pool.spawn()).and_then(|()| {
            if manners == Manners::Background {
                return Ok(());
            }
            let watched = pool.clone();
            thread::Builder::new().name("engine-watch-cpu".into()).spawn(move || watched.watch()).map(drop)
        });
        begun.inspect_err(|_| pool.close()).map(|()| pool)
    }

    fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let pool = self.clone();
        thread::Builder::new().name(self.name.into()).spawn(move || pool.serve()).map(drop)
    }

    fn spawn_or_log(self: &Arc<Self>) {
        if let Err(error) = self.spawn() {
            tracing::error!(%error, "no more threads for transforms: pieces wait for those that there are");
        }
    }

    /// What is waiting is done, nothing more is taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.watch.notify_all();
    }

    pub(super) fn share(self: &Arc<Self>, tenant: &str, share: Share) {
        let (at, mut state) = (self.now(), self.lock());
        let party = state.party(tenant);
        state.queue.share(party, share, at);
        self.dispatch(&mut state); // one that had a cap may have none any more
    }

    pub(super) fn push(self: &Arc<Self>, tenant: &str, work: Work) {
        let (at, mut state) = (self.now(), self.lock());
        let party = state.party(tenant);
        state.queue.push(party, Piece { since: Instant::now(), what: What::New(work) }, at);
        self.dispatch(&mut state);
    }

    pub(super) fn charge(&self, tenant: &str, of: Of, time: Duration) {
        let (at, mut state) = (self.now(), self.lock());
        let party = state.party(tenant);
        state.queue.charge(party, time, Duration::ZERO, at);
        let meter = state.meters[party.index()].clone();
        drop(state);
        meter.note(of, time);
        meter.spent(time);
    }

    pub(super) fn used(&self) -> Vec<Used> {
        let state = self.lock();
        let used = |(party, tenant, share): (Party, &Arc<str>, Share)| {
            let waits = state.queue.waiting(party).map(|piece| piece.since.elapsed()).max();
            state.meters[party.index()].used(tenant.clone(), share, waits)
        };
        state.queue.parties().map(used).collect()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whatever panics here is caught before the lock is given back: what is behind it is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the turns that are free. The only place that does.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        while state.free > 0 || state.takes_from_slowed(self.now()) {
            let Some(Granted { party, what, expected }) = state.queue.next(self.now()) else { break };
            state.free -= 1;
            state.meters[party.index()].waited(what.since.elapsed());
            match what.what {
                What::New(work) => {
                    state.started.push_back(Started { party, expected, work });
                    self.find_thread(state);
                }
                What::Paused(paused) => {
                    state.paused -= 1;
                    let Paused { turn, thread, cpu, slowed, ref lost, .. } = *paused;
                    lost.store(false, Ordering::Relaxed);
                    let (at, lost) = (Instant::now(), lost.clone());
                    state.turns.insert(turn, Turn { party, thread, cpu, at, slowed, lost });
                    *paused.expected.lock().unwrap_or_else(PoisonError::into_inner) = expected;
                    paused.granted.store(true, Ordering::Release);
                    paused.waits.unpark();
                }
            }
        }
        if state.unwatched && state.needs_watch() {
            self.watch.notify_one();
        }
    }

    /// Somebody for what was started last. Threads of pieces that are paused, or have lost their turns, are missing. The watch
    /// starts others: they have the priority of who starts them, and this thread's may have been lowered.
    fn find_thread(self: &Arc<Self>, state: &mut State) {
        let others = state.started.len() - usize::from(state.looks);
        if others == 0 {
            return;
        }
        if state.idle >= others {
            return self.work.notify_one();
        }
        match self.manners {
            Manners::Watched => {
                state.missing += 1;
                self.watch.notify_one();
            }
            Manners::Background => self.spawn_or_log(),
        }
    }

    /// A thread's life.
    fn serve(self: Arc<Self>) {
        if self.manners == Manners::Background {
            Thread::current().yield_to_others();
        }
        let mut state = self.lock();
        loop {
            if let Some(started) = state.started.pop_front() {
                let Started { party, expected, work } = started;
                CURRENT.set(Some(self.take(&mut state, party, expected)));
                drop(state);
                work();
                state = self.lock();
                if self.end(&mut state) {
                    return; // only the privileged could raise its priority again
                }
                continue;
            }
            if state.closed || state.idle >= state.slots {
                return;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn take(self: &Arc<Self>, state: &mut State, party: Party, charged: Duration) -> Current {
        let turn = state.next_turn;
        state.next_turn += 1;
        let since = thread_time();
        let (thread, at, lost) = (Thread::current(), Instant::now(), Arc::new(AtomicBool::new(false)));
        state.turns.insert(turn, Turn { party, thread, cpu: since, at, slowed: false, lost: lost.clone() });
        Current {
            pool: self.clone(),
            party,
            tenant: state.queue.name(party).clone(),
            meter: state.meters[party.index()].clone(),
            turn,
            since,
            charged,
            spent: Duration::ZERO,
            slowed: false,
            lost,
            holds_on: false,
        }
    }

    /// The piece of this thread is done. Says whether the thread's priority was lowered for it.
    fn end(self: &Arc<Self>, state: &mut State) -> bool {
        let mut current = CURRENT.take().expect("set when the piece began, by this thread");
        let at = self.now();
        current.settle(state, at);
        state.queue.learn(current.party, current.spent);
        current.give_back(state, at);
        state.looks = !current.slowed;
        self.dispatch(state);
        state.looks = false;
        current.slowed
    }

    /// Starts threads, takes turns away, and lets those go on that were above their caps.
    fn watch(self: Arc<Self>) {
        let mut state = self.lock();
        while !state.closed || state.needs_watch() {
            for _ in 0..std::mem::take(&mut state.missing) {
                self.spawn_or_log();
            }
            if !state.needs_watch() {
                state.unwatched = true;
                state = self.watch.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.unwatched = false;
                continue;
            }
            state = self.watch.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            state.take_away(self.now());
            self.dispatch(&mut state);
        }
    }
}

impl State {
    fn party(&mut self, tenant: &str) -> Party {
        let party = self.queue.party(tenant);
        if self.meters.len() <= party.index() {
            self.meters.push(Arc::default());
        }
        party
    }

    fn needs_watch(&self) -> bool {
        self.free < self.slots || self.queue.next_release().is_some()
    }

    /// Takes the turn of a piece of low priority that somebody goes before. It may be long until its next checkpoint: the system
    /// lets other processes go before it as well.
    fn takes_from_slowed(&mut self, at: Duration) -> bool {
        let Self { turns, queue, .. } = self;
        let other = turns.extract_if(.., |_, turn| turn.slowed && queue.is_before(turn.party, at)).next();
        if let Some((_, turn)) = &other {
            turn.lost.store(true, Ordering::Relaxed);
            self.queue.hold(turn.party, at);
            self.free += 1;
        }
        other.is_some()
    }

    /// Takes the turns of pieces that were at no checkpoint for long.
    fn take_away(&mut self, at: Duration) {
        let slow =
            |turn: &Turn| turn.at.elapsed() > MOST_TIME || turn.thread.time().saturating_sub(turn.cpu) > MOST_CPU;
        for (_, turn) in self.turns.extract_if(.., |_, turn| slow(turn)) {
            turn.thread.yield_to_others();
            self.queue.hold(turn.party, at);
            self.free += 1;
        }
    }
}

impl Current {
    fn checkpoint(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if self.holds_on || !lost && thread_time().saturating_sub(self.since) < QUANTUM {
            return;
        }
        let pool = self.pool.clone();
        let (at, mut state) = (pool.now(), pool.lock());
        self.settle(&mut state, at);
        if self.spent > LONG && !self.slowed && pool.manners == Manners::Watched {
            Thread::current().yield_to_others();
            self.slowed = true;
        }
        let stays = !state.queue.is_before(self.party, at)
            || state.paused >= MOST_PAUSED && !state.queue.is_above_cap(self.party, at);
        if stays && let Some(turn) = state.turns.get_mut(&self.turn) {
            (turn.cpu, turn.at, turn.slowed) = (self.since, Instant::now(), self.slowed);
            return;
        }
        self.give_back(&mut state, at);
        let paused = Arc::new(Paused {
            turn: self.turn,
            thread: Thread::current(),
            cpu: self.since,
            slowed: self.slowed,
            lost: self.lost.clone(),
            waits: thread::current(),
            expected: Mutex::default(),
            granted: AtomicBool::new(false),
        });
        state.paused += 1;
        let piece = Piece { since: Instant::now(), what: What::Paused(paused.clone()) };
        state.queue.push_first(self.party, piece, at);
        pool.dispatch(&mut state); // perhaps to itself
        drop(state);
        while !paused.granted.load(Ordering::Acquire) {
            thread::park();
        }
        self.charged = *paused.expected.lock().unwrap_or_else(PoisonError::into_inner);
        self.since = thread_time();
    }

    /// Charges the tenant with what the thread has spent since it was charged last.
    fn settle(&mut self, state: &mut State, at: Duration) {
        let now = thread_time();
        let cost = now.saturating_sub(self.since);
        state.queue.charge(self.party, cost, std::mem::take(&mut self.charged), at);
        self.meter.spent(cost);
        self.spent += cost;
        self.since = now;
    }

    /// Ends the turn, which may have been lost before.
    fn give_back(&mut self, state: &mut State, at: Duration) {
        state.queue.ended(self.party);
        if state.turns.remove(&self.turn).is_some() {
            state.free += 1;
        } else {
            state.queue.release(self.party, at);
            self.slowed = true;
        }
    }
}
