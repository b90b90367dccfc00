//! peer/timers
