//! How far it is, on standard error: one line that is written over in a terminal, and a line each
//! half minute and each twentieth elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use super::plan::words_of;
use super::schedule::Queue;

/// Between two lines where nothing can be written over.
const PAUSE: Duration = Duration::from_secs(30);

/// Characters of the bar.
const WIDTH: usize = 30;

/// A bar.
pub struct Progress {
    terminal: bool,
    shown: bool,
    last: Option<Instant>,
    /// Twentieths that were done when it was shown last.
    twentieths: usize,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: false, last: None, twentieths: 0 }
    }

    /// Shows how far it is.
    pub fn show(&mut self, queue: &Queue) {
        let (done, total) = (queue.done(), queue.total);
        let twentieths = 20 * done / total.max(1);
        let recent = self.last.is_some_and(|last| last.elapsed() < PAUSE);
        if !self.terminal && recent && twentieths == self.twentieths {
            return;
        }
        (self.last, self.twentieths) = (Some(Instant::now()), twentieths);
        let full = WIDTH * done / total.max(1);
        let bar: String = (0..WIDTH).map(|n| if n < full { '#' } else { '.' }).collect();
        let left = words_of(queue.time_left());
        let line = format!("[{bar}] {done} of {total} runs, about {left} left");
        if self.terminal {
            eprint!("\r{line}\x1b[K");
            let _ = stderr().flush();
            self.shown = true;
        } else {
            eprintln!("{line}");
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, what: &str) {
        self.end();
        eprintln!("{what}");
    }

    /// Leaves the line.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}
