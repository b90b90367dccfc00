//! How the C library's allocator treats what was given back to it.
//!
//! glibc takes each large block from the system at first, but raises the size from which it does so to that of the largest block that was ever
//! given back (mallopt(3), `M_MMAP_THRESHOLD`: "dynamic"). A node moves chunks of a quarter of a MiB to a few MiB all day; from the first
//! one on they would come from heaps that are never handed back, one for each thread, twice what is in use at the end. A threshold that is
//! set stays. This is the only unsafe code of nuthatch, and so it has a crate of its own. With another C library it does nothing: musl's
//! allocator has no such threshold.

/// Sets it, for this process. To be called before there is a second thread.
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two numbers, keeps no pointer, and is called while this is the only thread, as mallopt(3) asks.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// From this size on a block is taken from the system and handed back to it, and so is what is free at the end of the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 128 * 1024;
