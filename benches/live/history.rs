//! What a page costs that was edited often: to open it, to edit it, to play its life.

use std::path::Path;
use std::time::{Duration, Instant};

use halley::live::timeline::Timeline;
use halley::page::{PageId, Revision};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::client::{Connection, get};
use super::large_page::{self, People};
use super::server::Server;
use super::{Outcome, report};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Edits of the page, each at the same size of its text.
const EDITS: [usize; 3] = [1_000, 10_000, 100_000];
/// UTF-16 units of the page.
const UNITS: usize = 100_000;
/// Starts of a server, and so first requests.
const STARTS: usize = 5;
/// Later requests.
const AGAIN: usize = 50;
const SEEKS: usize = 200;

/// Prints the tables.
pub async fn measure_history() -> Outcome {
    report::part(
        "A page of 100 KB after many edits (first request of a server / later ones, medians)",
    );
    println!("load of the machine before: {}", report::load());
    for edits in EDITS {
        measure(edits).await?;
    }
    println!("load of the machine after: {}", report::load());
    Ok(())
}

/// What it takes to read a page.
struct Read {
    /// The first request of a server.
    first: Duration,
    /// Later ones.
    later: Duration,
}

async fn measure(edits: usize) -> Outcome {
    let kept = tempfile::tempdir()?;
    let clients: Vec<u64> = (0..large_page::AUTHORS as u64).map(|who| who * 7_919 + 11).collect();
    let log = People::new(7, &clients, UNITS).write(edits);
    let page = large_page::store_log(&kept.path().join("data"), "Large", &log).await;
    println!("\n{edits} edits");
    let read = ask(kept.path(), page, true).await?;
    // How long a text takes to render depends on the text, and that differs with the edits.
    let once = tempfile::tempdir()?;
    let (data, log) = (once.path().join("data"), large_page::at_once(&log));
    let other = large_page::store_log(&data, "Large", &log).await;
    let same = ask(once.path(), other, false).await?;
    let times = |history: Duration, none: Duration| history.as_secs_f64() / none.as_secs_f64();
    println!(
        "  to read it takes {:.2} (first) and {:.2} (later) times what it takes where the same text \
         was put there at once: {:.1} / {:.2} ms",
        times(read.first, same.first),
        times(read.later, same.later),
        same.first.as_secs_f64() * 1e3,
        same.later.as_secs_f64() * 1e3,
    );
    seek(&kept.path().join("data"), page).await
}

/// Asks servers over a data directory for the page in all forms, or only to read it.
async fn ask(kept: &Path, page: PageId, all: bool) -> Result<Read> {
    let asked = [
        ("GET /wiki/Large (to read it)", "/wiki/Large".to_owned()),
        ("GET /_live/.../doc (to edit it)", format!("/_live/pages/{page}/doc")),
        ("GET /playback/Large", "/playback/Large".to_owned()),
        ("GET /_live/.../timeline", format!("/_live/pages/{page}/timeline")),
    ];
    let mut read = Read { first: Duration::ZERO, later: Duration::ZERO };
    for (what, path) in asked {
        let (mut first, mut later, mut bytes) = (Vec::new(), Vec::new(), (0, 0));
        for start in 0..STARTS {
            let data = tempfile::tempdir()?;
            copy_all(&kept.join("data"), &data.path().join("data"))?;
            let program = Path::new(env!("CARGO_BIN_EXE_halley"));
            let server = Server::start_over(data, program, None, &[])?;
            // Whatever a server does once is done.
            get(&server.host, "/static/").await?;
            let mut connection = Connection::open(&server.host).await?;
            for n in 0..if start == 0 { AGAIN } else { 1 } {
                let begun = Instant::now();
                let gzip = "Accept-Encoding: gzip\r\n";
                let answer = connection.send("GET", &path, gzip, b"").await?;
                let took = begun.elapsed();
                if answer.status != 200 {
                    return Err(format!("{path}: {}", answer.status).into());
                }
                if n == 0 {
                    first.push(took);
                } else {
                    later.push(took);
                }
                bytes.0 = answer.body.len();
            }
            bytes.1 = connection.send("GET", &path, "", b"").await?.body.len();
        }
        let (first, later) = (report::Latencies::new(first), report::Latencies::new(later));
        if path == "/wiki/Large" {
            read = Read { first: first.share(0.5), later: later.share(0.5) };
        }
        if !all {
            return Ok(read);
        }
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        let sent = if bytes.0 == bytes.1 {
            format!("{} bytes", bytes.1)
        } else {
            format!("{} bytes, {} sent", bytes.1, bytes.0)
        };
        println!(
            "  {what:<34} {:>8.1} / {:>6.2} ms   {sent}",
            ms(first.share(0.5)),
            ms(later.share(0.5))
        );
    }
    Ok(read)
}

/// Text and authors at random moments, by the server's own code; browsers have theirs, which
/// `tests/browser/playback-large.test.mjs` measures.
async fn seek(data: &Path, page: PageId) -> Outcome {
    let (store, live) = large_page::open(data).await;
    let timeline = live.timeline(page).await?;
    let mut random = StdRng::seed_from_u64(7);
    let mut moment = || Revision(random.random_range(0..=timeline.head().0));
    let texts = measure_seeks(|| timeline.text_at(moment()).map(drop));
    let mut random = StdRng::seed_from_u64(8);
    let mut moment = || Revision(random.random_range(0..=timeline.head().0));
    let blames = measure_seeks(|| timeline.blame_at(moment()).map(drop));
    print_seeks("text at a random moment", &texts, &timeline);
    print_seeks("authors at a random moment", &blames, &timeline);
    drop((live, timeline));
    large_page::close(store).await;
    Ok(())
}

fn measure_seeks(mut seek: impl FnMut() -> Option<()>) -> report::Latencies {
    let mut times = Vec::new();
    for _ in 0..SEEKS {
        let begun = Instant::now();
        std::hint::black_box(seek());
        times.push(begun.elapsed());
    }
    report::Latencies::new(times)
}

fn print_seeks(what: &str, times: &report::Latencies, timeline: &Timeline) {
    println!("  {what:<34} {} of {} spans", times.to_text(), timeline.spans().len());
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
