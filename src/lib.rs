//! Halley: a self-hosted wiki that many people write and read at once, live
//! over plain HTTP.

pub mod live;
pub mod markdown;
pub mod page;
pub mod store;
