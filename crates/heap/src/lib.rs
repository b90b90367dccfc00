//! How the C library's allocator treats what was given back to it.
//!
//! glibc gives each thread a heap of its own, and raises the size from which it takes a block straight from the system to that of the largest
//! block that was ever given back (mallopt(3), `M_MMAP_THRESHOLD`: "dynamic"). A node moves chunks of a quarter of a MiB to a few MiB
//! between its threads all day: its heaps grow full of holes and are never handed back, up to twice of what is in use. One heap
//! with fixed thresholds holds little more than is used, and what is free in its midst is handed back when the work is done. (To take every chunk
//! from the system costs more: each page of it is cleared and faulted in anew, a fifth of a node's processor time.)
//!
//! This is the only unsafe code of nuthatch, and so it has a crate of its own. With another C library it does nothing.

/// Sets it, for this process. To be called before there is a second thread.
pub fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two numbers, keeps no pointer, and is called while this is the only thread, as mallopt(3) asks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BYTES);
    }
}

/// Hands all that is free back to the system; takes a few milliseconds at most, and what is wanted again has to be faulted in anew.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim is safe to call from any thread (MT-Safe in malloc_trim(3)) and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From this size on a block is taken from the system and handed back to it; that much may be free at the end of the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 1 << 20;
