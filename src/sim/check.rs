//! sim/check
