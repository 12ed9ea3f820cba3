//! Crowds: everybody at once after a restart, and thousands who never read.
//!
//! `TEST_LONG=1` runs them with the numbers that the project promises, otherwise with a tenth.
//! They run one after the other, since each wants the machine for itself.

#[path = "support/live/all.rs"]
mod live;
#[path = "crowds/reader.rs"]
mod reader;
#[path = "crowds/restart.rs"]
mod restart;
#[path = "crowds/stuck.rs"]
mod stuck;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether the long form was asked for.
fn long() -> bool {
    std::env::var_os("TEST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// For one test at a time; lets this process open as many files as it may.
fn alone() -> MutexGuard<'static, ()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    static TURN: Mutex<()> = Mutex::new(());
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
