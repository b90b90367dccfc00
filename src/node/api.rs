//! node/api
