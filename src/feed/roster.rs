//! feed/roster
