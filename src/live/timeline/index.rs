//! Where the items of one client begin.

/// Entries of one chunk: few enough that to insert one moves little, even in a page that was
/// pasted as one piece and then edited in 100,000 places.
const CHUNK: usize = 256;

/// Items by their first clock. Never forgets one.
#[derive(Default)]
pub(super) struct Index {
    /// First clock of each chunk.
    firsts: Vec<u32>,
    /// `(first clock, item)`, ascending; none is empty.
    chunks: Vec<Vec<(u32, u32)>>,
}

impl Index {
    /// Adds an item. Its clock is not there yet.
    pub(super) fn insert(&mut self, clock: u32, item: u32) {
        let Some(at) = self.chunk(clock) else {
            self.firsts.insert(0, clock);
            self.chunks.insert(0, vec![(clock, item)]);
            return;
        };
        let is_last = at + 1 == self.chunks.len();
        let chunk = &mut self.chunks[at];
        let place = chunk.partition_point(|&(first, _)| first < clock);
        if chunk.len() < CHUNK {
            chunk.insert(place, (clock, item));
            return;
        }
        // What is typed comes at the end: then the full chunk stays as it is.
        let keep = if is_last && place == CHUNK { CHUNK } else { CHUNK / 2 };
        let mut second = chunk.split_off(keep);
        if place >= keep {
            second.insert(place - keep, (clock, item));
        } else {
            chunk.insert(place, (clock, item));
        }
        self.firsts.insert(at + 1, second[0].0);
        self.chunks.insert(at + 1, second);
    }

    /// The item that begins last at or before `clock`.
    pub(super) fn find(&self, clock: u32) -> Option<u32> {
        let chunk = &self.chunks[self.chunk(clock)?];
        let after = chunk.partition_point(|&(first, _)| first <= clock);
        after.checked_sub(1).map(|at| chunk[at].1)
    }

    fn chunk(&self, clock: u32) -> Option<usize> {
        // Most look for what was written last.
        if self.firsts.last().is_some_and(|&first| first <= clock) {
            return Some(self.firsts.len() - 1);
        }
        self.firsts.partition_point(|&first| first <= clock).checked_sub(1)
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * (CHUNK * size_of::<(u32, u32)>() + 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_an_ordered_map_finds_however_it_was_filled() {
        for stride in [1, 7, 4_001, 9_999] {
            let mut index = Index::default();
            let mut plain = std::collections::BTreeMap::new();
            for n in 0..10_000_u32 {
                let clock = n.wrapping_mul(stride) % 10_007 * 2;
                if plain.insert(clock, n).is_none() {
                    index.insert(clock, n);
                }
            }
            for clock in 0..20_020 {
                let expected = plain.range(..=clock).next_back().map(|(_, item)| *item);
                assert_eq!(index.find(clock), expected, "{clock}, stride {stride}");
            }
        }
    }
}
