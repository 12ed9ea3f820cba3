//! Sets of clocks as sorted ranges.

/// Up to this many ranges are added one by one.
const FEW: usize = 8;

/// A set of clocks: sorted, non-overlapping, non-empty half-open ranges; neighbours are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: u32, end: u32) {
        if start >= end {
            return;
        }
        // The ranges that touch the new one, neighbours included.
        let first = self.0.partition_point(|range| range.1 < start);
        let last = first + self.0[first..].partition_point(|range| range.0 <= end);
        if first == last {
            self.0.insert(first, (start, end));
            return;
        }
        let merged = (self.0[first].0.min(start), self.0[last - 1].1.max(end));
        self.0[first] = merged;
        self.0.drain(first + 1..last);
    }

    /// Adds ranges that are sorted and do not overlap, in time that is linear in both sets: one by
    /// one, a hostile update of many would move the tail of a large set each time.
    pub(super) fn extend(&mut self, ranges: &[(u32, u32)]) {
        if ranges.len() <= FEW {
            return ranges.iter().for_each(|&(start, end)| self.insert(start, end));
        }
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(self.0.len() + ranges.len());
        let (mut own, mut new) = (self.0.as_slice(), ranges);
        loop {
            let next = match (own.split_first(), new.split_first()) {
                (None, None) => break,
                (Some((first, rest)), other)
                    if other.is_none_or(|(other, _)| first.0 <= other.0) =>
                {
                    own = rest;
                    *first
                }
                (_, Some((first, rest))) => {
                    new = rest;
                    *first
                }
                (Some(_), None) => break,
            };
            match merged.last_mut() {
                Some(last) if next.0 <= last.1 => last.1 = last.1.max(next.1),
                _ => merged.push(next),
            }
        }
        merged.shrink_to_fit();
        self.0 = merged;
    }

    /// Whether every clock of `start..end` is in the set.
    pub(super) fn covers(&self, start: u32, end: u32) -> bool {
        let at = self.0.partition_point(|range| range.1 <= start);
        start >= end || self.0.get(at).is_some_and(|range| range.0 <= start && end <= range.1)
    }

    /// Whether `clock` is in the set.
    pub(super) fn contains(&self, clock: u32) -> bool {
        self.covers(clock, clock.saturating_add(1))
    }

    /// The ranges in order.
    pub(super) fn as_slice(&self) -> &[(u32, u32)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn neighbours_and_overlaps_become_one_range() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 12), (0, 3), (20, 25), (12, 15), (3, 4), (7, 7), (14, 21)] {
            ranges.insert(start, end);
        }
        assert_eq!(ranges.as_slice(), [(0, 4), (10, 25)]);
        assert!(ranges.covers(10, 25) && ranges.covers(0, 4) && ranges.covers(5, 5));
        assert!(!ranges.covers(3, 5) && !ranges.covers(4, 10) && !ranges.covers(24, 26));
        assert!(ranges.contains(24) && !ranges.contains(25) && !ranges.contains(4));
    }

    #[test]
    fn agrees_with_a_plain_set_of_numbers() {
        let mut seed = 0x9e37_79b9_u32;
        let mut next = move |limit: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed % limit
        };
        let mut ranges = Ranges::default();
        let mut plain = [false; 200];
        for round in 0..2_000 {
            if round % 50 == 0 {
                ranges = Ranges::default();
                plain = [false; 200];
            }
            let start = next(190);
            let end = start + next(8);
            ranges.insert(start, end);
            plain[start as usize..end as usize].fill(true);
            // Many at once, as an update brings them.
            let many: Vec<_> = (0..next(19)).map(|at| (at * 10 + next(5), at * 10 + 6)).collect();
            if next(20) == 0 {
                ranges.extend(&many);
                for &(start, end) in &many {
                    plain[start as usize..end as usize].fill(true);
                }
            }
            let low = next(190);
            let high = low + 1 + next(9);
            let expected = plain[low as usize..high as usize].iter().all(|&is| is);
            assert_eq!(ranges.covers(low, high), expected, "{ranges:?} {low}..{high}");
        }
        assert!(ranges.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    }
}
