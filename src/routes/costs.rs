//! `/settings/history`: what the history of each page takes on disk.

use rocket::fairing::AdHoc;
use rocket::{State, get, routes};

use crate::error::Error;
use crate::identity::Guest;
use crate::live::{Live, PageInfo};
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::{CostsView, Html, Site};

/// Pages that are shown, the most expensive ones.
const ROWS: usize = 100;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Costs of history", |rocket| async { rocket.mount("/", routes![show_costs]) })
}

#[get("/settings/history")]
async fn show_costs(site: Site, guest: Guest, live: &State<Live>) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    // A deleted page still has its history, and can be restored with it.
    let allowed = move |page: &PageInfo| {
        let action = if page.deleted_ms.is_some() { Action::Restore } else { Action::Read };
        may(&guest, action, Some(page))
    };
    let costs = live.history_costs(ROWS, allowed).await?;
    Ok(Html::new(&site, &CostsView::new(&costs, time::now_ms())))
}
