//! A real server process, and what the kernel says about it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{Outcome, client, report};

/// A running server in a directory of its own.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`
    pub host: String,
    /// When the process was started.
    begun: Instant,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts the release binary; with `core`, on that one core only.
    pub fn start(core: Option<usize>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // What is measured comes after everybody is there.
        let settings = [("HALLEY_ADMISSIONS_PER_SECOND", "0")];
        Self::start_program(env!("CARGO_BIN_EXE_halley").as_ref(), core, &settings)
    }

    /// The same with another version of the program.
    pub fn start_program(
        program: &Path,
        core: Option<usize>,
        settings: &[(&str, &str)],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Self::start_over(tempfile::tempdir()?, program, core, settings)
    }

    /// The same over what is in `data` of a directory.
    pub fn start_over(
        data: tempfile::TempDir,
        program: &Path,
        core: Option<usize>,
        settings: &[(&str, &str)],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // Alone in an empty directory, as somebody would install it.
        let binary = data.path().join("halley");
        std::fs::copy(program, &binary)?;
        let mut command = pinned(core, &binary);
        command
            .args(["serve", "--port", "0", "--data"])
            .arg(data.path().join("data"))
            .current_dir(data.path())
            .env("HALLEY_STREAMS_TOTAL", "20000")
            .envs(settings.iter().copied())
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Err("the server ended before it listened".into());
            }
        }
        let host = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Self { child, host, begun, _data: data })
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        memory_of(self.pid())
    }

    /// Largest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        kilobytes(&format!("/proc/{}/status", self.pid()), "VmHWM:") * 1024
    }

    /// Processor time used so far, user and kernel.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.pid())
    }
}

/// A program, on one core if so wanted.
pub fn pinned(core: Option<usize>, program: &Path) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Keeps this process off the first core, which is for the servers. `None` when that cannot be.
pub fn leave_first_core() -> Option<usize> {
    // Once it is done there seem to be fewer cores.
    static CORE: OnceLock<Option<usize>> = OnceLock::new();
    *CORE.get_or_init(leave)
}

fn leave() -> Option<usize> {
    let last = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    let cores = format!("{}-{last}", last.min(1));
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", &cores, &id]).output();
    let done = last > 0 && pinned.is_ok_and(|output| output.status.success());
    if !done {
        println!("(this process could not be kept off the server's core)");
    }
    done.then_some(0)
}

/// Resident memory of a process in bytes.
pub fn memory_of(pid: u32) -> u64 {
    kilobytes(&format!("/proc/{pid}/status"), "VmRSS:") * 1024
}

/// Processor time that a process has used, user and kernel.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime are fields 14 and 15 of proc(5); the kernel counts in 1/100 s.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// A number of kilobytes in a file of names and numbers.
fn kilobytes(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Start of the process to the first 200, and memory when idle.
pub async fn measure_start() -> Outcome {
    report::part("Start and idle memory (fresh directory)");
    let mut first = Vec::new();
    let mut memory = 0;
    for _ in 0..5 {
        let server = Server::start(None)?;
        let answer = client::get(&server.host, "/").await?;
        first.push(server.begun.elapsed());
        if answer.status != 200 {
            return Err(format!("the welcome page answers {}", answer.status).into());
        }
        let style = style_sheet(&answer.body).ok_or("the welcome page has no style sheet")?;
        let answer = client::get(&server.host, &style).await?;
        if answer.status != 200 || answer.body.is_empty() {
            return Err(format!("{style} answers {}", answer.status).into());
        }
        // Idle means after its first page, when caches and allocators have settled.
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = memory.max(server.memory());
    }
    let first = report::Latencies::new(first);
    report::line(
        "start to first 200 (median of 5)",
        &format!("{:.0} ms", first.share(0.5).as_secs_f64() * 1e3),
        None,
    );
    report::line("idle memory (largest of 5)", &megabytes(memory), None);
    Ok(())
}

/// The address of the first style sheet of a page.
fn style_sheet(page: &[u8]) -> Option<String> {
    let page = std::str::from_utf8(page).ok()?;
    let tag = page.split("<link").find(|tag| tag.contains("rel=\"stylesheet\""))?;
    let address = tag.split("href=\"").nth(1)?.split('"').next()?;
    Some(address.replace("&#x2f;", "/"))
}

/// Bytes as people read them.
#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
