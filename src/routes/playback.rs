//! A page's life as it was written, and who wrote what: two pages whose content the browser makes
//! from the page's timeline.

use rocket::fairing::AdHoc;
use rocket::{State, get, routes, tokio};

use super::history::wanted;
use super::reply::Reply;
use super::target::Target;
use crate::error::Error;
use crate::identity::Guest;
use crate::live::Live;
use crate::page::PageId;
use crate::views::{BlameView, EditSite, Html, PageView, PlaybackView};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Playback", |rocket| async {
        rocket.mount("/", routes![play_page, show_authors])
    })
}

/// The revision that is shown is `?at=`, which only the browser reads: a moment of the page is no
/// other page, and one that does not exist is the nearest one that does.
#[get("/playback/<_..>")]
fn play_page(
    site: EditSite,
    target: Target,
    guest: Guest,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let EditSite(site) = site;
    Ok(match wanted(&site, &target, "/playback/", &guest, live)? {
        Ok(page) => {
            prepare(live, page.id);
            let view = PlaybackView { page: PageView::new(&page, page.head) };
            Reply::Html(Html::new(&site, &view))
        }
        Err(instead) => instead,
    })
}

#[get("/blame/<_..>")]
fn show_authors(
    site: EditSite,
    target: Target,
    guest: Guest,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let EditSite(site) = site;
    Ok(match wanted(&site, &target, "/blame/", &guest, live)? {
        Ok(page) => {
            prepare(live, page.id);
            let view = BlameView { page: PageView::new(&page, page.head) };
            Reply::Html(Html::new(&site, &view))
        }
        Err(instead) => instead,
    })
}

/// Has the page's timeline ready when the browser asks for it, which is as soon as it has the
/// modules that do so. What fails here fails there again, and is said there.
fn prepare(live: &State<Live>, id: PageId) {
    let live = Live::clone(live);
    tokio::spawn(async move { live.timeline(id).await.map(drop) });
}
