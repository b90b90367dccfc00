//! io/threads
