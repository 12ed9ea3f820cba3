//! Making, deleting and restoring pages from a browser.

use rocket::fairing::AdHoc;
use rocket::{State, get, post, routes};

use super::body::FormBody;
use super::history::{absent_revision, spend_change};
use super::read::{absent, parse_revision};
use super::reply::{Redirect, Reply};
use super::target::{Target, find, find_any};
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::{Author, Live, LiveError, PageInfo};
use crate::origin::{ClientAddr, WriteGuard};
use crate::page::PagePath;
use crate::rights::{Action, require};
use crate::views::{DeleteView, Html, NewView, PageView, Site, wiki_url};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Making and deleting", |rocket| async {
        rocket.mount("/", routes![ask_new, create_page, ask_delete, delete_page, restore_page])
    })
}

#[get("/new?<path>")]
fn ask_new(site: Site, path: Option<&str>, guest: Guest) -> Result<Html, Error> {
    require(&guest, Action::Create, None)?;
    let path = path.unwrap_or_default().chars().take(600).collect();
    Ok(Html::new(&site, &NewView { path, error: None }))
}

#[post("/new", data = "<body>")]
async fn create_page(
    _guard: WriteGuard,
    site: Site,
    guest: Guest,
    live: &State<Live>,
    body: FormBody,
) -> Result<Reply, Error> {
    require(&guest, Action::Create, None)?;
    let text = body.need("path")?;
    // Whoever writes the path as they see it in an address means the same page.
    let path: PagePath = match text.trim_start().trim_start_matches('/').parse() {
        Ok(path) => path,
        Err(why) => {
            let view = NewView {
                path: text.chars().take(600).collect(),
                error: Some(crate::page::PathError::to_string(&why)),
            };
            return Ok(Reply::Html(Html::new(&site, &view).with_status(Kind::BadName.status())));
        }
    };
    let location = match live.create(&path, &Author::from(&guest)).await {
        Ok((page, _)) => format!("/edit/{}", page.path.to_url()),
        // Its own page offers to bring it back.
        Err(LiveError::Deleted) => wiki_url(&path),
        Err(other) => return Err(other.into()),
    };
    Ok(Reply::Redirect(Redirect::see_other(location)))
}

#[get("/delete/<_..>")]
fn ask_delete(
    site: Site,
    target: Target,
    guest: Guest,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let page = live.pages().find(&target.path);
    if let Some(location) = target.elsewhere("/delete/", page.as_ref()) {
        return Ok(Reply::Redirect(Redirect::canonical(location)));
    }
    let Some(page) = page.as_ref().filter(|page| page.deleted_ms.is_none()) else {
        return Ok(Reply::Html(absent(&site, &guest, &target.path, page.as_ref())));
    };
    require(&guest, Action::Delete, Some(page))?;
    Ok(Reply::Html(Html::new(&site, &DeleteView { page: PageView::new(page, page.head) })))
}

#[post("/delete/<_..>")]
async fn delete_page(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
) -> Result<Redirect, Error> {
    let page = match find(live, &target.path) {
        // Pressed twice: it is as it should be.
        Err(why) if why.kind() == Kind::PageDeleted => {
            return Ok(Redirect::see_other(wiki_url(&target.path)));
        }
        found => found?,
    };
    require(&guest, Action::Delete, Some(&page))?;
    // Each is told to everybody, and stays in the list of what changed.
    spend_change(live, &guest, &address)?;
    live.delete(page.id, &Author::from(&guest)).await?;
    Ok(Redirect::see_other(wiki_url(&page.path)))
}

/// With `?rev=` also the text of that revision comes back, as a new edit.
#[post("/restore/<_..>?<rev>")]
async fn restore_page(
    _guard: WriteGuard,
    target: Target,
    rev: Option<&str>,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
) -> Result<Redirect, Error> {
    let page = find_any(live, &target.path)?;
    require(&guest, Action::Restore, Some(&page))?;
    let author = Author::from(&guest);
    let rev = rev.map(parse_revision).transpose()?;
    if rev.is_some() || page.deleted_ms.is_some() {
        spend_change(live, &guest, &address)?;
    }
    if let Some(rev) = rev {
        // Before anything is done, as it will be once the page is back.
        let back = PageInfo { deleted_ms: None, deleted_by: None, ..page.clone() };
        require(&guest, Action::Write, Some(&back))?;
        live.text_at(page.id, rev).await?.ok_or(Kind::NoRevision)?;
    }
    if page.deleted_ms.is_some() {
        live.restore(page.id, &author).await?;
    }
    if let Some(rev) = rev {
        live.revert_to(page.id, rev, &author).await.map_err(absent_revision)?;
    }
    Ok(Redirect::see_other(wiki_url(&page.path)))
}
