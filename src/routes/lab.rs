//! `/lab`: the laboratory, which shows one page by several ways of following it.

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::{State, get, post, routes};
use serde_json::json;

use super::reply::Api;
use super::target::find;
use crate::address::subscriber;
use crate::error::{Error, Kind};
use crate::identity::{Guest, KnownGuest};
use crate::live::labs::{LIFE, LabError};
use crate::live::rate::Rate;
use crate::live::{Author, Live};
use crate::origin::{ClientAddr, WriteGuard};
use crate::page::{PageId, PagePath};
use crate::rights::{Action, may, require};
use crate::views::{Html, LabView, PageView, Site};

/// The browser ends its run so much before the server would.
const EARLIER_SECS: u64 = 60;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Laboratory", |rocket| async {
        rocket.mount("/", routes![show_lab, start_lab, end_lab])
    })
}

/// The laboratory, of a page of the wiki or (without one) of a text of its own.
#[get("/lab?<page>")]
fn show_lab(
    site: Site,
    page: Option<&str>,
    guest: Guest,
    live: &State<Live>,
) -> Result<Html, Error> {
    let wanted = page.map(|text| text.trim().trim_matches('/')).filter(|text| !text.is_empty());
    let page = match wanted {
        None => None,
        Some(text) => {
            let path: PagePath = text.parse()?;
            let page = find(live, &path)?;
            require(&guest, Action::Read, Some(&page))?;
            Some(page)
        }
    };
    let can_write = match &page {
        None => may(&guest, Action::Create, None),
        Some(page) => may(&guest, Action::Write, Some(page)),
    };
    let page = page.map(|page| PageView::new(&page, page.head));
    Ok(Html::new(&site, &LabView { page, can_write, minutes: minutes() }))
}

fn minutes() -> u64 {
    (LIFE.as_secs() - EARLIER_SECS) / 60
}

/// Begins one, and says which page to write.
#[post("/lab")]
async fn start_lab(
    _guard: WriteGuard,
    known: KnownGuest,
    address: ClientAddr,
    live: &State<Live>,
) -> Result<Api, Error> {
    let guest = known.0;
    require(&guest, Action::Create, None)?;
    // Whoever has no cookie is new with each request, so the address counts.
    let place = subscriber(address.0);
    let login = if guest.is_known() { guest.id.clone() } else { place.to_string() };
    live.rates()
        .take(Rate::Changes, &login, 1)
        .map_err(|wait| Error::new(Kind::TooMany).retry_after_secs(wait.as_secs() + 1))?;
    let page = live.start_lab(&Author::from(&guest), place).await.map_err(|error| match error {
        LabError::TooMany(why) => {
            Error::new(Kind::TooMany).saying(why).retry_after_secs(EARLIER_SECS)
        }
        LabError::Live(error) => error.into(),
    })?;
    Ok(Api::ok(json!({ "page": page.id, "path": page.path, "minutes": minutes() }))
        .with_status(Status::Created))
}

/// Ends one. Sent as a beacon when its tab goes, so the body is not looked at.
#[post("/lab/<id>/end")]
async fn end_lab(
    id: Option<u64>,
    _guard: WriteGuard,
    guest: Guest,
    live: &State<Live>,
) -> Result<Status, Error> {
    // None any more is no error: it ends by itself, too.
    if let Some(id) = id.map(PageId)
        && let Some(own) = live.owns_lab(id, &guest.id)
    {
        if !own {
            return Err(Kind::Forbidden.into());
        }
        live.end_lab(id).await;
    }
    Ok(Status::NoContent)
}
