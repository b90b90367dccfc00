//! io/calls
