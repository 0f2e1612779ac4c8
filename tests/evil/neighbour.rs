//! Another tenant's plugin in the same host, at work all the time: what it feels of the evil ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use engine::plugin::{Host, Plugin};
use engine::state::State;

use super::guest::Guest;
use super::{LIMITS, batch, context};

/// Rows of each of its calls.
const ROWS: i64 = 1_000;
/// Between its calls.
const PAUSE: Duration = Duration::from_millis(1);
/// How long it may take to make one more call: a bound for a busy machine, no measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The plugin at work. It checks every row that it makes.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    times: Arc<Mutex<Vec<Duration>>>,
    called: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What it did while one evil guest was there.
pub(crate) struct Felt {
    pub(crate) calls: usize,
    pub(crate) median: Duration,
    pub(crate) longest: Duration,
}

impl Neighbour {
    pub(crate) fn start(host: &Host) -> Self {
        let plugin = host.load(Guest::new("neighbour").module()).expect("an honest plugin").of("other", "neighbour");
        let (stop, times) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (tell, called) = mpsc::channel();
        let work = {
            let (stop, times) = (stop.clone(), times.clone());
            move || {
                let rows = batch(&plugin, (0..ROWS).collect());
                while !stop.load(Ordering::Relaxed) {
                    let took = one_call(&plugin, &rows);
                    times.lock().expect("nobody panics with it").push(took);
                    if tell.send(()).is_err() {
                        break;
                    }
                    // As a lane, it has a batch now and then: what it feels is seen all the same.
                    thread::park_timeout(PAUSE);
                }
            }
        };
        let thread = thread::Builder::new().name("neighbour".into()).spawn(work).expect("a thread");
        Self { stop, times, called, thread: Some(thread) }
    }

    /// Waits until it has made three calls from now on, and says what it did since it was asked last.
    pub(crate) fn felt(&self) -> Felt {
        self.called.try_iter().for_each(drop);
        for _ in 0..3 {
            self.called.recv_timeout(PATIENCE).expect("the neighbour goes on");
        }
        let mut times = std::mem::take(&mut *self.times.lock().expect("nobody panics with it"));
        times.sort_unstable();
        let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied().unwrap_or_default();
        Felt { calls: times.len(), median: at(50), longest: at(100) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A fresh instance and one call, whose rows have to be those that went in.
fn one_call(plugin: &Plugin, rows: &RecordBatch) -> Duration {
    let began = Instant::now();
    let mut state = state(plugin);
    let mut instance = plugin.instance(&context(), LIMITS).expect("the neighbour has its place");
    let answer = instance.process(rows, &mut state).expect("the neighbour is honest");
    let took = began.elapsed();
    let [emitted] = &answer.emitted[..] else { panic!("{answer:?}") };
    let made = emitted.made.column(0).as_any().downcast_ref::<Int64Array>().expect("numbers");
    assert!(made.values().iter().copied().eq(0..ROWS), "the neighbour's rows are its own");
    took
}

/// A lane's state that nothing was kept in yet.
pub(crate) fn state(plugin: &Plugin) -> State {
    let tables = plugin.description().state.as_ref().map_or_else(Vec::new, |state| state.tables.clone());
    State::new(tables, 2 << 20)
}
