//! What is measured: cells, runs, and how long each of them takes.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::http::Target;
use super::schedule::{Lanes, simulate};

/// How events reach the clients of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// There are no clients: what the writer alone costs.
    Nobody,
    /// One streamed response each.
    Stream,
    /// Held requests, one after the other.
    Hold,
    /// A request each time this interval has passed.
    Poll(Duration),
}

impl Delivery {
    /// `stream`, `hold` or `poll`; `none` for nobody.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Stream => "stream",
            Self::Hold => "hold",
            Self::Poll(_) => "poll",
        }
    }

    /// Interval of polling.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Poll(interval) => Some(interval),
            _ => None,
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval() {
            Some(interval) => write!(f, "poll {} s", interval.as_secs_f64()),
            None => f.write_str(self.name()),
        }
    }
}

/// One combination of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// How events reach the clients.
    pub delivery: Delivery,
    /// How many clients there are.
    pub clients: usize,
    /// Time between two edits.
    pub publish: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivery, clients, publish } = self;
        write!(f, "{delivery}, {clients} clients, an edit each {} s", publish.as_secs_f64())
    }
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Edits and requests that are not measured.
    pub warm_up: Duration,
    /// What is measured: a whole number of publish intervals.
    pub window: Duration,
    /// How long the last edits of the window may take at most.
    pub drain: Duration,
}

/// Shortest warm-up.
const WARM_UP: Duration = Duration::from_secs(2);

/// Publish intervals in a window, at least.
const EDITS: f64 = 3.0;

/// A server's start, and a millisecond for each client that connects.
const START: Duration = Duration::from_millis(1_000);

/// Between two clients that connect, so that opening them does not disturb the other lanes.
pub const CONNECT_PAUSE: Duration = Duration::from_millis(1);

/// How long an edit may be on its way beyond the interval of a poll before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cell {
    /// How long its parts take, with a window of at least `least`.
    pub fn timing(&self, least: Duration) -> Timing {
        let poll = self.delivery.interval().unwrap_or_default();
        let (publish, poll_s) = (self.publish.as_secs_f64(), poll.as_secs_f64());
        let wanted = least.as_secs_f64().max(EDITS * publish).max(poll_s);
        // A thousandth of an interval is rounding, not a reason for one more.
        let edits = (wanted / publish - 1e-3).ceil().max(1.0);
        Timing {
            warm_up: WARM_UP.max(poll),
            window: Duration::from_secs_f64(edits * publish),
            drain: poll + PATIENCE,
        }
    }

    /// About how long a run takes, in all.
    pub fn duration(&self, least: Duration) -> Duration {
        let timing = self.timing(least);
        let poll = self.delivery.interval().unwrap_or_default();
        let connecting = CONNECT_PAUSE * u32::try_from(self.clients).unwrap_or(u32::MAX);
        // The last edit comes half an interval before the end of the window.
        let after = poll.saturating_sub(self.publish / 2);
        START + connecting + timing.warm_up + timing.window + after
    }

    /// Estimate of the share of one core that a run keeps busy, clients included.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn load(&self) -> f64 {
        const DELIVERY: f64 = 25e-6;
        const REQUEST: f64 = 70e-6;
        const REST: f64 = 0.004;
        let clients = self.clients as f64;
        let edits = self.publish.as_secs_f64().recip();
        let requests = match self.delivery {
            Delivery::Nobody => 0.0,
            Delivery::Stream => 1.0 / 15.0,
            Delivery::Hold => edits.max(1.0 / 25.0),
            Delivery::Poll(interval) => interval.as_secs_f64().recip(),
        };
        REST + clients * (edits * DELIVERY + requests * REQUEST)
    }
}

/// One run of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which cell.
    pub cell: Cell,
    /// Which run of it, from 0.
    pub run: usize,
    /// Shortest window.
    pub least: Duration,
}

/// Where a deployed Halley is, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// How it is reached.
    pub target: Target,
    /// The page that is only read; `None`: a scratch page is made, written and deleted.
    pub only_read: Option<String>,
}

/// What is written at the end.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Directory for everything that is not named below.
    pub directory: Option<PathBuf>,
    /// File of the JSON.
    pub json: Option<PathBuf>,
    /// File of the CSV.
    pub csv: Option<PathBuf>,
    /// File of the HTML.
    pub html: Option<PathBuf>,
    /// File of the Markdown.
    pub markdown: Option<PathBuf>,
}

/// A whole comparison.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ways of delivery without the interval of polling, in the order of the report.
    pub deliveries: Vec<Delivery>,
    /// Numbers of clients, ascending.
    pub clients: Vec<usize>,
    /// Publish intervals, ascending.
    pub publish: Vec<Duration>,
    /// Runs of each cell.
    pub runs: usize,
    /// Shortest window.
    pub least: Duration,
    /// How much may run at once.
    pub lanes: Option<usize>,
    /// A deployed Halley; `None`: processes of its own.
    pub remote: Option<Remote>,
    /// What is written.
    pub wanted: Wanted,
    /// The command's options, for the report.
    pub command: String,
}

impl Plan {
    /// All cells in the order of the report. The ones without clients come first.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        if self.remote.is_none() {
            let nobody = |publish: &Duration| Cell {
                delivery: Delivery::Nobody,
                clients: 0,
                publish: *publish,
            };
            cells.extend(self.publish.iter().map(nobody));
        }
        for &publish in &self.publish {
            for &clients in &self.clients {
                cells.extend(self.deliveries.iter().map(|&delivery| Cell {
                    delivery,
                    clients,
                    publish,
                }));
            }
        }
        cells
    }

    /// All runs: first each cell once, so that stopping early leaves something of everything, and
    /// the longest first, so that the lanes end together.
    pub fn jobs(&self) -> Vec<Job> {
        let mut cells = self.cells();
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.duration(self.least)));
        (0..self.runs)
            .flat_map(|run| cells.iter().map(move |&cell| Job { cell, run, least: self.least }))
            .collect()
    }

    /// How much may run at once.
    pub fn lanes(&self) -> Lanes {
        if self.remote.is_some() {
            // One after the other: a deployed server has other users.
            return Lanes::new(1);
        }
        self.lanes.map_or_else(Lanes::for_this_machine, Lanes::new)
    }

    /// What is about to happen.
    pub fn introduction(&self) -> String {
        let jobs = self.jobs();
        let lanes = self.lanes();
        let time = simulate(&jobs, &[], &lanes);
        let what = match &self.remote {
            Some(remote) => format!("measuring {}", remote.target),
            None => "measuring server processes of its own".to_owned(),
        };
        format!(
            "{what}: {} cells, {} runs each, up to {} at once; about {}. Ctrl-C keeps what was \
             measured.",
            self.cells().len(),
            self.runs,
            lanes.count,
            words_of(time)
        )
    }
}

/// A time to wait, as people say it.
pub fn words_of(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..100 => format!("{s} s"),
        s @ 100..5_400 => format!("{} min", (s + 30) / 60),
        s => format!("{:.1} h", Duration::from_secs(s).as_secs_f64() / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_is_whole_publish_intervals_and_holds_each_poll_once() {
        let cell = |delivery, publish| Cell { delivery, clients: 10, publish };
        let timing = cell(Delivery::Stream, S).timing(10 * S);
        assert_eq!((timing.warm_up, timing.window), (2 * S, 10 * S));
        let timing = cell(Delivery::Poll(50 * S), S).timing(10 * S);
        assert_eq!((timing.warm_up, timing.window, timing.drain), (50 * S, 50 * S, 55 * S));
        let timing = cell(Delivery::Poll(50 * S), 15 * S).timing(10 * S);
        assert_eq!(timing.window, 60 * S);
        let timing = cell(Delivery::Stream, 50 * S).timing(10 * S);
        assert_eq!(timing.window, 150 * S);
        let timing = cell(Delivery::Stream, Duration::from_millis(100)).timing(2 * S);
        assert_eq!(timing.window, 2 * S);
    }

    #[test]
    fn each_cell_runs_once_before_any_runs_twice() {
        let plan = Plan {
            deliveries: vec![Delivery::Stream, Delivery::Poll(S)],
            clients: vec![1, 2],
            publish: vec![S],
            runs: 2,
            least: S,
            lanes: None,
            remote: None,
            wanted: Wanted::default(),
            command: String::new(),
        };
        // Two clients × two ways, and the writer alone.
        assert_eq!(plan.cells().len(), 5);
        let jobs = plan.jobs();
        assert_eq!(jobs.len(), 10);
        assert!(jobs[..5].iter().all(|job| job.run == 0));
    }
}
