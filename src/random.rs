//! Randomness for names, ids and nonces.

use std::sync::atomic::{AtomicU64, Ordering};

/// Unpredictable bytes without a system call per draw: BLAKE3 keyed with a seed from the
/// operating system, over a counter. Drawing cannot fail, so no handler has to cope with that.
pub struct Random {
    seed: [u8; 32],
    counter: AtomicU64,
}

/// Digits of base 32 as RFC 4648 has them, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Random {
    /// Takes a seed from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn from_system() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Self { seed, counter: AtomicU64::new(0) })
    }

    /// 32 fresh bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.seed, &n.to_le_bytes()).as_bytes()
    }

    /// `length` (at most 32) random characters of `a-z2-7`, 5 bits each.
    #[must_use]
    pub fn base32(&self, length: usize) -> String {
        let bytes = self.bytes();
        bytes.iter().take(length).map(|b| char::from(BASE32[usize::from(b % 32)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_equal() {
        let random = Random::from_system().unwrap();
        let drawn: std::collections::HashSet<_> = (0..1000).map(|_| random.base32(16)).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(drawn.iter().all(|d| d.len() == 16));
    }
}
