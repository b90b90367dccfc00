//! node/backup
