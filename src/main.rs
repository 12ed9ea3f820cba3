//! Halley.
fn main() {}
