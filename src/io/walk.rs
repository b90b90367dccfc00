//! io/walk
