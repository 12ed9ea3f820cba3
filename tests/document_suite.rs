//! The document: loading, differences against any state vector, and the three-way merge.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "gate_suite/editors.rs"]
#[expect(dead_code, reason = "shared with the tests of the gate")]
mod editors;
#[path = "document_suite/lifecycle.rs"]
mod lifecycle;
#[path = "document_suite/merge.rs"]
mod merge;
