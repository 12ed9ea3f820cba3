//! Draws one of the states in which a power loss may leave a [`Disk`], and writes it out.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::disk::{Change, Disk, File, Kind, Names, Node, set};

/// How a drawing is made.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    seed: u64,
    /// Bytes that reach the disk together or not at all.
    grain: u64,
    names: Luck,
    /// `None`: each file has its own luck.
    files: Option<Luck>,
}

/// What became of the changes that nobody synced.
#[derive(Clone, Copy, Debug)]
enum Luck {
    /// None was kept.
    Nothing,
    /// All were kept.
    Everything,
    /// The first ones were kept, in their order.
    Beginning,
    /// Any of them; this many of a hundred are the newest state.
    Any(u32),
    /// The length was kept and the bytes were not. For names: everything.
    LengthOnly,
    /// The same, and where the file grew there is what the disk had there before, as on file
    /// systems that write lengths ahead of data.
    Junk,
}

impl Luck {
    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Beginning,
            4 if rng.random() => Self::LengthOnly,
            4 => Self::Junk,
            5 => Self::Any(90),
            6 => Self::Any(10),
            _ => Self::Any(50),
        }
    }

    /// Of `count` changes that followed each other, how many are seen.
    fn of(self, count: usize, rng: &mut StdRng) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything | Self::LengthOnly | Self::Junk => count,
            Self::Beginning => rng.random_range(0..=count),
            Self::Any(percent) if rng.random_ratio(percent, 100) => count,
            Self::Any(_) if rng.random() => 0,
            Self::Any(_) => rng.random_range(0..=count),
        }
    }
}

impl Drawing {
    /// What a running system sees.
    pub fn everything() -> Self {
        let all = Luck::Everything;
        Self { seed: 0, grain: 4096, names: all, files: Some(all) }
    }

    pub fn new(rng: &mut StdRng) -> Self {
        Self {
            seed: rng.random(),
            grain: if rng.random() { 512 } else { 4096 },
            names: Luck::draw(rng),
            files: rng.random::<bool>().then(|| Luck::draw(rng)),
        }
    }

    /// Writes the state to `to`, an empty directory.
    pub fn write(self, disk: &Disk, to: &Path) {
        let rng = &mut StdRng::seed_from_u64(self.seed);
        let mut changed: HashMap<Node, Names> = HashMap::new();
        let kept = self.names.of(disk.renames.len(), rng);
        for (index, renamed) in disk.renames.iter().enumerate() {
            let keep = match self.names {
                Luck::Any(percent) => rng.random_ratio(percent, 100),
                _ => index < kept,
            };
            for (dir, name, node) in renamed.names.iter().filter(|_| keep) {
                set(changed.entry(*dir).or_insert_with(|| disk.durable(*dir).clone()), name, *node);
            }
        }
        self.write_dir(disk, 0, to, &changed, rng);
    }

    fn write_dir(
        self,
        disk: &Disk,
        dir: Node,
        to: &Path,
        changed: &HashMap<Node, Names>,
        rng: &mut StdRng,
    ) {
        for (name, node) in changed.get(&dir).unwrap_or_else(|| disk.durable(dir)) {
            let path = to.join(name);
            match &disk.nodes[*node] {
                Kind::Dir { .. } => {
                    fs::create_dir(&path).unwrap();
                    self.write_dir(disk, *node, &path, changed, rng);
                }
                Kind::File(file) => {
                    let luck = self.files.unwrap_or_else(|| Luck::draw(rng));
                    let mut bytes = self.bytes(file, luck, rng);
                    if matches!(luck, Luck::Junk) {
                        spoil(&mut bytes[file.reserved()..], disk, rng);
                    }
                    fs::write(&path, bytes).unwrap();
                }
            }
        }
    }

    fn bytes(self, file: &File, luck: Luck, rng: &mut StdRng) -> Vec<u8> {
        let mut lengths = vec![file.durable.len() as u64];
        for pending in &file.pending {
            lengths.push(pending.change.length(lengths[lengths.len() - 1]));
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let count = file.pending.len();
        let mut bytes = file.durable.clone();
        bytes.resize(longest as usize, 0);
        let seen = luck.of(count, rng);
        // How much of the history each sector has seen.
        let mut sectors: HashMap<u64, usize> = HashMap::new();
        for (index, pending) in file.pending.iter().enumerate() {
            let (from, to) = match &pending.change {
                Change::Write { at, data } => (*at, at + data.len() as u64),
                Change::Length(length) => (*length, longest),
                Change::Reserve(_) => continue,
            };
            for sector in from / self.grain..to.div_ceil(self.grain) {
                let seen = *sectors.entry(sector).or_insert_with(|| match luck {
                    Luck::Any(_) => luck.of(count, rng),
                    Luck::LengthOnly | Luck::Junk => 0,
                    // The last write that is seen was torn.
                    Luck::Beginning if seen > 0 && rng.random() => seen - 1,
                    _ => seen,
                });
                if index < seen {
                    let start = sector * self.grain;
                    pending.change.apply(&mut bytes, start, (start + self.grain).min(longest));
                }
            }
        }
        bytes.truncate(lengths[seen] as usize);
        bytes
    }
}

/// Fills `bytes` with some of what is in another file.
fn spoil(bytes: &mut [u8], disk: &Disk, rng: &mut StdRng) {
    let old: Vec<&[u8]> = disk
        .nodes
        .iter()
        .filter_map(|node| match node {
            Kind::File(file) if !file.durable.is_empty() => Some(&file.durable[..]),
            _ => None,
        })
        .collect();
    if old.is_empty() {
        return;
    }
    for part in bytes.chunks_mut(4096) {
        let source = old[rng.random_range(0..old.len())];
        let pages = source.chunks(4096).count();
        let page = source.chunks(4096).nth(rng.random_range(0..pages)).unwrap();
        let count = part.len().min(page.len());
        part[..count].copy_from_slice(&page[..count]);
    }
}
