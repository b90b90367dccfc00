//! node/config
