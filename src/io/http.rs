//! io/http
