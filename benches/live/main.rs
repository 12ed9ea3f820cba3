//! `cargo bench --bench live`: what Halley costs, beside what cannot be avoided.
//!
//! Every figure stands beside a plain baseline measured in the same run on the
//! same machine: a bare socket writer, a bare fdatasync loop, a bare HTTP
//! answer, the bare Markdown parser, nginx with nchan. Ratios are what to compare between
//! machines; absolute times are not.
//!
//! `cargo bench --bench live -- typing crowd` runs only the named parts:
//! start, gate, render, append, poll, idle, fanout, typing, door, scale, crowd, history.

mod bare;
mod baseline;
mod client;
mod crowd;
mod door;
mod fanout;
mod gate;
mod history;
mod readers;
mod report;
mod rivals;
mod scale;
mod server;
mod storage;
mod typing;

#[path = "../../tests/support/large_page.rs"]
mod large_page;

use std::error::Error;

/// What a part of the benchmark returns.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    raise_open_files();
    if wanted == ["bare"] {
        return tokio::task::spawn_blocking(bare::serve).await?;
    }
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    report::machine();
    if runs("start") {
        server::measure_start().await?;
    }
    if runs("gate") {
        gate::measure_gate();
    }
    if runs("render") {
        storage::measure_render();
    }
    if runs("append") {
        storage::measure_append().await?;
    }
    if runs("poll") {
        fanout::measure_poll().await?;
    }
    if runs("idle") {
        fanout::measure_idle().await?;
    }
    if runs("fanout") {
        fanout::measure_fanout().await?;
    }
    if runs("typing") {
        typing::measure_typing().await?;
    }
    if runs("door") {
        door::measure_door().await?;
    }
    if runs("scale") {
        scale::measure_scale().await?;
    }
    if runs("crowd") {
        crowd::measure_crowd().await?;
    }
    if runs("history") {
        history::measure_history().await?;
    }
    Ok(())
}

/// A thousand readers are a thousand sockets here and as many in the server.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
