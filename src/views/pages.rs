//! The list of all pages, as a tree.

use serde::Serialize;

use super::wiki_url;
use crate::live::PageInfo;
use crate::page::PagePath;
use crate::time;

/// `pages`: all pages as a tree.
#[derive(Debug, Serialize)]
pub struct PagesView {
    /// The tree, depth first.
    pub tree: Vec<PageRow>,
    /// What the list was filtered by.
    pub query: String,
    /// Pages deleted last.
    pub deleted: Vec<DeletedRow>,
    /// How many pages match.
    pub total: usize,
    /// When the list was made, where some of it is new to whoever asks; milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageRow {
    /// Last level of its path.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its address.
    pub url: String,
    /// Levels above it.
    pub depth: usize,
    /// Its first heading.
    pub title: Option<String>,
    /// When it was last changed, in words.
    pub updated: Option<String>,
    /// The same as RFC 3339.
    pub updated_iso: Option<String>,
    /// False for a level that only has pages below it.
    pub exists: bool,
    /// It has changed since whoever asks saw it.
    pub is_new: bool,
}

/// One deleted page.
#[derive(Debug, Serialize)]
pub struct DeletedRow {
    /// Its path.
    pub path: String,
    /// Its address.
    pub url: String,
    /// Where to post to for having it back.
    pub restore_url: String,
}

impl PageRow {
    /// The tree of pages: depth first, siblings by name, with a row for each level that is only
    /// part of other pages' paths.
    #[must_use]
    pub fn tree(pages: &[PageInfo], now_ms: u64, is_new: impl Fn(&PageInfo) -> bool) -> Vec<Self> {
        // By levels, not by text: `team-x` would come between `team` and `team/a`.
        let mut sorted: Vec<_> = pages
            .iter()
            .map(|page| (page.path.levels().map(str::to_lowercase).collect::<Vec<_>>(), page))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut rows: Vec<Self> = Vec::with_capacity(pages.len());
        let mut above: Vec<String> = Vec::new();
        for (key, page) in sorted {
            let shared = above.iter().zip(&key).take_while(|(a, b)| a == b).count();
            let levels: Vec<_> = page.path.levels().collect();
            for depth in shared..levels.len() - 1 {
                rows.push(Self::folder(&levels[..=depth]));
            }
            rows.push(Self {
                name: page.path.name().to_owned(),
                path: page.path.to_string(),
                url: wiki_url(&page.path),
                depth: levels.len() - 1,
                title: page.title.clone(),
                updated: Some(time::ago(page.updated_ms, now_ms)),
                updated_iso: Some(time::iso(page.updated_ms)),
                exists: true,
                is_new: is_new(page),
            });
            above = key;
        }
        rows
    }

    fn folder(levels: &[&str]) -> Self {
        let path = levels.join("/");
        Self {
            name: levels.last().map(|l| (*l).to_owned()).unwrap_or_default(),
            url: path.parse::<PagePath>().map_or_else(|_| String::new(), |p| wiki_url(&p)),
            path,
            depth: levels.len() - 1,
            title: None,
            updated: None,
            updated_iso: None,
            exists: false,
            is_new: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{PageId, Revision};

    fn page(path: &str) -> PageInfo {
        PageInfo {
            id: PageId(1),
            path: path.parse().unwrap(),
            created_ms: 0,
            deleted_ms: None,
            deleted_by: None,
            title: None,
            head: Revision(0),
            updated_ms: 0,
            erased: std::sync::Arc::default(),
        }
    }

    #[test]
    fn the_tree_names_every_level_once_and_keeps_children_below_their_parent() {
        let pages = ["team-x", "team", "Team/a/b", "team/B", "z/y/x", "Home"].map(page);
        let rows: Vec<_> = PageRow::tree(&pages, 0, |_| false)
            .into_iter()
            .map(|row| (row.path, row.depth, row.exists))
            .collect();
        let expected = [
            ("Home", 0, true),
            ("team", 0, true),
            ("Team/a", 1, false),
            ("Team/a/b", 2, true),
            ("team/B", 1, true),
            ("team-x", 0, true),
            ("z", 0, false),
            ("z/y", 1, false),
            ("z/y/x", 2, true),
        ];
        assert_eq!(rows, expected.map(|(p, d, e)| (p.to_owned(), d, e)));
    }
}
