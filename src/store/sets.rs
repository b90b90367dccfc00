//! store/sets
