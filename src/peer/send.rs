//! peer/send
