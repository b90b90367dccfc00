//! seal/phrase
