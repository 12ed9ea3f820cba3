//! What changed lately, anywhere in the wiki.

use rocket::fairing::AdHoc;
use rocket::{State, get, routes};

use super::watch::visitor;
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::Live;
use crate::live::history::RecentRow;
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::{Html, RecentView, Site};

/// Revisions on one page of the list.
const ROWS: usize = 50;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Recent changes", |rocket| async { rocket.mount("/", routes![show_recent]) })
}

#[get("/recent?<before>")]
async fn show_recent(
    site: Site,
    before: Option<&str>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    let bad = |_| Error::new(Kind::BadRevision).saying("The list has no such place.");
    let before = before.map(|before| before.parse().map_err(bad)).transpose()?;
    // Before the list is made, or what comes in between would be marked as seen with it.
    let until_ms = time::now_ms();
    let visitor = visitor(live, &guest).await?;
    let allowed = move |page: &_| may(&guest, Action::ReadHistory, Some(page));
    let recent = live.recent(before, ROWS, true, allowed).await?;
    let is_new = |row: &RecentRow| visitor.has_news_in(row.page.id, &row.revision);
    let view = RecentView::new(&recent, before.is_some(), is_new, until_ms);
    Ok(Html::new(&site, &view))
}
