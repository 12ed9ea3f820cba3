//! Pages whose revisions could not be closed, and until when they are left alone.

use std::collections::HashMap;
use std::time::Instant;

use super::QUIET;
use crate::page::PageId;

/// Most pages that are left alone one by one.
const MOST: usize = 1_024;

/// One page that fails does not hold up the others. When very many fail it is not the page, but a
/// full disk, say: then all wait, and nothing is lost by that.
#[derive(Default)]
pub(super) struct Pauses {
    until: HashMap<PageId, Instant>,
}

impl Pauses {
    /// Leaves a page alone for [`QUIET`].
    pub fn begin(&mut self, id: PageId, now: Instant) {
        self.forget_past(now);
        if self.until.len() < MOST {
            let until = self.until.entry(id).or_insert(now + QUIET);
            *until = (*until).max(now + QUIET);
        }
    }

    /// Whether a page is left alone.
    pub fn hold(&mut self, id: PageId, now: Instant) -> bool {
        if self.until.len() >= MOST {
            self.forget_past(now);
        }
        self.until.len() >= MOST || self.until.get(&id).is_some_and(|until| now < *until)
    }

    fn forget_past(&mut self, now: Instant) {
        self.until.retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_is_left_alone_for_a_minute_and_all_are_when_very_many_fail() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        pauses.begin(PageId(1), now);
        let before = now + QUIET.saturating_sub(Duration::from_millis(1));
        assert!(pauses.hold(PageId(1), before) && !pauses.hold(PageId(2), before));
        assert!(!pauses.hold(PageId(1), now + QUIET));
        for id in 0..2 * MOST as u64 {
            pauses.begin(PageId(id), now);
        }
        assert_eq!(pauses.until.len(), MOST, "it is bounded");
        assert!(pauses.hold(PageId(u64::MAX), before));
        assert!(!pauses.hold(PageId(u64::MAX), now + QUIET) && pauses.until.is_empty());
    }
}
