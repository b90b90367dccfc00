//! store/chunks
