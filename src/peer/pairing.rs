//! peer/pairing
