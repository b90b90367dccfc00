//! io/udp
