//! store/segment
