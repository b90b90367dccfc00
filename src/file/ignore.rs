//! file/ignore
