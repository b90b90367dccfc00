//! feed/view
