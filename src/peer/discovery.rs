//! peer/discovery
