//! `halley compare`: what streaming buys over polling, measured on this machine.
//!
//! The design of the experiment follows E. Bozdag, A. Mesbah and A. van Deursen, “A Comparison of
//! Push and Pull Techniques for Ajax” (2007, arXiv:0706.3984): numbers of clients × publish
//! intervals × poll intervals, for a pushed and a polled delivery of the same events, and held
//! requests beside them. A *cell* is one combination, a *run* one measurement of it: a fresh server
//! process, fresh connections, a warm-up that is thrown away, a window that is measured, and a
//! drain in which what was published in the window may still arrive.
//!
//! Definitions, which the report repeats:
//!
//! - **publish**: an edit by `PUT`, through the same door as any program's. It is on disk before
//!   anybody is shown it. Clients follow the page as readers do (topic `view`): an event is the
//!   blocks that changed.
//! - **trip**: from the instant before the edit's request is written to the instant at which a
//!   client has read the event, for each edit and each client. The time until the edit is
//!   acknowledged as saved is part of it, and reported beside it.
//! - **staleness** of a client at an instant: the age of the oldest edit that it has not got; zero
//!   when it has all. The figure is the mean over the window and all clients, weighted by time.
//! - **coherence**: unique edits received over edits × clients.
//! - **cost** per delivered event: what happened in the window over the events that were received
//!   in it. Processor time without the writer's share is less by what a server without any reader
//!   spends on the same edits.
//!
//! Clients live in this process, servers in their own, so processor time and memory of a server are
//! its own. Nothing here knows Rocket, and it speaks to the server only by HTTP.

mod args;
mod chart;
mod format;
mod http;
mod machine;
mod markdown;
mod measure;
mod output;
mod plan;
mod progress;
mod publisher;
mod reader;
mod report;
mod results;
mod schedule;
mod server;
mod socket;
mod stats;
mod table;
mod words;

pub use self::args::Args;
pub use self::machine::socket_memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::measure::{Place, Run};
use self::plan::{Job, Plan};
use self::progress::Progress;
use self::results::Results;
use self::schedule::Queue;
use crate::door::socket::raise_file_limit;

/// Time for whatever still runs when all has been written: a server that was being started ends
/// only when its start has, which on a busy machine takes seconds.
const LAST_TASKS: Duration = Duration::from_secs(20);

/// How long a deployed server may take to answer the first requests.
const PREPARING: Duration = Duration::from_secs(30);

/// Runs the comparison and writes its reports. Blocks until the end, or until SIGINT or SIGTERM,
/// after which what has been measured is written all the same.
///
/// # Errors
/// A sentence for whoever started it: options that contradict each other, a server that cannot be
/// reached, no run that succeeded, a report that cannot be written.
pub fn run(args: Args) -> Result<(), String> {
    let plan = args.plan()?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("halley-compare")
        .enable_all()
        .build()
        .map_err(|e| format!("the threads could not be started: {e}"))?;
    let outcome = runtime.block_on(compare(plan));
    runtime.shutdown_timeout(LAST_TASKS);
    outcome
}

async fn compare(plan: Plan) -> Result<(), String> {
    // Before anything is measured: an hour of work must not end in a folder that is not there.
    let output = output::Output::prepare(&plan.wanted)?;
    let results = match results_of(&plan).await {
        Ok(results) => results,
        Err(why) => {
            output.discard();
            return Err(why);
        }
    };
    print!("{}", table::render(&results));
    for written in output.write(&results)? {
        eprintln!("written: {}", written.display());
    }
    Ok(())
}

/// Measures until all is done or a signal comes.
async fn results_of(plan: &Plan) -> Result<Results, String> {
    let mut ends = Ends::listen()?;
    let mut progress = Progress::new();
    progress.say(&plan.introduction());
    let began = Instant::now();
    let place = tokio::select! {
        place = tokio::time::timeout(PREPARING, Place::of(plan)) => {
            place.map_err(|_| "the server does not answer".to_owned())??
        }
        () = ends.wait() => return Err("it was stopped before anything was measured".to_owned()),
    };
    let mut results = Results::new(plan);
    tokio::select! {
        kernel = measure::kernel_memory(&place, plan) => results.kernel = kernel,
        () = ends.wait() => results.complete = false,
    }
    if results.complete {
        results.complete = run_all(plan, &place, &mut ends, &mut progress, &mut results).await;
    }
    progress.end();
    place.leave().await;
    results.conclude(began.elapsed());
    if results.cells.is_empty() {
        let why = results.failed.first().map_or("it was stopped before the first one ended", |f| f);
        return Err(format!("no run was measured: {why}"));
    }
    Ok(results)
}

/// Runs all jobs in lanes; false when a signal came first.
async fn run_all(
    plan: &Plan,
    place: &Arc<Place>,
    ends: &mut Ends,
    progress: &mut Progress,
    results: &mut Results,
) -> bool {
    let mut queue = Queue::new(plan.jobs(), plan.lanes());
    let mut running: JoinSet<(Job, Result<Run, String>)> = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        while let Some(job) = queue.next_job() {
            let place = Arc::clone(place);
            running.spawn(async move {
                let outcome = measure::measure(&place, &job).await;
                (job, outcome)
            });
        }
        if running.is_empty() {
            return true;
        }
        tokio::select! {
            () = ends.wait() => {
                // Dropping a run kills its server.
                running.shutdown().await;
                return false;
            }
            _ = tick.tick() => progress.show(&queue),
            Some(ended) = running.join_next() => match ended {
                Ok((job, Ok(run))) => {
                    queue.ended(&job);
                    results.add(&job, run);
                }
                Ok((job, Err(why))) => {
                    queue.ended(&job);
                    progress.say(&format!("{}: {why}", job.cell));
                    results.failed.push(format!("{}: {why}", job.cell));
                }
                Err(error) => {
                    results.failed.push(format!("a run failed: {error}"));
                    running.shutdown().await;
                    return false;
                }
            },
        }
    }
}

/// Signals that end the measuring, not the process.
struct Ends([tokio::signal::unix::Signal; 3]);

impl Ends {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("signals cannot be caught: {e}"));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn wait(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}
