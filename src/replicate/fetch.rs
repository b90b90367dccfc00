//! replicate/fetch
