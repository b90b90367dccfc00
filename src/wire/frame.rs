//! wire/frame
