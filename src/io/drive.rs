//! io/drive
