//! io/os
