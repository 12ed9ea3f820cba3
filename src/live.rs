//! Pages as they are now: rooms, the event log, presence. No Rocket, no sled.

pub mod document;
pub mod gate;
