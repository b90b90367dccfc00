//! sim/cluster
