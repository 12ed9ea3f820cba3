//! What history takes on disk, by page.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Live, LiveError, PageInfo, blocking};
use crate::page::PageId;
use crate::store::{Compacted, Costs, PageCost, Stats};

/// What was found is believed for so long,
const FRESH: Duration = Duration::from_secs(5);
/// and for so many times as long as finding it took, so that asking again and again takes one part
/// in so many of the disk's time.
const PARTS: u32 = 20;

/// No page has this number.
const ALL: PageId = PageId(0);

/// The last answer. Whoever holds the lock finds a new one, and the others wait for it.
#[derive(Default)]
pub(super) struct Costing(tokio::sync::Mutex<Option<Known>>);

struct Known {
    costs: Arc<Costs>,
    until: Instant,
}

/// What history takes on disk.
#[derive(Clone, Debug)]
pub struct HistoryCosts {
    /// The pages that were asked for, the most expensive first.
    pub pages: Vec<(PageInfo, PageCost)>,
    /// How many more there are.
    pub more: usize,
    /// All pages together, those that are not shown included.
    pub all: PageCost,
    /// What the files take, in which there is more than history.
    pub files: Stats,
    /// When something was packed last since the start (milliseconds since 1970), and what that did.
    pub last: Option<(u64, Compacted)>,
}

impl Live {
    /// What the history of each page that is `allowed` takes on disk, deleted pages included: the
    /// most expensive `limit`, and all together. Some seconds old.
    ///
    /// # Errors
    /// Store errors.
    pub async fn history_costs(
        &self,
        limit: usize,
        allowed: impl Fn(&PageInfo) -> bool + Send + 'static,
    ) -> Result<HistoryCosts, LiveError> {
        let costs = self.costs().await?;
        let live = self.clone();
        blocking(move || {
            let pages = live.pages().list().into_iter().chain(live.pages().deleted());
            let mut pages: HashMap<_, _> = pages.map(|page| (page.id, page)).collect();
            let mut shown = Vec::new();
            let (mut more, mut all) = (0, PageCost::none(ALL));
            for cost in &costs.pages {
                // None: the text of a laboratory, or a page that is newer than the answer.
                let Some(page) = pages.remove(&cost.page).filter(&allowed) else { continue };
                all.add(cost);
                if shown.len() < limit {
                    shown.push((page, *cost));
                } else {
                    more += 1;
                }
            }
            Ok(HistoryCosts { pages: shown, more, all, files: costs.files, last: costs.last })
        })
        .await
    }

    async fn costs(&self) -> Result<Arc<Costs>, LiveError> {
        let mut known = self.inner.costing.0.lock().await;
        if let Some(known) = &*known
            && Instant::now() < known.until
        {
            return Ok(Arc::clone(&known.costs));
        }
        let store = self.inner.shared.store.clone();
        let begun = Instant::now();
        let costs = Arc::new(blocking(move || Ok(store.costs()?)).await?);
        let now = Instant::now();
        let until = now + FRESH.max((now - begun).saturating_mul(PARTS));
        *known = Some(Known { costs: Arc::clone(&costs), until });
        Ok(costs)
    }
}
