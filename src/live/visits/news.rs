//! What has changed on a page since somebody saw it.

use super::{Seen, Visitor};
use crate::live::history::{RevisionAuthor, RevisionInfo};
use crate::live::{Live, LiveError, PageInfo, now_ms};
use crate::page::Revision;

/// Most changes that are counted: on the page itself, and of each page of a list.
const MAX_COUNTED: usize = 100;
const MAX_COUNTED_IN_LIST: usize = 20;

/// Changes of one page by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What they had seen.
    pub from: Revision,
    /// The newest.
    pub to: Revision,
    /// When they were there last; `None` when they have never seen the page.
    pub since_ms: Option<u64>,
    /// Revisions since, in each of which others wrote.
    pub count: usize,
    /// There are more than were counted.
    pub is_more: bool,
    /// Who wrote in them beside themselves, the newest first. Empty when that is not known yet.
    pub authors: Vec<RevisionAuthor>,
    /// How many more wrote.
    pub others: u64,
}

/// From where on changes are news, and to whom.
struct Asked<'a> {
    /// Has seen the page up to there.
    rev: Option<Revision>,
    /// Whatever changed until then counts as seen.
    ms: u64,
    since_ms: Option<u64>,
    login: &'a str,
    /// Most that are counted.
    most: usize,
}

impl Live {
    /// What is new on a page since the visit before this one; `None`: nothing, or nothing of others.
    /// Blocks.
    pub(super) fn news_before(
        &self,
        login: &str,
        page: &PageInfo,
        seen: Seen,
        all_ms: u64,
    ) -> Result<Option<News>, LiveError> {
        let (rev, at_ms) = seen.before(now_ms());
        self.news(
            page,
            &Asked {
                rev: Some(rev),
                ms: Seen::all_since(at_ms, all_ms),
                since_ms: Some(at_ms.max(all_ms)),
                login,
                most: MAX_COUNTED,
            },
        )
    }

    /// What is new on a page that somebody has not seen as it is now. A page that they never saw is
    /// new from `watched_ms` on. Blocks.
    pub(super) fn news_now(
        &self,
        visitor: &Visitor,
        page: &PageInfo,
        watched_ms: u64,
    ) -> Result<Option<News>, LiveError> {
        let Some(all_ms) = visitor.all_ms else { return Ok(None) };
        let seen = visitor.seen(page.id);
        let ms = match seen {
            Some(seen) => Seen::all_since(seen.at_ms, all_ms),
            None => all_ms.max(watched_ms),
        };
        self.news(
            page,
            &Asked {
                rev: seen.map(|seen| seen.rev),
                ms,
                since_ms: seen.map(|seen| seen.at_ms.max(all_ms)),
                login: &visitor.login,
                most: MAX_COUNTED_IN_LIST,
            },
        )
    }

    fn news(&self, page: &PageInfo, asked: &Asked<'_>) -> Result<Option<News>, LiveError> {
        let rev = asked.rev.unwrap_or_default();
        if page.head <= rev || page.updated_ms <= asked.ms {
            return Ok(None);
        }
        // In this order: what is closed in between is then among the closed ones.
        let open = match self.open_room(page.id) {
            Some(room) => self.open_revision(&room)?,
            None => None,
        };
        let is_news = |info: &RevisionInfo| info.last > rev && info.at_ms > asked.ms;
        let mut found = self.newest_revisions(page.id, asked.most + 1, is_news)?;
        let newest = found.first().map_or(Revision(0), |newest| newest.last);
        if let Some(open) = open.filter(|open| open.first > newest && is_news(open)) {
            found.insert(0, open);
        }
        let is_more = found.len() > asked.most;
        let mut news = News {
            from: rev,
            to: page.head,
            since_ms: asked.since_ms,
            count: 0,
            is_more,
            authors: Vec::new(),
            others: 0,
        };
        let Some(oldest) = found.last_mut() else {
            // A log of which no revision has been made yet.
            return Ok(Some(News { count: 1, ..news }));
        };
        if oldest.before() < rev || oldest.from_ms <= asked.ms {
            news.from = self.leave_out_seen(page, (rev, asked.ms), oldest)?;
        } else if !is_more {
            // What counts as seen without having been seen is left out.
            news.from = oldest.before();
        }
        for info in found.iter().take(asked.most).filter(|info| !info.is_only_by(asked.login)) {
            news.add(info, asked.login);
        }
        Ok((news.count > 0).then_some(news))
    }

    /// Of a revision of which somebody has seen a part, or of which a part counts as seen, leaves
    /// those who wrote the rest. Returns where that begins.
    fn leave_out_seen(
        &self,
        page: &PageInfo,
        (seen, ms): (Revision, u64),
        info: &mut RevisionInfo,
    ) -> Result<Revision, LiveError> {
        let is_plain = info.from_ms > ms && info.authors.len() == 1 && info.others == 0;
        if is_plain {
            return Ok(seen);
        }
        let stretch = (seen.max(info.before()), info.last);
        let (from, mut writers) = self.who_wrote(page.id, stretch, ms)?;
        info.authors.retain(|author| writers.remove(&author.id));
        info.others = writers.len() as u64;
        Ok(from)
    }
}

impl News {
    fn add(&mut self, info: &RevisionInfo, login: &str) {
        self.count += 1;
        self.others = self.others.max(info.others);
        for author in &info.authors {
            let is_known = self.authors.iter().any(|known| known.id == author.id);
            if author.id != login && !is_known {
                self.authors.push(author.clone());
            }
        }
    }
}
