//! file/tree
