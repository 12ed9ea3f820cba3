//! A cache that looks at an address without its query: whoever asks later gets the first one's answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::http::Head;
use super::mode::Asked;

/// Longer answers are kept up to here.
const KEPT: usize = 64 * 1024;

/// Answers by path and mode of reading.
#[derive(Default)]
pub struct Replay(Mutex<HashMap<String, (Head, Vec<u8>)>>);

impl Replay {
    /// What was answered before, as far as it had come.
    pub fn find(&self, asked: &Asked) -> Option<(Head, Vec<u8>)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key(asked)).filter(|(_, body)| !body.is_empty()).cloned()
    }

    /// Begins to keep an answer, and says under which name; nothing where there is one already.
    pub fn record(&self, asked: &Asked, head: &Head) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.entry(key(asked)) {
            Entry::Occupied(_) => None,
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                entry.insert((head.clone(), Vec::new()));
                Some(key)
            }
        }
    }

    /// Keeps more of it.
    pub fn append(&self, key: &str, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, body)) = kept.get_mut(key) {
            let room = KEPT.saturating_sub(body.len()).min(bytes.len());
            body.extend_from_slice(&bytes[..room]);
        }
    }
}

fn key(asked: &Asked) -> String {
    format!("{} {}", asked.bare(), asked.mode())
}
