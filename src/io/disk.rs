//! io/disk
