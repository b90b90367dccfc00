//! io/run
