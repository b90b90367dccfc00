//! store/feeds
