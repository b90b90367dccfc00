//! face/bench
