//! sim/net
