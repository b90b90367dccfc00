//! face/demo
