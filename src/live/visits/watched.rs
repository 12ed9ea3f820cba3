//! What is new on the pages that somebody watches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{News, Visitor, Watch};
use crate::live::{Live, LiveError, PageInfo, blocking};
use crate::page::PageId;

/// Most pages with news that are listed, and that are looked at for it: of some, all that is new may
/// be one's own.
const MAX_ROWS: usize = 50;
const MAX_LOOKED_AT: usize = 200;

/// What somebody watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Pages that changed since they saw them, the newest change first.
    pub news: Vec<(PageInfo, News)>,
    /// There are more of them.
    pub is_more: bool,
    /// What they watch, by name, with the page of that name if it is there.
    pub watches: Vec<(Watch, Option<PageInfo>)>,
}

impl Live {
    /// What somebody watches and what is new there, of pages that they are `allowed` to see.
    ///
    /// # Errors
    /// Store errors.
    pub async fn watched(
        &self,
        login: &str,
        allowed: impl Fn(&PageInfo) -> bool + Send + 'static,
    ) -> Result<Watched, LiveError> {
        let (live, login) = (self.clone(), login.to_owned());
        blocking(move || live.read_watched(login, &allowed)).await
    }

    /// Blocks.
    fn read_watched(
        &self,
        login: String,
        allowed: &dyn Fn(&PageInfo) -> bool,
    ) -> Result<Watched, LiveError> {
        let visitor = self.read_visitor(login)?;
        let mut changed = self.changed_pages(&visitor, allowed);
        changed.sort_by_key(|(page, _)| std::cmp::Reverse((page.updated_ms, page.id)));
        let mut watched = Watched::default();
        for (n, (page, watched_ms)) in changed.into_iter().enumerate() {
            if watched.news.len() >= MAX_ROWS || n >= MAX_LOOKED_AT {
                watched.is_more = true;
                break;
            }
            if let Some(news) = self.news_now(&visitor, &page, watched_ms)? {
                watched.news.push((page, news));
            }
        }
        let with_page = |watch: Watch| {
            let page = self.pages().find(&watch.path);
            let page = page.filter(|page| page.deleted_ms.is_none() && allowed(page));
            (watch, page)
        };
        watched.watches = visitor.watches.into_iter().map(with_page).collect();
        Ok(watched)
    }

    /// Watched pages that have changed since they were seen, each with the time since when it is
    /// watched.
    fn changed_pages(
        &self,
        visitor: &Visitor,
        allowed: &dyn Fn(&PageInfo) -> bool,
    ) -> Vec<(PageInfo, u64)> {
        let mut found: HashMap<PageId, (PageInfo, u64)> = HashMap::new();
        let wanted =
            |page: &PageInfo| page.deleted_ms.is_none() && visitor.has_news(page) && allowed(page);
        for watch in &visitor.watches {
            for page in self.pages().below(&watch.path, watch.tree, wanted) {
                match found.entry(page.id) {
                    Entry::Occupied(known) => {
                        let since = &mut known.into_mut().1;
                        *since = watch.at_ms.min(*since);
                    }
                    Entry::Vacant(new) => {
                        new.insert((page, watch.at_ms));
                    }
                }
            }
        }
        found.into_values().collect()
    }
}
