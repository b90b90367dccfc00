//! seal/keys
