//! A real server process, and what the kernel says about it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
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
        // Alone in an empty directory, as somebody would install it.
        let data = tempfile::tempdir()?;
        let binary = data.path().join("halley");
        std::fs::copy(env!("CARGO_BIN_EXE_halley"), &binary)?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(&binary);
                command
            }
            None => Command::new(&binary),
        };
        command
            .args(["serve", "--port", "0", "--data"])
            .arg(data.path().join("data"))
            .current_dir(data.path())
            .env("HALLEY_STREAMS_TOTAL", "20000")
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

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:").unwrap_or(0) * 1024
    }

    /// Largest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:").unwrap_or(0) * 1024
    }

    /// Processor time used so far, user and kernel.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        // utime and stime are fields 14 and 15 of proc(5); the kernel counts in 1/100 s.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    fn status(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
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
