//! file/map
