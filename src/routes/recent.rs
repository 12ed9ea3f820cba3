//! What changed lately, anywhere in the wiki.

use rocket::fairing::AdHoc;
use rocket::{FromForm, State, get, routes};

use super::history::is_handle;
use super::watch::visitor;
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::Live;
use crate::live::history::{Recent, RecentQuery, RecentRow};
use crate::page::PagePath;
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::{Html, RecentFilter, RecentView, Site};

/// Revisions on one page of the list.
const ROWS: usize = 50;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Recent changes", |rocket| async { rocket.mount("/", routes![show_recent]) })
}

/// What somebody asks for. A field that a form sends empty asks for nothing.
#[derive(FromForm)]
struct Asked<'r> {
    before: Option<&'r str>,
    author: Option<&'r str>,
    named: Option<&'r str>,
    below: Option<&'r str>,
    unseen: Option<&'r str>,
}

fn is_set(flag: Option<&str>) -> Result<bool, Error> {
    match flag {
        None | Some("") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Error::new(Kind::BadRequest).saying("The list has no such filter.")),
    }
}

/// The page of which something is asked: `Team/` is `Team` as well.
fn path_of(text: &str) -> Result<Option<PagePath>, Error> {
    let text = text.trim();
    match text.strip_suffix('/').unwrap_or(text) {
        "" if text.is_empty() => Ok(None),
        path => Ok(Some(path.parse()?)),
    }
}

impl Asked<'_> {
    /// All but whether it is only what somebody has not seen.
    fn query(&self) -> Result<RecentQuery, Error> {
        let bad = |_| Error::new(Kind::BadRevision).saying("The list has no such place.");
        let author = self.author.filter(|author| !author.is_empty());
        if author.is_some_and(|author| !is_handle(author)) {
            return Err(Error::new(Kind::BadRequest).saying("That stands for no author."));
        }
        Ok(RecentQuery {
            before: self.before.map(|before| before.parse().map_err(bad)).transpose()?,
            limit: ROWS,
            all: true,
            author: author.map(str::to_ascii_lowercase),
            named: is_set(self.named)?,
            below: self.below.map(path_of).transpose()?.flatten(),
            unseen_by: None,
        })
    }
}

#[get("/recent?<asked..>")]
async fn show_recent(
    site: Site,
    asked: Asked<'_>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    let mut query = asked.query()?;
    let unseen = is_set(asked.unseen)?;
    // Before the list is made, or what comes in between would be marked as seen with it.
    let until_ms = time::now_ms();
    let visitor = visitor(live, &guest).await?;
    query.unseen_by = unseen.then(|| visitor.clone());
    let mut filter = RecentFilter::new(&query, guest.is_known());
    let recent = if unseen && !guest.is_known() {
        // Of somebody who was never here nothing is known, and nothing is to be looked for.
        Recent::default()
    } else {
        let allowed = move |page: &_| may(&guest, Action::ReadHistory, Some(page));
        live.recent(query, allowed).await?
    };
    filter.find_author(&recent);
    let is_new = |row: &RecentRow| visitor.has_news_in(row.page.id, &row.revision);
    let view = RecentView::new(&recent, filter, is_new, until_ms);
    Ok(Html::new(&site, &view))
}
