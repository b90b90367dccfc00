//! io/target
