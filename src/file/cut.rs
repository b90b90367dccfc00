//! file/cut
