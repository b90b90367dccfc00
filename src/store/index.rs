//! store/index
