//! Threads that render large pages, behind everything else.
//!
//! A rendering takes milliseconds, a keystroke's way through the server a fraction of one. On
//! threads of usual priority the kernel lets a rendering finish its turn of some milliseconds
//! first; these ask for less (see `sched(7)`, "The nice value"), so the tasks that deliver
//! keystrokes come in at once. Few and lasting, because the highlighter's regular expressions
//! keep their scratch memory for the thread that used it first.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

/// How much less than everything else they get while there is something else to do.
const NICE: i32 = 10;

/// Most threads; a page is rendered by one.
const MOST: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end when this is dropped.
pub(super) struct RenderThreads {
    jobs: mpsc::Sender<Job>,
}

impl RenderThreads {
    /// Starts as many as there are processors, at most [`MOST`].
    pub fn start() -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        for _ in 0..count {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new().name("halley-render".into()).spawn(move || {
                // Refused by some sandboxes; then a rendering delays others for some milliseconds.
                let _ = rustix::process::setpriority_process(None, NICE);
                loop {
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Has something done there; `None` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            let _ = done.send(work());
        });
        // The threads live as long as this.
        self.jobs.send(job).ok()?;
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_takes_no_thread_with_it() {
        let threads = RenderThreads::start().expect("threads");
        for _ in 0..2 * MOST {
            assert_eq!(threads.run(|| panic!("as it happens")).await, None::<()>);
        }
        let name = threads.run(|| std::thread::current().name().map(str::to_owned)).await;
        assert_eq!(name.flatten().as_deref(), Some("halley-render"));
    }

    #[tokio::test]
    async fn they_give_way_to_everything_else() {
        let threads = RenderThreads::start().expect("threads");
        let nice = || rustix::process::getpriority_process(None).expect("a priority");
        assert_eq!(threads.run(nice).await, Some(NICE.max(nice())));
    }
}
