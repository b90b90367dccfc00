//! file/entry
