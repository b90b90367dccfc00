//! feed/entry
