//! face/routes
