//! io/client
