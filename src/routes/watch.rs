//! What is new to whoever asks: the pages that they watch, and what they have seen.
//!
//! There is no feed of it: a feed reader has no cookie, and what an address says everybody knows who
//! sees it.

use rocket::fairing::AdHoc;
use rocket::{State, get, post, routes};

use super::body::FormBody;
use super::history::spend_change;
use super::name::safe_back;
use super::read::parse_revision;
use super::reply::Redirect;
use super::target::{Target, find};
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::Live;
use crate::live::visits::{Visitor, Watched};
use crate::origin::{ClientAddr, WriteGuard};
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::{Html, Site, WatchingView, wiki_url};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Watching", |rocket| async {
        rocket.mount("/", routes![show_watching, change_watch, mark_seen, mark_all_seen])
    })
}

/// What a guest has seen; of one without a cookie nothing is known.
pub(super) async fn visitor(live: &Live, guest: &Guest) -> Result<Visitor, Error> {
    match guest.is_known() {
        true => Ok(live.visitor(&guest.id).await?),
        false => Ok(Visitor::default()),
    }
}

#[get("/watching")]
async fn show_watching(site: Site, guest: Guest, live: &State<Live>) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    let until_ms = time::now_ms();
    let watched = match guest.is_known() {
        true => {
            let login = guest.id.clone();
            let allowed = move |page: &_| may(&guest, Action::Read, Some(page));
            live.watched(&login, allowed).await?
        }
        false => Watched::default(),
    };
    Ok(Html::new(&site, &WatchingView::new(&watched, until_ms)))
}

/// Nobody can be known again without a cookie.
fn need_cookie(guest: &Guest) -> Result<(), Error> {
    if guest.is_known() {
        return Ok(());
    }
    let sentence = "Your browser sent no cookie, and without one nobody can tell what you watch and \
                    what you have seen. Allow cookies for this wiki.";
    Err(Error::new(Kind::Forbidden).saying(sentence))
}

/// Where to go after a form: to where it says, or else there.
fn back(body: &FormBody, other: impl FnOnce() -> String) -> Redirect {
    Redirect::see_other(body.get("back").map_or_else(other, |back| safe_back(Some(back))))
}

#[post("/watch/<_..>", data = "<body>")]
async fn change_watch(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let how = match body.need("how")? {
        "page" => Some(false),
        "tree" => Some(true),
        "none" => None,
        _ => {
            return Err(Error::new(Kind::BadInput)
                .saying("A page is watched alone, with all below it, or not."));
        }
    };
    need_cookie(&guest)?;
    spend_change(live, &guest, &address)?;
    let mut path = target.path;
    // Whatever became of the page: one can always stop.
    if how.is_some() {
        let page = find(live, &path)?;
        require(&guest, Action::Read, Some(&page))?;
        path = page.path;
    }
    live.watch(&guest.id, &path, how).await?;
    Ok(back(&body, || wiki_url(&path)))
}

#[post("/seen/<_..>", data = "<body>")]
async fn mark_seen(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Read, Some(&page))?;
    let rev = parse_revision(body.need("rev")?)?;
    need_cookie(&guest)?;
    spend_change(live, &guest, &address)?;
    live.mark_seen(&guest.id, &page, rev).await?;
    Ok(back(&body, || wiki_url(&page.path)))
}

/// Everything until the moment when the list was made: what has come since is still to be seen.
#[post("/seen", data = "<body>")]
async fn mark_all_seen(
    _guard: WriteGuard,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
    body: FormBody,
) -> Result<Redirect, Error> {
    let bad = |_| Error::new(Kind::BadInput).saying("That is not a time.");
    let until_ms: u64 = body.need("until")?.parse().map_err(bad)?;
    need_cookie(&guest)?;
    spend_change(live, &guest, &address)?;
    live.mark_all_seen(&guest.id, until_ms).await?;
    Ok(back(&body, || "/recent".to_owned()))
}
