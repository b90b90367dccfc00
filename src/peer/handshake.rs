//! peer/handshake
