//! `nuthatch.toml`: every key with its meaning, unit, default and range; wrong keys are errors that name the nearest right one.
