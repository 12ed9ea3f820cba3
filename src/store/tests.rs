//! Tests that break the disk.
