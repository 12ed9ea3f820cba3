//! Pages to read: the front page, one page, the list of all.

use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::tokio::time::{Instant, sleep};
use rocket::{State, get, routes};

use super::reply::{Redirect, Reply};
use super::target::Target;
use super::watch::visitor;
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::visits::Visit;
use crate::live::{Live, PageInfo, View};
use crate::page::{PageId, PagePath, Revision};
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::{
    DeletedRow, DeletedView, Html, MissingView, NewsView, PageRow, PageView, PagesView, ReadView,
    Site, WatchView, blocks, wiki_url,
};

/// The page that `/` shows.
pub(crate) const FRONT_PAGE: &str = "Home";

/// Most rows of the list of pages; `?q=` finds the others.
const MAX_ROWS: usize = 5000;

/// Most deleted pages that are listed.
const MAX_DELETED: usize = 50;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Reading", |rocket| async {
        rocket.mount("/", routes![show_front, show_page, list_pages])
    })
}

/// Who reads: whether the page is before their eyes, or fetched in case they may want it
/// (`Sec-Purpose`, https://fetch.spec.whatwg.org/#sec-purpose-header), and what is nobody's visit.
pub(super) struct Reader {
    pub guest: Guest,
    pub is_here: bool,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Reader {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let purpose = request.headers().get_one("Sec-Purpose");
        let is_here = !purpose.is_some_and(|purpose| purpose.starts_with("prefetch"));
        Outcome::Success(Self { guest: Guest::of(request).clone(), is_here })
    }
}

#[get("/")]
async fn show_front(site: Site, reader: Reader, live: &State<Live>) -> Result<Reply, Error> {
    let path: PagePath = FRONT_PAGE.parse()?;
    match live.pages().find(&path) {
        Some(page) if page.deleted_ms.is_none() => {
            read(site, &reader, live, &page, None).await.map(Reply::Html)
        }
        page => Ok(Reply::Html(absent(&site, &reader.guest, &path, page.as_ref()))),
    }
}

#[get("/wiki/<_..>?<rev>&<blame>")]
async fn show_page(
    site: Site,
    target: Option<Target>,
    rev: Option<&str>,
    blame: Option<&str>,
    reader: Reader,
    live: &State<Live>,
    uri: &rocket::http::uri::Origin<'_>,
) -> Result<Reply, Error> {
    let Some(target) = target else {
        // A bad path is worth a page that says why, and `/wiki` itself means the wiki.
        let raw = uri.path().as_str().trim_start_matches("/wiki").trim_matches('/');
        if raw.is_empty() {
            return Ok(Reply::Redirect(Redirect::canonical("/")));
        }
        return Target::parse(raw, None)
            .map(|t| Redirect::canonical(wiki_url(&t.path)))
            .map(Reply::Redirect);
    };
    let page = live.pages().find(&target.path);
    if let Some(location) = target.elsewhere("/wiki/", page.as_ref()) {
        return Ok(Reply::Redirect(Redirect::canonical(location)));
    }
    let rev = rev.map(parse_revision).transpose()?;
    if blame.is_some() {
        let at = rev.map_or_else(String::new, |rev| format!("?at={rev}"));
        let location = format!("/blame/{}{at}", target.path.to_url());
        return Ok(Reply::Redirect(Redirect::see_other(location)));
    }
    match page {
        // What a deleted page was can still be read.
        Some(page) if page.deleted_ms.is_none() || rev.is_some() => {
            read(site, &reader, live, &page, rev).await.map(Reply::Html)
        }
        page => Ok(Reply::Html(absent(&site, &reader.guest, &target.path, page.as_ref()))),
    }
}

/// A revision in an address.
pub(super) fn parse_revision(text: &str) -> Result<Revision, Error> {
    text.parse().map(Revision).map_err(|_| Kind::BadRevision.into())
}

async fn read(
    mut site: Site,
    reader: &Reader,
    live: &Live,
    page: &PageInfo,
    rev: Option<Revision>,
) -> Result<Html, Error> {
    let is_deleted = page.deleted_ms.is_some();
    let action = if rev.is_some() { Action::ReadHistory } else { Action::Read };
    require(&reader.guest, action, Some(page))?;
    let now = settled_view(live, page.id).await?;
    site.cursor.clone_from(&now.cursor);
    let mut view = ReadView {
        page: PageView::new(page, now.rendered_revision),
        blocks: Vec::new(),
        empty: false,
        people: live.people(page.id),
        updated: time::ago(page.updated_ms, time::now_ms()),
        updated_iso: time::iso(page.updated_ms),
        // Of a deleted page the newest revision is none that there is now.
        rev_shown: rev.filter(|rev| is_deleted || *rev != now.revision),
        can_restore: is_deleted && may(&reader.guest, Action::Restore, Some(page)),
        news: None,
        watch: WatchView::default(),
    };
    // An old revision is not the page, and who reads it has not seen what became of it.
    if view.rev_shown.is_none() && reader.is_here && reader.guest.is_known() {
        let page = live.pages().get(page.id).ok_or(Kind::NoPage)?;
        let visit = live.visit(&reader.guest.id, &page, now.rendered_revision).await?;
        let Visit { news, watch, watched_above } = &visit;
        view.news = news.as_ref().map(|news| NewsView::new(news, time::now_ms()));
        view.watch = WatchView::new(watch.as_ref(), watched_above.as_ref());
    }
    let rendered = match view.rev_shown {
        None => now.rendered,
        Some(rev) => {
            let text = live.text_at(page.id, rev).await?.ok_or(Kind::NoRevision)?;
            std::sync::Arc::new(live.render_text(&text).await)
        }
    };
    if let Some(title) = &rendered.title {
        view.page.title.clone_from(title);
    }
    view.blocks = blocks(&rendered);
    // A rendering that is still being made says nothing.
    let known = view.rev_shown.is_some() || now.rendered_revision >= now.revision;
    view.empty = view.blocks.is_empty() && known;
    Ok(Html::new(&site, &view))
}

/// How long a page waits for its own rendering (when it has one before that, when it has none),
/// and how often it looks.
const RENDER_WAIT: Duration = Duration::from_millis(500);
const FIRST_RENDER_WAIT: Duration = Duration::from_secs(10);
const RENDER_LOOK: Duration = Duration::from_millis(10);

/// A page's blocks and text, with everything in the blocks that had been written when this was
/// called: whoever has just saved a form must not be shown the page as it was before.
///
/// A room renders a little after it accepts (50 ms, so that one rendering serves many edits).
/// When a rendering takes very long, the page is shown as it was last; its script catches up.
pub(super) async fn settled_view(live: &Live, page: PageId) -> Result<View, Error> {
    let mut view = live.view(page).await?;
    let written = view.revision;
    // An old text is better than waiting, but no text at all is not what the page is.
    let wait = if view.rendered.blocks.is_empty() { FIRST_RENDER_WAIT } else { RENDER_WAIT };
    let until = Instant::now() + wait;
    while view.rendered_revision < written && Instant::now() < until {
        sleep(RENDER_LOOK).await;
        view = live.view(page).await?;
    }
    Ok(view)
}

/// The page for a page that is not there: an offer to create it, or to bring it back.
pub(super) fn absent(site: &Site, guest: &Guest, path: &PagePath, page: Option<&PageInfo>) -> Html {
    let html = match page {
        Some(page) => Html::new(
            site,
            &DeletedView {
                page: PageView::new(page, page.head),
                restore_url: may(guest, Action::Restore, Some(page))
                    .then(|| format!("/restore/{}", page.path.to_url())),
                can_read: may(guest, Action::ReadHistory, Some(page)),
            },
        ),
        None => Html::new(
            site,
            &MissingView {
                path: path.to_string(),
                url: wiki_url(path),
                can_create: may(guest, Action::Create, None),
                error: None,
            },
        ),
    };
    html.with_status(Status::NotFound)
}

#[get("/pages?<q>")]
async fn list_pages(
    site: Site,
    q: Option<&str>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    let query = q.unwrap_or_default().trim().to_owned();
    let until_ms = time::now_ms();
    let visitor = visitor(live, &guest).await?;
    let matching = matching(live.pages().list(), &query);
    let total = matching.len();
    let has_news = matching.iter().any(|page| visitor.has_news(page));
    let mut tree = PageRow::tree(&matching, time::now_ms(), |page| visitor.has_news(page));
    tree.truncate(MAX_ROWS);
    let deleted = live.pages().deleted().into_iter();
    let deleted = deleted.filter(|page| may(&guest, Action::Restore, Some(page)));
    let deleted = deleted.take(MAX_DELETED).map(|page| DeletedRow {
        path: page.path.to_string(),
        url: wiki_url(&page.path),
        restore_url: format!("/restore/{}", page.path.to_url()),
    });
    let deleted = deleted.collect();
    let until_ms = has_news.then_some(until_ms);
    Ok(Html::new(&site, &PagesView { tree, query, deleted, total, until_ms }))
}

/// Pages whose path or title contains every word of a query, whatever their case.
pub(super) fn matching(mut pages: Vec<PageInfo>, query: &str) -> Vec<PageInfo> {
    let words: Vec<_> = query.split_whitespace().map(str::to_lowercase).collect();
    pages.retain(|page| {
        let key = page.path.key();
        let title = page.title.as_deref().unwrap_or_default().to_lowercase();
        words.iter().all(|word| key.contains(word) || title.contains(word))
    });
    pages
}
