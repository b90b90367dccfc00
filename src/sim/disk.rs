//! sim/disk
