//! What history takes on disk.

use serde::Serialize;

use super::history::grouped;
use super::wiki_url;
use crate::live::costs::HistoryCosts;
use crate::page::PagePath;
use crate::store::PageCost;
use crate::time;

/// `costs`: what the history of each page takes on disk.
#[derive(Debug, Serialize)]
pub struct CostsView {
    /// The most expensive pages.
    pub pages: Vec<CostRow>,
    /// How many more there are.
    pub more: String,
    /// All of them together; `None` when there is no page.
    pub all: Option<CostRow>,
    /// What the files take: a name and a size each, the last one all together.
    pub files: Vec<(&'static str, String)>,
    /// What was packed last.
    pub last: Option<LastView>,
}

/// What the history of a page takes.
#[derive(Debug, Serialize)]
pub struct CostRow {
    /// Its path; the number of pages in the row of all.
    pub name: String,
    /// Its address, if it has one.
    pub url: Option<String>,
    /// Its path, for the address of its history.
    pub path: String,
    /// True when it is deleted.
    pub deleted: bool,
    /// How many edits it has.
    pub edits: String,
    /// How many percent of them are packed.
    pub packed: String,
    /// What they take, snapshots included.
    pub size: String,
    /// The same for each edit.
    pub per_edit: String,
    /// What packing has saved.
    pub saved: String,
}

/// What was packed last.
#[derive(Debug, Serialize)]
pub struct LastView {
    /// When, in words.
    pub ago: String,
    /// The same as RFC 3339.
    pub iso: String,
    /// How many edits.
    pub edits: String,
    /// Of how many pages.
    pub pages: String,
    /// What they took.
    pub before: String,
    /// What they take.
    pub after: String,
}

impl CostsView {
    /// From what was found.
    #[must_use]
    pub fn new(costs: &HistoryCosts, now_ms: u64) -> Self {
        let pages: Vec<_> = costs
            .pages
            .iter()
            .map(|(page, cost)| CostRow::new(&page.path, page.deleted_ms.is_some(), cost))
            .collect();
        let count = pages.len() + costs.more;
        let plural = if count == 1 { "" } else { "s" };
        let all = (count > 0).then(|| CostRow {
            name: format!("{} page{plural}", grouped(count as u64)),
            ..CostRow::of(&costs.all)
        });
        let files = &costs.files;
        let files = vec![
            ("Packed history", size(files.pack_bytes)),
            ("Database", size(files.record_bytes)),
            ("Journal", size(files.journal_bytes)),
            ("Checkpoint", size(files.checkpoint_bytes)),
            ("All together", size(files.disk_bytes())),
        ];
        let last = costs.last.map(|(at_ms, done)| LastView {
            ago: time::ago(at_ms, now_ms),
            iso: time::iso(at_ms),
            edits: grouped(done.entries),
            pages: grouped(done.pages),
            before: size(done.before_bytes),
            after: size(done.after_bytes),
        });
        Self { pages, more: grouped(costs.more as u64), all, files, last }
    }
}

impl CostRow {
    fn new(path: &PagePath, deleted: bool, cost: &PageCost) -> Self {
        let (name, url) = (path.to_string(), Some(wiki_url(path)));
        Self { path: name.clone(), name, url, deleted, ..Self::of(cost) }
    }

    fn of(cost: &PageCost) -> Self {
        let edits = cost.edits.max(1);
        Self {
            name: String::new(),
            url: None,
            path: String::new(),
            deleted: false,
            edits: grouped(cost.edits),
            packed: format!("{} %", cost.packed_edits * 100 / edits),
            size: size(cost.bytes()),
            per_edit: format!("{:.1}", cost.bytes() as f64 / edits as f64),
            saved: size(cost.saved_bytes()),
        }
    }
}

/// A size in words: `900 bytes`, `1.2 KiB`, `34.0 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".into(),
        0..0x400 => format!("{bytes} bytes"),
        0x400..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0)),
        _ => format!("{:.1} GiB", bytes as f64 / (1024.0 * 1024.0 * 1024.0)),
    }
}
