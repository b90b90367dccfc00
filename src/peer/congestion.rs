//! peer/congestion
