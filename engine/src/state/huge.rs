//! Large pieces of memory in huge pages: a table of ten million keys has 60,000 pages of 4 KiB, and finding out where a
//! page lies then costs more than the access to it.

/// Smaller pieces have too few whole huge pages in them.
const LEAST_BYTES: usize = 4 << 20;
/// As the kernel wants the address: on a page.
const PAGE: usize = 4 << 10;

/// Asks the kernel for huge pages under this memory, where it allows that (`transparent_hugepage` is `madvise` or
/// `always`). Nothing depends on the answer but the speed.
pub(super) fn ask<T>(memory: &mut [T]) {
    let bytes = size_of_val(memory);
    if bytes < LEAST_BYTES {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let start = memory.as_mut_ptr().cast::<u8>();
        let skip = start.align_offset(PAGE);
        // SAFETY: these pages lie within memory that is borrowed here, and the advice changes nothing of what is in them.
        unsafe { libc::madvise(start.wrapping_add(skip).cast(), bytes - skip, libc::MADV_HUGEPAGE) };
    }
}

/// Gives free memory back to the system, after so many bytes were freed in one piece. glibc's allocator keeps pieces below 32 MiB for
/// what may come, and a table that grows or goes to the disk frees ones that little of what comes fits into: more memory would
/// be taken than the quota knows of. The engine's program has another allocator, which gives them back by itself within a second.
pub(super) fn give_back(bytes: usize) {
    if bytes < LEAST_BYTES / 4 {
        return;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it is allowed at any time, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
