//! The update gate: what it refuses, what it lets through, and that nothing it lets through can
//! hurt the document.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "gate_suite/differential.rs"]
mod differential;
#[path = "gate_suite/editors.rs"]
mod editors;
#[path = "gate_suite/mutants.rs"]
mod mutants;
#[path = "gate_suite/real_updates.rs"]
mod real_updates;
#[path = "gate_suite/refusals.rs"]
mod refusals;
#[path = "gate_suite/wire.rs"]
mod wire;
