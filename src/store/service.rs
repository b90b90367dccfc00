//! store/service
