//! node/verify
