//! io/place
