//! The system's part: CPU time of threads, and their priority.

use std::time::Duration;

/// How much less than the process's a thread's priority becomes: that is a tenth of the weight in Linux's scheduler.
#[cfg(target_os = "linux")]
const NICER: libc::c_int = 10;

/// Lowers the calling thread to a tenth of the weight of others in Linux's scheduler; elsewhere it would be the whole process's.
/// Threads that it starts have the same.
pub(crate) fn yield_to_others() {
    Thread::current().yield_to_others();
}

/// CPU time of the calling thread: unlike the time of day it does not count what other threads did meanwhile.
#[must_use]
pub fn thread_time() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// A thread, for others that watch it. Only while it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread {
    clock: libc::clockid_t,
    #[cfg(target_os = "linux")]
    id: libc::id_t,
}

impl Thread {
    pub(super) fn current() -> Self {
        let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: the calling thread's own handle, and a place for the answer. If it fails, the watcher's own clock is read, and
        // the watched thread seems never to run for long.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        Self {
            clock,
            // SAFETY: asks for a number.
            #[cfg(target_os = "linux")]
            id: unsafe { libc::gettid() }.cast_unsigned(),
        }
    }

    /// Its CPU time so far.
    pub(super) fn time(self) -> Duration {
        read(self.clock)
    }

    /// Lowers its priority, for good: only a privileged process could raise it again. Not to the lowest: what the system
    /// never runs would hold what it holds for ever.
    pub(super) fn yield_to_others(self) {
        #[cfg(target_os = "linux")]
        // SAFETY: both take numbers alone; on Linux one that `gettid` gave is a thread's, and that of the process its first
        // thread's, which is never lowered. If it fails, nothing changes.
        unsafe {
            let own = libc::getpriority(libc::PRIO_PROCESS, libc::getpid().cast_unsigned());
            libc::setpriority(libc::PRIO_PROCESS, self.id, own + NICER); // 19 at most: the system sees to that
        }
    }
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
