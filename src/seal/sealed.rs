//! seal/sealed
