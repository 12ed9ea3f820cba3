//! `/healthz`: whether this process serves, for supervisors and graphs.

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::{State, get, routes};
use serde_json::json;

use super::reply::Api;
use crate::live::Live;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Health", |rocket| async { rocket.mount("/", routes![show_health]) })
}

#[get("/healthz")]
fn show_health(live: &State<Live>) -> Api {
    let health = live.health();
    let read_only = health.read_only.is_some();
    let answer = Api::ok(json!({
        "status": if read_only { "read_only" } else { "ok" },
        "message": health.read_only.or(health.recovered),
        "version": env!("CARGO_PKG_VERSION"),
        "pages": live.pages().list().len(),
        "streams": live.streams(),
        "journal_bytes": health.journal_bytes,
        "history_reads": health.history_reads,
    }));
    if read_only { answer.with_status(Status::ServiceUnavailable) } else { answer }
}
