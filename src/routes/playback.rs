//! A page's life as it was written, and who wrote what: two pages whose content the browser makes
//! from the page's timeline.

use rocket::fairing::AdHoc;
use rocket::{State, get, routes};

use super::history::wanted;
use super::reply::Reply;
use super::target::Target;
use crate::error::Error;
use crate::identity::Guest;
use crate::live::Live;
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
            let view = BlameView { page: PageView::new(&page, page.head) };
            Reply::Html(Html::new(&site, &view))
        }
        Err(instead) => instead,
    })
}
