//! node/restore
