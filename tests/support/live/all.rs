//! What the tests of the live protocol share.
#![allow(dead_code, reason = "each test program uses a part")]

#[path = "editor.rs"]
pub mod editor;
#[path = "sse.rs"]
pub mod sse;
#[path = "wiki.rs"]
pub mod wiki;

/// A seed: `TEST_SEED`, or a new one. Printed, so that a failure can be had again.
pub fn seed() -> u64 {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("TEST_SEED={seed}");
    seed
}
