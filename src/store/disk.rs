//! store/disk
