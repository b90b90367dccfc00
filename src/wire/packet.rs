//! wire/packet
