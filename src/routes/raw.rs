//! `/raw`: a page's Markdown, byte for byte.

use rocket::fairing::AdHoc;
use rocket::{Responder, State, get, routes};

use super::read::parse_revision;
use super::reply::{Markdown, Redirect, etag_of};
use super::target::{Target, find, find_any};
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::Live;
use crate::rights::{Action, require};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Source", |rocket| async { rocket.mount("/", routes![show_source]) })
}

#[derive(Responder)]
enum Source {
    Text(Markdown),
    Elsewhere(Redirect),
}

#[get("/raw/<_..>?<rev>")]
async fn show_source(
    target: Target,
    rev: Option<&str>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Source, Error> {
    // What a deleted page was can still be read.
    let (page, action) = match rev {
        None => (find(live, &target.path)?, Action::Read),
        Some(_) => (find_any(live, &target.path)?, Action::ReadHistory),
    };
    if let Some(location) = target.elsewhere("/raw/", Some(&page)) {
        return Ok(Source::Elsewhere(Redirect::canonical(location)));
    }
    require(&guest, action, Some(&page))?;
    let (text, revision) = match rev.map(parse_revision).transpose()? {
        None => {
            let now = live.view(page.id).await?;
            (now.text, now.revision)
        }
        Some(rev) => (live.text_at(page.id, rev).await?.ok_or(Kind::NoRevision)?, rev),
    };
    Ok(Source::Text(Markdown { text: text.to_string(), etag: etag_of(&page, revision) }))
}
