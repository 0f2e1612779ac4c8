//! What a process takes from itself before it reads what it must not trust: CPU time, memory, files, and almost all
//! system calls.

use std::{fs, io};

/// Takes CPU time beyond `cpu_s`, address space beyond `memory_bytes`, files, core dumps and priority away, and dies with
/// the process that started this one.
pub(super) fn limit(cpu_s: u64, memory_bytes: u64) -> io::Result<()> {
    // When memory is short the system ends this process before the engine. A container may forbid it.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    crate::cpu::yield_to_others();
    #[cfg(target_os = "linux")]
    // SAFETY: both take numbers alone. No file of Rust's is open beside the standard three.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Libraries in C may have opened files that are handed on.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
    rlimit(libc::RLIMIT_CORE, 0, 0)?;
    rlimit(libc::RLIMIT_FSIZE, 0, 0)?;
    rlimit(libc::RLIMIT_AS, memory_bytes, memory_bytes)?;
    // At the first one it gets a signal of its own, by which the engine knows why; at the second it is killed.
    rlimit(libc::RLIMIT_CPU, cpu_s, cpu_s + 1)
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn rlimit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is valid for the call to read.
    if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Where no filter is written for the processor, limits alone confine.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) fn forbid_system_calls() -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use filter::forbid_system_calls;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod filter {
    use std::io;
    use std::mem::offset_of;

    use libc::{seccomp_data, sock_filter, sock_fprog};

    /// What is left: memory, the files that are open, the end. No `kill`: the engine runs under the same user.
    const ALLOWED: [libc::c_long; 20] = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    /// `AUDIT_ARCH_…` of linux/audit.h: numbers of system calls are the architecture's.
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xc000_00b7;

    /// Lets only [`ALLOWED`] through, for good; all others fail with EPERM. A kernel without filters lets all through.
    pub(in super::super) fn forbid_system_calls() -> io::Result<()> {
        let mut program = program();
        let filter = sock_fprog {
            len: u16::try_from(program.len()).expect("some thirty instructions"),
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the first takes numbers alone; `filter` and its program are valid for the second to read.
        let set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
        };
        let error = io::Error::last_os_error();
        if set || error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) }
    }

    /// seccomp(2): each instruction may skip so many of those behind it.
    fn program() -> Vec<sock_filter> {
        let load = |field: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, number(field));
        let unless = |value: u32, skip: u8| sock_filter {
            code: code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
            jt: 0,
            jf: skip,
            k: value,
        };
        let answer = |value: u32| statement(libc::BPF_RET | libc::BPF_K, value);
        let denied = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
        let mut program = vec![
            load(offset_of!(seccomp_data, arch)),
            unless(ARCHITECTURE, 1),
            load(offset_of!(seccomp_data, nr)),
            // Another architecture's number is still the architecture: no system call is.
        ];
        for call in ALLOWED {
            program.push(unless(u32::try_from(call).expect("numbers of system calls are small"), 1));
            program.push(answer(libc::SECCOMP_RET_ALLOW));
        }
        program.push(answer(denied));
        program
    }

    fn statement(op: u32, k: u32) -> sock_filter {
        sock_filter { code: code(op), jt: 0, jf: 0, k }
    }

    fn code(op: u32) -> u16 {
        u16::try_from(op).expect("instructions have 16 bits")
    }

    fn number(field: usize) -> u32 {
        u32::try_from(field).expect("seccomp_data has 64 bytes")
    }
}
