//! feed/chain
