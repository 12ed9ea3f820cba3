//! Pages as they are now: rooms, the event log, presence. No Rocket, no sled.

pub mod document;
mod facade_stub;
pub mod gate;

pub use facade_stub::*;
