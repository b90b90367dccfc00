//! io/mdns
