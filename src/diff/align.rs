//! Which of some lines or blocks stands for which of others, by how alike they are.

/// Among so many pairs the ones that are most alike are looked for; of more, those that stand at
/// the same place.
pub(super) const MAX_PAIRS: usize = 10_000;

/// Where something stands, by its number on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On both sides.
    Both(usize, usize),
    /// Only before.
    Old(usize),
    /// Only after.
    New(usize),
}

/// All of both sides in the order in which they are read, with those pairs that are most alike
/// together. `likeness` has a row for each of `old` with a number for each of `new`; 0 is no pair.
///
/// Takes time and memory by the product of both: see [`MAX_PAIRS`].
pub(super) fn align(likeness: &[u32], old: usize, new: usize) -> Vec<Place> {
    let best = Best::of(likeness, old, new);
    let mut places = Vec::with_capacity(old + new);
    let (mut i, mut j) = (0, 0);
    while i < old || j < new {
        let sum = best.sum(i, j);
        let like = best.likeness(i, j);
        if like > 0 && sum == like + best.sum(i + 1, j + 1) {
            places.push(Place::Both(i, j));
            (i, j) = (i + 1, j + 1);
        } else if i < old && sum == best.sum(i + 1, j) {
            places.push(Place::Old(i));
            i += 1;
        } else {
            places.push(Place::New(j));
            j += 1;
        }
    }
    places
}

/// How many of the words of two ascending lists are in both: 0 to 1,000 (Dice 1945, with
/// repetitions).
pub(super) fn share(old: &[u32], new: &[u32]) -> u32 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        both += usize::from(a == b);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    match old.len() + new.len() {
        0 => 1_000,
        all => (2_000 * both / all) as u32,
    }
}

/// For each place on both sides, how alike the pairs from there on can be together.
struct Best<'a> {
    likeness: &'a [u32],
    sums: Vec<u32>,
    old: usize,
    new: usize,
}

impl<'a> Best<'a> {
    fn of(likeness: &'a [u32], old: usize, new: usize) -> Self {
        let mut best = Self { likeness, sums: vec![0; (old + 1) * (new + 1)], old, new };
        for i in (0..old).rev() {
            for j in (0..new).rev() {
                let like = best.likeness(i, j);
                let paired = if like > 0 { like + best.sum(i + 1, j + 1) } else { 0 };
                let at = i * (new + 1) + j;
                best.sums[at] = paired.max(best.sum(i + 1, j)).max(best.sum(i, j + 1));
            }
        }
        best
    }

    fn sum(&self, i: usize, j: usize) -> u32 {
        match i <= self.old && j <= self.new {
            true => self.sums[i * (self.new + 1) + j],
            false => 0,
        }
    }

    fn likeness(&self, i: usize, j: usize) -> u32 {
        match i < self.old && j < self.new {
            true => self.likeness[i * self.new + j],
            false => 0,
        }
    }
}
