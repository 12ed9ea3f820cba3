//! A page's history: its revisions, how two of them differ, and bringing one back.

use rocket::fairing::AdHoc;
use rocket::{State, get, post, routes};

use super::body::FormBody;
use super::read::{Reader, absent, parse_revision};
use super::reply::{Redirect, Reply};
use super::target::{Target, find};
use crate::address::subscriber;
use crate::diff::rendered::Layout;
use crate::error::{Error, Kind};
use crate::identity::{Guest, is_invisible};
use crate::live::history::{HistoryQuery, MAX_NAME_CHARS};
use crate::live::rate::Rate;
use crate::live::{Author, Live, LiveError, PageInfo};
use crate::origin::{ClientAddr, WriteGuard};
use crate::page::Revision;
use crate::rights::{Action, may, require};
use crate::views::{DiffForm, DiffView, HistoryView, Html, PageView, Range, Shown, Site, wiki_url};

/// Revisions on one page of the list.
const ROWS: usize = 50;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("History", |rocket| async {
        rocket.mount("/", routes![show_history, name_revision, show_diff, bring_back, undo_part])
    })
}

/// Whether this can stand for an author, see [`crate::live::history::RevisionAuthor::handle`].
pub(super) fn is_handle(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Takes one change from what may be done in a while. Whoever has no cookie is new with each
/// request, so the address counts.
pub(super) fn spend_change(live: &Live, guest: &Guest, address: &ClientAddr) -> Result<(), Error> {
    let login = if guest.is_known() { guest.id.clone() } else { subscriber(address.0).to_string() };
    live.rates()
        .take(Rate::Changes, &login, 1)
        .map_err(|wait| Error::new(Kind::TooMany).retry_after_secs(wait.as_secs() + 1))
}

/// A revision that is asked for by its number, and is none, is not there: as when it is read.
pub(super) fn absent_revision(error: LiveError) -> Error {
    match error {
        LiveError::UnknownRevision => Kind::NoRevision.into(),
        other => other.into(),
    }
}

/// The page that is asked about, which may be deleted, or what to answer instead.
pub(super) fn wanted(
    site: &Site,
    target: &Target,
    prefix: &str,
    guest: &Guest,
    live: &Live,
) -> Result<Result<PageInfo, Reply>, Error> {
    let page = live.pages().find(&target.path);
    if let Some(location) = target.elsewhere(prefix, page.as_ref()) {
        return Ok(Err(Reply::Redirect(Redirect::canonical(location))));
    }
    let Some(page) = page else {
        return Ok(Err(Reply::Html(absent(site, guest, &target.path, None))));
    };
    require(guest, Action::ReadHistory, Some(&page))?;
    Ok(Ok(page))
}

#[get("/history/<_..>?<before>&<author>&<named>")]
async fn show_history(
    site: Site,
    target: Target,
    before: Option<&str>,
    author: Option<&str>,
    named: Option<&str>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let page = match wanted(&site, &target, "/history/", &guest, live)? {
        Ok(page) => page,
        Err(instead) => return Ok(instead),
    };
    let query = HistoryQuery {
        before: before.map(parse_revision).transpose()?,
        author: author.filter(|author| is_handle(author)).map(ToOwned::to_owned),
        named: named.is_some_and(|named| named == "1"),
        open: true,
        limit: ROWS,
    };
    let history = live.history(page.id, &query).await?;
    let can_write = may(&guest, Action::Write, Some(&page));
    let mut view = HistoryView::new(PageView::new(&page, page.head), &history, &query, can_write);
    view.can_restore = page.deleted_ms.is_some() && may(&guest, Action::Restore, Some(&page));
    Ok(Reply::Html(Html::new(&site, &view)))
}

#[post("/history/<_..>", data = "<body>")]
async fn name_revision(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Write, Some(&page))?;
    let at = parse_revision(body.need("rev")?)?;
    let name = body.need("name")?.replace(char::is_control, " ");
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() > MAX_NAME_CHARS {
        let sentence = format!("A revision's name has at most {MAX_NAME_CHARS} characters.");
        return Err(Error::new(Kind::BadInput).saying(sentence));
    }
    if name.chars().any(is_invisible) {
        let sentence = "A revision's name cannot have invisible characters.";
        return Err(Error::new(Kind::BadInput).saying(sentence));
    }
    let name = Some(name).filter(|name| !name.is_empty());
    // Each is told to everybody who watches the list of changes.
    spend_change(live, &guest, &address)?;
    let named = live.name_revision(page.id, at, name, &Author::from(&guest)).await;
    named.map_err(absent_revision)?;
    Ok(Redirect::see_other(format!("/history/{}", page.path.to_url())))
}

#[get("/diff/<_..>?<from>&<to>&<view>")]
async fn show_diff(
    site: Site,
    target: Target,
    from: Option<&str>,
    to: Option<&str>,
    view: Option<&str>,
    reader: Reader,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let guest = &reader.guest;
    let page = match wanted(&site, &target, "/diff/", guest, live)? {
        Ok(page) => page,
        Err(instead) => return Ok(instead),
    };
    let form = DiffForm::parse(view);
    let head = live.view(page.id).await?.revision;
    let to = to.map(parse_revision).transpose()?.unwrap_or(head);
    let from = from.map(parse_revision).transpose()?;
    let from = from.unwrap_or(Revision(to.0.saturating_sub(1)));
    if from > to {
        // What is older stands on the left, whoever made the address.
        let view = form.query();
        let address = format!("/diff/{}?from={to}&to={from}{view}", page.path.to_url());
        return Ok(Reply::Redirect(Redirect::see_other(address)));
    }
    let shown = if form.is_rendered() {
        let layout = if form.is_split() { Layout::SideBySide } else { Layout::Merged };
        let compared = live.compare_rendered(page.id, (from, to), layout).await?;
        Shown::Rendered(compared.ok_or(Kind::NoRevision)?)
    } else {
        Shown::Source(live.compare(page.id, from, to).await?.ok_or(Kind::NoRevision)?)
    };
    if reader.is_here && guest.is_known() {
        live.look_at_changes(&guest.id, &page, (from, to)).await?;
    }
    let can_write = may(guest, Action::Write, Some(&page));
    let parts = match can_write && from < to {
        true => live.authors_between(page.id, from, to).await?.unwrap_or_default(),
        false => Vec::new(),
    };
    let range = Range { from, to, head };
    let view = DiffView::new(PageView::new(&page, head), range, form, shown);
    let mut view = view.with_authors(&parts);
    view.can_write = can_write;
    view.can_restore = page.deleted_ms.is_some() && may(guest, Action::Restore, Some(&page));
    Ok(Reply::Html(Html::new(&site, &view)))
}

#[post("/revert/<_..>", data = "<body>")]
async fn bring_back(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Write, Some(&page))?;
    let at = parse_revision(body.need("rev")?)?;
    // A few bytes of request may be a page of history, which is kept for good.
    spend_change(live, &guest, &address)?;
    live.revert_to(page.id, at, &Author::from(&guest)).await.map_err(absent_revision)?;
    Ok(Redirect::see_other(wiki_url(&page.path)))
}

#[post("/undo/<_..>", data = "<body>")]
async fn undo_part(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Write, Some(&page))?;
    let stretch = (parse_revision(body.need("from")?)?, parse_revision(body.need("to")?)?);
    let author = body.need("author")?;
    if stretch.0 >= stretch.1 {
        let sentence = "The revisions end before they begin.";
        return Err(Error::new(Kind::BadInput).saying(sentence));
    }
    if !is_handle(author) {
        return Err(Error::new(Kind::BadInput).saying("That stands for no author."));
    }
    // It may have to go through the page's whole life.
    spend_change(live, &guest, &address)?;
    let undone = live.undo(page.id, author, stretch, &Author::from(&guest)).await;
    let undone = undone.map_err(absent_revision)?;
    if undone.is_none() {
        let sentence = "They have written nothing in these revisions.";
        return Err(Error::new(Kind::BadInput).saying(sentence));
    }
    Ok(Redirect::see_other(wiki_url(&page.path)))
}
