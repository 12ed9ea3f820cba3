//! Completion of page names, and reports of browsers.

use rocket::http::Status;
use rocket::{State, get, post};
use serde::Deserialize;

use super::LiveJson;
use super::body::Json;
use super::caller::Caller;
use crate::error::{Error, Kind};
use crate::live::Live;
use crate::live::rate::Rate;
use crate::origin::WriteGuard;
use crate::rights::{self, Action};

/// Most names in one answer.
const MAX_NAMES: usize = 20;

/// A report is a sentence and a few numbers.
const MAX_REPORT_BYTES: u64 = 4096;

/// Pages whose name or title begins with, or else contains, what was typed.
#[get("/names?<q>")]
pub fn complete_name(
    q: Option<&str>,
    caller: Caller,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    if !rights::may(&caller.guest, Action::List, None) {
        return Err(Kind::Forbidden.into());
    }
    let wanted = q.unwrap_or_default().to_lowercase();
    let mut found: Vec<_> = live
        .pages()
        .list()
        .into_iter()
        .filter_map(|page| {
            let key = page.path.key();
            let title = page.title.clone().unwrap_or_else(|| page.path.name().to_owned());
            let name = page.path.name().to_lowercase();
            let rank = if key.starts_with(&wanted) || name.starts_with(&wanted) {
                0
            } else if key.contains(&wanted) || title.to_lowercase().contains(&wanted) {
                1
            } else {
                return None;
            };
            Some((rank, page.path, title))
        })
        .collect();
    found.sort();
    found.truncate(MAX_NAMES);
    let pages: Vec<_> = found
        .into_iter()
        .map(|(_, path, title)| serde_json::json!({ "path": path, "title": title }))
        .collect();
    Ok(LiveJson::new(serde_json::json!({ "pages": pages }).to_string()))
}

#[derive(Deserialize)]
pub struct Report {
    page: u64,
    kind: String,
    #[serde(default)]
    detail: serde_json::Value,
}

/// A browser whose text differs from the server's says so. Logged: it is always a bug.
#[post("/report", data = "<report>")]
pub fn post_report(
    _write: WriteGuard,
    caller: Caller,
    report: Json<Report, { MAX_REPORT_BYTES }>,
    live: &State<Live>,
) -> Result<Status, Error> {
    caller.spend(live, Rate::Changes, 1)?;
    let report = report.0;
    log::warn!(
        "a browser reports {:?} on page {}: {}",
        report.kind,
        report.page,
        report.detail.to_string().escape_debug()
    );
    Ok(Status::NoContent)
}
