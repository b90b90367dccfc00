//! node/ports
