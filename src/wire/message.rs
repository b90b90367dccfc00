//! wire/message
