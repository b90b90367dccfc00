//! face/cli
