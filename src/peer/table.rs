//! peer/table
