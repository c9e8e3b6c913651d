//! What is allocated, counted where somebody asks for it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

/// The system's allocator, which counts while [`allocated_by`] runs. Else it costs a look at a flag.
pub struct Allocator;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// Bytes that were asked for and not given back.
static BYTES: AtomicI64 = AtomicI64::new(0);

/// What `work` gives, and by how many bytes more is allocated after it than before. `None` where the program runs on
/// another allocator. Other threads count too: there should be none.
pub fn allocated_by<T>(work: impl FnOnce() -> T) -> (T, Option<i64>) {
    IS_COUNTING.store(true, Ordering::Relaxed);
    let before = BYTES.load(Ordering::Relaxed);
    let probe = std::hint::black_box(vec![0u8; 64]);
    let counts = BYTES.load(Ordering::Relaxed) > before;
    drop(probe);
    let given = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    let more = BYTES.load(Ordering::Relaxed) - before;
    (given, counts.then_some(more))
}

fn count(by: i64) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(by, Ordering::Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator; two numbers without a destructor are all that is added.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
