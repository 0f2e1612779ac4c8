//! How much memory a step takes at its highest, counted at the allocator, and how much it may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that are allocated now, and the most that there were since [`within_budget`] began. The decoder has one thread.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While the bytes are moved, both are there.
        taken(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn taken(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    HIGHEST.fetch_max(live, Relaxed);
}

/// What decoding so many bytes may hold (`engine/decode/src/budget.rs`), and the arrays of the targets' columns, which are
/// there for the shortest message as well.
#[must_use]
pub fn budget(bytes: usize) -> usize {
    const ARRAYS: usize = 32 << 10;
    ARRAYS + debezium_decode::memory_budget(bytes)
}

/// Does something with so many bytes of input.
///
/// # Panics
/// It took more than twice the budget beside what was there before: once for what it keeps, once for what grows by
/// doubling.
pub fn within_budget<T>(bytes: usize, step: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    HIGHEST.store(before, Relaxed);
    let result = step();
    let taken = HIGHEST.load(Relaxed).saturating_sub(before);
    assert!(taken <= 2 * budget(bytes), "{taken} bytes were taken for {bytes} of input, budget {}", budget(bytes));
    result
}
