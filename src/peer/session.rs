//! peer/session
