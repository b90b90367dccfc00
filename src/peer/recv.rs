//! peer/recv
