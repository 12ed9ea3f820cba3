//! The program `halley`: its command line, and the order in which it starts and ends.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use halley::compare;
use halley::config::{Config, Overrides};
use halley::door::socket;
use halley::live::Live;
use halley::live::erase::{Order, What};
use halley::page::PagePath;
use halley::store::Store;
use halley::{logging, serve, upkeep, welcome};

/// A wiki that many people write and read at once, live over plain HTTP.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the wiki (this is what halley does when no command is given)
    Serve(Serve),
    /// Measure streaming against polling, on this machine or on a deployed Halley
    Compare(Box<compare::Args>),
    /// Show what the history of each page takes on disk (of a wiki that is not running)
    History(History),
    /// Erase a text, or all of one author, from a page's whole history (of a wiki that is not running)
    Erase(Erase),
    /// Pack history now (of a wiki that is not running; one that runs does it by itself)
    Compact(Data),
}

#[derive(Args)]
struct History {
    #[command(flatten)]
    data: Data,
    /// Pages to show, the most expensive first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Args)]
struct Erase {
    #[command(flatten)]
    data: Data,
    /// The page to erase from
    #[arg(long, value_name = "PATH", required_unless_present = "all_pages")]
    page: Option<PagePath>,
    /// Erase from every page
    #[arg(long, conflicts_with = "page")]
    all_pages: bool,
    /// Erase the text that comes on standard input (without its last line end), wherever it could
    /// ever be read
    #[arg(long, required_unless_present = "author")]
    text_from_stdin: bool,
    /// Erase what this author wrote, and their name (the 12 characters after author= in addresses of
    /// the history)
    #[arg(long, value_name = "HANDLE", conflicts_with = "text_from_stdin")]
    author: Option<String>,
    /// Why, for everybody to read in the history
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who erases, for everybody to read in the history
    #[arg(long, value_name = "NAME", default_value = "An administrator")]
    by: String,
}

impl Erase {
    fn run(self) -> Result<(), String> {
        let what = match self.author {
            Some(author) => What::Author(author),
            None => What::Text(upkeep::erase::read_text()?),
        };
        let order = Order { page: self.page, what, by: self.by, why: self.why };
        self.data.config().and_then(|config| upkeep::erase::erase(&config, &order))
    }
}

#[derive(Args)]
struct Data {
    /// Directory that holds everything [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Data {
    fn config(self) -> Result<Config, String> {
        let overrides = Overrides { data: self.data, ..Overrides::default() };
        Config::load(overrides).map_err(|e| e.to_string())
    }
}

#[derive(Args, Default)]
struct Serve {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "A")]
    address: Option<IpAddr>,
    /// Port to listen on, 0 for any free one [default: 8000]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Directory that holds everything, made when it is missing [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Settings are read from Rocket.toml (section [default.halley]) and from variables that begin with
HALLEY_, such as HALLEY_SITE_NAME or HALLEY_PUBLIC_ORIGIN; Rocket.toml in the source lists them
all. HALLEY_LOG sets what is logged (error, warn, info, debug).";

/// Time for whatever still runs after the data is safe.
const LAST_TASKS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start();
    let outcome = match cli.command {
        None => start(cli.serve),
        Some(Command::Serve(args)) => start(args),
        Some(Command::Compare(args)) => compare::run(*args),
        Some(Command::History(args)) => {
            args.data.config().and_then(|config| upkeep::history(&config, args.limit))
        }
        Some(Command::Erase(args)) => args.run(),
        Some(Command::Compact(args)) => args.config().and_then(|config| upkeep::compact(&config)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("halley: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal comes. An error is a sentence for whoever started the program.
fn start(args: Serve) -> Result<(), String> {
    let Serve { address, port, data } = args;
    let config = Config::load(Overrides { address, port, data }).map_err(|e| e.to_string())?;
    socket::raise_file_limit();
    // Before anything can be read.
    upkeep::erase::settle(&config)?;
    let runtime = rocket::tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers())
        .thread_name("halley-worker")
        .enable_all()
        .build()
        .map_err(|e| format!("the threads of the server could not be started: {e}"))?;
    let outcome = runtime.block_on(run(config));
    runtime.shutdown_timeout(LAST_TASKS);
    outcome
}

async fn run(config: Config) -> Result<(), String> {
    let place = config.data.display().to_string();
    let bad_data = |e: &dyn std::fmt::Display| format!("{place}: {e}");
    let (dir, options) = (config.data.clone(), config.store());
    let opening = rocket::tokio::task::spawn_blocking(move || Store::open(&dir, options));
    let store = opening.await.map_err(|e| bad_data(&e))?.map_err(|e| bad_data(&e))?;
    watch(store.clone());
    let live = Live::open(store, &config.live()).map_err(|e| bad_data(&e))?;
    let health = live.health();
    for notice in health.recovered.iter().chain(&health.read_only) {
        log::warn!("{notice}");
    }
    if let Err(e) = welcome::seed(&live).await {
        // A full disk must not keep anybody from reading.
        log::error!("the welcome page could not be written: {e}");
    }
    let launched = serve::run(config, live.clone()).await;
    // Also after a failed launch: whatever was written is put in order.
    live.close().await;
    launched.map_err(|e| e.to_string())
}

/// Ends the process when the store has failed: nothing more may be acknowledged, and the next
/// start recovers.
fn watch(store: Store) {
    rocket::tokio::spawn(async move {
        let why = store.failed().await;
        log::error!("the store has failed and the server ends: {why}");
        eprintln!("halley: the store has failed: {why}");
        std::process::exit(1);
    });
}
