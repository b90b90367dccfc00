//! replicate/place
