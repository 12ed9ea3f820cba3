//! A disk whose cache loses what was not synced: what it must still have after a power loss, and
//! what it may have.
//!
//! The rules are those of POSIX, not of one file system. A sync of a file makes its bytes and its
//! length durable; the name of a new, renamed or removed file is durable after a sync of its
//! directory. Everything else may have reached the disk or not, sector by sector and in any
//! order; a sector holds some state that it had since the last sync.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::{Call, Event};

/// Index of a file or directory.
pub type Node = usize;
/// Names in a directory.
pub type Names = BTreeMap<String, Node>;

/// The disk at one line of the log.
#[derive(Clone)]
pub struct Disk {
    root: PathBuf,
    pub nodes: Vec<Kind>,
    /// Changes of names that no sync has covered, oldest first.
    pub renames: Vec<Renamed>,
    /// Syncs that have begun: the line, and of what.
    syncing: HashMap<usize, Node>,
}

/// A file or a directory.
#[derive(Clone)]
pub enum Kind {
    Dir { now: Names, durable: Names },
    File(File),
}

/// Bytes that must be there, and what may have been done to them since.
#[derive(Clone, Default)]
pub struct File {
    pub durable: Vec<u8>,
    pub pending: Vec<Pending>,
}

/// A change of a file that no sync has covered.
#[derive(Clone)]
pub struct Pending {
    end: usize,
    /// The kernel takes it for written and will not write it any more.
    forgotten: bool,
    pub change: Change,
}

/// What was done to a file.
#[derive(Clone)]
pub enum Change {
    Write {
        at: u64,
        data: Vec<u8>,
    },
    /// Cut or grown to this length.
    Length(u64),
    /// At least this long.
    Reserve(u64),
}

/// A change of names, which happens as one.
#[derive(Clone)]
pub struct Renamed {
    end: usize,
    /// Directory, name, and what it names from now on.
    pub names: Vec<(Node, String, Option<Node>)>,
}

impl File {
    /// Up to where the file has space of its own, in which there are zeros until it is written.
    /// Never more than its length may be.
    pub fn reserved(&self) -> usize {
        let mut length = self.durable.len() as u64;
        let mut reserved = length;
        for pending in &self.pending {
            length = pending.change.length(length);
            match pending.change {
                Change::Reserve(least) => reserved = reserved.max(least),
                Change::Length(cut) => reserved = reserved.min(cut),
                Change::Write { .. } => {}
            }
        }
        reserved.min(length) as usize
    }
}

impl Change {
    /// The length of a file of `length` bytes after this.
    pub fn length(&self, length: u64) -> u64 {
        match self {
            Self::Write { at, data } => length.max(at + data.len() as u64),
            Self::Length(new) => *new,
            Self::Reserve(least) => length.max(*least),
        }
    }

    /// Does this to the bytes from `from` to `to` only; `bytes` is long enough.
    pub fn apply(&self, bytes: &mut [u8], from: u64, to: u64) {
        match self {
            Self::Write { at, data } => {
                let (from, to) = (from.max(*at), to.min(at + data.len() as u64));
                if from < to {
                    bytes[from as usize..to as usize]
                        .copy_from_slice(&data[(from - at) as usize..(to - at) as usize]);
                }
            }
            // What is beyond the end is gone, also when the file grows again.
            Self::Length(length) => {
                if from.max(*length) < to {
                    bytes[from.max(*length) as usize..to as usize].fill(0);
                }
            }
            Self::Reserve(_) => {}
        }
    }
}

impl Disk {
    /// A disk that holds durably what is below `root` now.
    pub fn load(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            nodes: Vec::new(),
            renames: Vec::new(),
            syncing: HashMap::new(),
        };
        disk.load_dir(root);
        disk
    }

    fn load_dir(&mut self, path: &Path) -> Node {
        let node = self.nodes.len();
        self.nodes.push(Kind::Dir { now: Names::new(), durable: Names::new() });
        let mut names = Names::new();
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let child = if path.is_dir() {
                self.load_dir(&path)
            } else {
                self.nodes.push(Kind::File(File {
                    durable: fs::read(&path).unwrap(),
                    pending: Vec::new(),
                }));
                self.nodes.len() - 1
            };
            names.insert(name, child);
        }
        self.nodes[node] = Kind::Dir { now: names.clone(), durable: names };
        node
    }

    /// A call begins. All calls are given in the order of their first lines.
    pub fn begin(&mut self, event: &Event) {
        let end = event.end;
        match &event.call {
            Call::Open { path, create, truncate } => match self.find(path) {
                Some(node) if *truncate => self.change(node, end, Change::Length(0)),
                None if *create => {
                    let node = self.add(Kind::File(File::default()));
                    self.name(end, vec![(path, Some(node))]);
                }
                _ => {}
            },
            Call::Write { path, at, data } => {
                let change = Change::Write { at: *at, data: data.clone() };
                self.change(self.expect(path), end, change);
            }
            Call::Length { path, length } => {
                self.change(self.expect(path), end, Change::Length(*length));
            }
            Call::Reserve { path, length } => {
                self.change(self.expect(path), end, Change::Reserve(*length));
            }
            Call::Sync { path } | Call::SyncFailed { path } => {
                self.syncing.insert(event.start, self.expect(path));
            }
            Call::Rename { from, to } => {
                let node = self.expect(from);
                self.name(end, vec![(from, None), (to, Some(node))]);
            }
            Call::Remove { path } => self.name(end, vec![(path, None)]),
            Call::MakeDir { path } => {
                let node = self.add(Kind::Dir { now: Names::new(), durable: Names::new() });
                self.name(end, vec![(path, Some(node))]);
            }
            Call::Say { .. } => {}
        }
    }

    /// A call has ended. A sync makes durable what had ended before it began.
    pub fn end(&mut self, event: &Event) {
        let Some(node) = self.syncing.remove(&event.start) else { return };
        match &mut self.nodes[node] {
            Kind::File(file) if matches!(event.call, Call::SyncFailed { .. }) => {
                for pending in file.pending.iter_mut().filter(|one| one.end < event.start) {
                    pending.forgotten = true;
                }
            }
            Kind::File(file) => {
                let (covered, left) = std::mem::take(&mut file.pending)
                    .into_iter()
                    .partition(|one: &Pending| one.end < event.start && !one.forgotten);
                file.pending = left;
                for Pending { change, .. } in covered {
                    let length = change.length(file.durable.len() as u64);
                    file.durable.resize(length as usize, 0);
                    change.apply(&mut file.durable, 0, length);
                }
            }
            Kind::Dir { .. } => {
                let (covered, left) =
                    std::mem::take(&mut self.renames).into_iter().partition(|renamed: &Renamed| {
                        renamed.end < event.start
                            && renamed.names.iter().any(|(dir, _, _)| *dir == node)
                    });
                self.renames = left;
                for Renamed { names, .. } in covered {
                    for (dir, name, node) in names {
                        let Kind::Dir { durable, .. } = &mut self.nodes[dir] else { continue };
                        set(durable, &name, node);
                    }
                }
            }
        }
    }

    /// The durable names of a directory.
    pub fn durable(&self, dir: Node) -> &Names {
        match &self.nodes[dir] {
            Kind::Dir { durable, .. } => durable,
            Kind::File(_) => panic!("a file has no names"),
        }
    }

    fn add(&mut self, kind: Kind) -> Node {
        self.nodes.push(kind);
        self.nodes.len() - 1
    }

    fn change(&mut self, node: Node, end: usize, change: Change) {
        match &mut self.nodes[node] {
            Kind::File(file) => file.pending.push(Pending { end, forgotten: false, change }),
            Kind::Dir { .. } => panic!("a directory was written to"),
        }
    }

    fn name(&mut self, end: usize, changes: Vec<(&PathBuf, Option<Node>)>) {
        let mut names = Vec::new();
        for (path, node) in changes {
            let dir = self.expect(path.parent().unwrap());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Kind::Dir { now, .. } = &mut self.nodes[dir] else { panic!("{path:?}: no dir") };
            set(now, &name, node);
            names.push((dir, name, node));
        }
        self.renames.push(Renamed { end, names });
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let mut node = 0;
        for part in path.strip_prefix(&self.root).ok()? {
            let Kind::Dir { now, .. } = &self.nodes[node] else { return None };
            node = *now.get(&*part.to_string_lossy())?;
        }
        Some(node)
    }

    fn expect(&self, path: &Path) -> Node {
        self.find(path).unwrap_or_else(|| panic!("the log does not say where {path:?} is from"))
    }
}

/// Makes `name` mean `node`, or nothing.
pub fn set(names: &mut Names, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}
