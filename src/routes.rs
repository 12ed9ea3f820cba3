//! What can be asked over HTTP: one resource per file, each a stage.

#![expect(clippy::needless_pass_by_value, reason = "Rocket hands guards over by value")]

mod api;
mod body;
mod connection;
mod costs;
mod edit;
mod feed;
mod files;
mod gzip;
mod health;
mod history;
mod lab;
mod live;
mod manage;
mod name;
mod playback;
mod raw;
mod read;
mod recent;
mod reply;
mod target;
mod watch;

pub use body::{FormBody, read_body, read_text};
pub(crate) use live::hook as live_hook;
pub(crate) use read::FRONT_PAGE;
pub use reply::{Api, Redirect, Reply};
pub use target::{Target, find};

use rocket::fairing::AdHoc;
use rocket::{Build, Rocket};

/// Attaches all resources.
pub(crate) fn mount(rocket: Rocket<Build>) -> Rocket<Build> {
    let stages: [fn() -> AdHoc; 17] = [
        health::stage,
        files::stage,
        read::stage,
        edit::stage,
        manage::stage,
        raw::stage,
        history::stage,
        playback::stage,
        recent::stage,
        costs::stage,
        watch::stage,
        feed::stage,
        name::stage,
        connection::stage,
        api::stage,
        lab::stage,
        live::stage,
    ];
    stages.into_iter().fold(rocket, |rocket, stage| rocket.attach(stage()))
}
