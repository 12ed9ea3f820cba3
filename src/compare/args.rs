//! The command's options, and the plan that they make.

use std::path::PathBuf;
use std::time::Duration;

use super::http::Target;
use super::plan::{Delivery, Plan, Remote, Wanted};

/// Options of `halley compare`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// A short grid that ends within 3 minutes on 2 cores
    #[arg(long)]
    quick: bool,
    /// Numbers of clients [default: 100,200,350,500,1000]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    clients: Vec<usize>,
    /// Seconds between two edits [default: 1,5,15,50]
    #[arg(long, value_name = "S,..", value_delimiter = ',')]
    publish: Vec<f64>,
    /// Seconds between two polls of a client [default: 1,5,15,50]
    #[arg(long, value_name = "S,..", value_delimiter = ',')]
    poll: Vec<f64>,
    /// Ways of delivery: stream, hold, poll [default: all]
    #[arg(long, value_name = "M,..", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Runs of each combination
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Shortest measured time of a run, in seconds
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    window: f64,
    /// Runs at once, each with a server of its own; 1 measures undisturbed and takes hours
    /// [default: by memory and cores, bounded by an estimate of the load]
    #[arg(long, value_name = "N")]
    lanes: Option<usize>,
    /// Measure a deployed Halley, as its users see it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// With --url: send this token (Authorization: Bearer)
    #[arg(long, value_name = "T", requires = "url")]
    token: Option<String>,
    /// With --url: send this cookie, such as 'name=value'
    #[arg(long, value_name = "C", requires = "url", conflicts_with = "token")]
    cookie: Option<String>,
    /// With --url: write nothing, only watch the page PATH (or Home) while others write it
    #[arg(
        long,
        value_name = "PATH",
        requires = "url",
        num_args = 0..=1,
        default_missing_value = "Home"
    )]
    read_only: Option<String>,
    /// Directory for the reports [default: halley-compare-<date>]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "csv", "html", "markdown"])]
    out: Option<PathBuf>,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the figures to this file as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the report to this file, which opens without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a short form of the report to this file as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The full grid takes about 35 minutes on 2 cores; what it will take is said at its start. Ctrl-C
keeps what was measured and writes the reports. Without --json, --csv or --html all three are
written to a directory.

With --url the defaults are 10 clients, an edit each 2 s and polls each 2 and 5 s. At most 100
clients, one run at a time, and no interval below a second. Edits go to a scratch page that is
deleted at the end. The processor time and memory of a deployed server cannot be seen.";

/// A way of delivery, before it has an interval.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Stream,
    Hold,
    Poll,
}

/// Bounds of the options: `(clients, seconds)`.
struct Bounds {
    clients: usize,
    shortest: f64,
}

const OWN: Bounds = Bounds { clients: 100_000, shortest: 0.05 };

/// Somebody else's server: what ten busy people would do to it.
const DEPLOYED: Bounds = Bounds { clients: 100, shortest: 1.0 };

const LONGEST: f64 = 3600.0;

impl Args {
    /// Checks the options.
    ///
    /// # Errors
    /// A sentence about the first one that cannot be used.
    pub(super) fn plan(self) -> Result<Plan, String> {
        let command = self.command();
        let remote = self.remote()?;
        let bounds = if remote.is_some() { DEPLOYED } else { OWN };
        let (clients, publish, poll): (&[usize], &[f64], &[f64]) = match (&remote, self.quick) {
            (Some(_), _) => (&[10], &[2.0], &[2.0, 5.0]),
            (None, true) => (&[100, 500], &[1.0, 5.0], &[1.0, 5.0]),
            (None, false) => {
                (&[100, 200, 350, 500, 1000], &[1.0, 5.0, 15.0, 50.0], &[1.0, 5.0, 15.0, 50.0])
            }
        };
        let clients = or(&self.clients, clients);
        if clients.iter().any(|n| !(1..=bounds.clients).contains(n)) {
            return Err(format!("--clients takes numbers from 1 to {}", bounds.clients));
        }
        let publish = seconds("--publish", or(&self.publish, publish), &bounds)?;
        let poll = seconds("--poll", or(&self.poll, poll), &bounds)?;
        if !(1..=100).contains(&self.runs) {
            return Err("--runs takes a number from 1 to 100".to_owned());
        }
        let least = seconds("--window", vec![self.window], &OWN)?[0];
        let modes = or(&self.modes, &[Mode::Stream, Mode::Hold, Mode::Poll]);
        let mut deliveries = Vec::new();
        if modes.contains(&Mode::Stream) {
            deliveries.push(Delivery::Stream);
        }
        if modes.contains(&Mode::Hold) {
            deliveries.push(Delivery::Hold);
        }
        if modes.contains(&Mode::Poll) {
            deliveries.extend(poll.into_iter().map(Delivery::Poll));
        }
        let mut wanted = Wanted {
            directory: self.out,
            json: self.json,
            csv: self.csv,
            html: self.html,
            markdown: self.markdown,
        };
        let named = [&wanted.json, &wanted.csv, &wanted.html, &wanted.markdown];
        if named.iter().all(|file| file.is_none()) {
            wanted.directory.get_or_insert_with(|| {
                let now = crate::time::iso(crate::time::now_ms());
                // A colon is no part of a file's name everywhere.
                PathBuf::from(format!("halley-compare-{}", now.replace(':', "")))
            });
        }
        let mut clients = clients;
        clients.sort_unstable();
        clients.dedup();
        Ok(Plan {
            deliveries,
            clients,
            publish,
            runs: self.runs,
            least,
            lanes: self.lanes,
            remote,
            wanted,
            command,
        })
    }

    fn remote(&self) -> Result<Option<Remote>, String> {
        let Some(url) = &self.url else { return Ok(None) };
        let mut target = Target::parse(url)?;
        // Whoever looks after the server should see who asks.
        target.headers = format!("User-Agent: halley-compare/{}\r\n", env!("CARGO_PKG_VERSION"));
        let clean = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if let Some(token) = self.token.as_deref().filter(|token| clean(token)) {
            target.headers.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(cookie) = self.cookie.as_deref().filter(|cookie| clean(cookie)) {
            // With a cookie a write must prove where it comes from.
            let lines = format!("Cookie: {cookie}\r\nOrigin: {}\r\n", target.origin());
            target.headers.push_str(&lines);
        }
        if [&self.token, &self.cookie].into_iter().flatten().any(|secret| !clean(secret)) {
            return Err("--token and --cookie take plain ASCII".to_owned());
        }
        Ok(Some(Remote { target, only_read: self.read_only.clone() }))
    }

    /// What was asked for, without secrets.
    fn command(&self) -> String {
        use std::fmt::Write as _;
        let mut text = "halley compare".to_owned();
        let mut list = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                let _ = write!(text, " {name} {}", values.join(","));
            }
        };
        let numbers = |values: &[f64]| values.iter().map(ToString::to_string).collect();
        list("--clients", self.clients.iter().map(ToString::to_string).collect());
        list("--publish", numbers(&self.publish));
        list("--poll", numbers(&self.poll));
        list("--modes", self.modes.iter().map(|m| format!("{m:?}").to_lowercase()).collect());
        list("--runs", vec![self.runs.to_string()]);
        list("--lanes", self.lanes.iter().map(ToString::to_string).collect());
        if self.quick {
            text.push_str(" --quick");
        }
        if let Some(url) = &self.url {
            let _ = write!(text, " --url {}", url.rsplit('@').next().unwrap_or_default());
        }
        text
    }
}

fn or<T: Clone>(given: &[T], usual: &[T]) -> Vec<T> {
    if given.is_empty() { usual.to_vec() } else { given.to_vec() }
}

fn seconds(name: &str, mut all: Vec<f64>, bounds: &Bounds) -> Result<Vec<Duration>, String> {
    if all.iter().any(|s| !(bounds.shortest..=LONGEST).contains(s)) {
        return Err(format!("{name} takes seconds from {} to {LONGEST}", bounds.shortest));
    }
    all.sort_unstable_by(f64::total_cmp);
    all.dedup();
    Ok(all.into_iter().map(Duration::from_secs_f64).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let all = std::iter::once(&"compare").chain(args);
        Cli::try_parse_from(all).map_err(|e| e.to_string())?.args.plan()
    }

    #[test]
    fn the_grid_is_the_papers_and_ends_within_about_an_hour() {
        let plan = plan(&[]).expect("a plan");
        // 5 numbers of clients × 4 publish intervals × (stream, hold, 4 polls), and the writer alone.
        assert_eq!(plan.cells().len(), 5 * 4 * 6 + 4);
        let time = crate::compare::schedule::simulate(
            &plan.jobs(),
            &[],
            &crate::compare::schedule::Lanes::new(16),
        );
        assert!(time < Duration::from_secs(66 * 60), "{time:?}");
    }

    #[test]
    fn the_quick_grid_ends_within_three_minutes() {
        let plan = plan(&["--quick"]).expect("a plan");
        // Two cores have 16 lanes, where the memory allows (150 MB each).
        for lanes in [16, 8] {
            let lanes = crate::compare::schedule::Lanes::new(lanes);
            let time = crate::compare::schedule::simulate(&plan.jobs(), &[], &lanes);
            assert!(time < Duration::from_secs(150), "{time:?}");
        }
        assert_eq!(plan.runs, 3);
    }

    #[test]
    fn a_deployed_server_is_treated_politely() {
        let polite = plan(&["--url", "http://wiki.example.org"]).expect("a plan");
        assert_eq!((polite.clients.as_slice(), polite.lanes().count), (&[10][..], 1));
        for rude in [["--clients", "101"], ["--publish", "0.5"], ["--poll", "0.2"]] {
            let args = ["--url", "http://wiki.example.org", rude[0], rude[1]];
            assert!(plan(&args).is_err(), "{rude:?}");
        }
        assert!(plan(&["--token", "x"]).is_err(), "a token is for a deployed server");
        let watched = plan(&["--url", "http://wiki.example.org", "--read-only"]).expect("a plan");
        let page = watched.remote.and_then(|remote| remote.only_read);
        assert_eq!(page.as_deref(), Some("Home"));
    }

    #[test]
    fn what_cannot_be_measured_is_refused_in_a_sentence() {
        for bad in [
            &["--clients", "0"][..],
            &["--publish", "0"],
            &["--poll", "nan"],
            &["--runs", "0"],
            &["--url", "ftp://x"],
            &["--url", "http://x", "--token", "a\nb"],
            &["--out", "a", "--json", "b"],
        ] {
            assert!(plan(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_do_not_reach_the_report() {
        let args = ["--url", "http://me:pass@wiki.example.org", "--token", "secret"];
        let command = Cli::try_parse_from(std::iter::once(&"compare").chain(&args))
            .expect("parses")
            .args
            .command();
        assert!(!command.contains("secret") && !command.contains("pass"), "{command}");
    }
}
