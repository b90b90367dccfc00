//! node/keep
