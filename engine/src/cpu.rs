//! Where CPU-bound work runs: on as many threads as there are cores, apart from the threads that serve I/O, in the
//! order in which it came.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// Runs CPU-bound work of all lanes. The threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// Unbounded, and yet short: each lane has at most one piece of work waiting. `None`: the caller's own thread.
    queue: Option<mpsc::Sender<Work>>,
}

impl Cpu {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        Self::named("engine-cpu", threads)
    }

    /// Starts so many threads of this name, by which the system counts their CPU time.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn named(name: &'static str, threads: usize) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel::<Work>();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads.max(1) {
            let work = work.clone();
            thread::Builder::new().name(name.into()).spawn(move || {
                while let Some(piece) = next(&work) {
                    piece();
                }
            })?;
        }
        Ok(Self { queue: Some(queue) })
    }

    /// One thread, to which the system gives what the others leave: for work that nobody waits for, such as the compilation
    /// of a plugin that comes while others run.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn background() -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel::<Work>();
        thread::Builder::new().name("engine-load".into()).spawn(move || {
            yield_to_others();
            while let Ok(piece) = work.recv() {
                piece();
            }
        })?;
        Ok(Self { queue: Some(queue) })
    }

    /// No threads: work is done where it is asked for. For simulations, in which nothing may depend on a second thread.
    #[must_use]
    pub fn in_place() -> Self {
        Self { queue: None }
    }

    /// Runs a piece of work and gives its result.
    ///
    /// # Panics
    /// If the work panics: a panic is a bug, and stops the lane that caused it, not the thread.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(queue) = &self.queue else { return work() };
        let (done, result) = oneshot::channel();
        let piece = Box::new(move || {
            // The lane may have been aborted meanwhile: then nobody waits for the result.
            drop(done.send(catch_unwind(AssertUnwindSafe(work))));
        });
        queue.send(piece).expect("the threads end after the last queue");
        match result.await.expect("a thread answers before it drops the work") {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Waits for work; `None` when there will be none. The lock is held while waiting: the others wait for it instead.
fn next(work: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// A tenth of the weight of other threads in Linux's scheduler (`nice` 10); elsewhere it would be the whole process's.
pub(crate) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    // SAFETY: `setpriority` takes numbers alone; process 0 is the calling thread on Linux. If it fails, nothing changes.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}

/// CPU time of the calling thread: unlike the time of day it does not count what other threads did meanwhile.
#[must_use]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
