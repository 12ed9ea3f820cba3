//! A server process of a run's own, and what the kernel says about it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http::Target;

/// A running server in a directory of its own; dropping it kills it and removes the directory.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub target: Target,
    _data: tempfile::TempDir,
}

/// Processor time of a process, and which of its threads were there to be asked.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// Of the whole process, in ticks of 10 ms: also of threads that have ended.
    ticks: Duration,
    /// Of the threads that live, to the nanosecond.
    threads: Duration,
    ids: BTreeSet<u32>,
}

impl Cpu {
    /// Time spent since an earlier look. To the nanosecond as long as no thread ended meanwhile,
    /// otherwise to 20 ms.
    pub fn since(&self, earlier: &Self) -> Duration {
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        let threads = self.threads.saturating_sub(earlier.threads);
        // A thread that came and went in between shows only in the ticks.
        let whole = self.ids.is_superset(&earlier.ids)
            && ticks.saturating_sub(threads) < Duration::from_millis(30);
        if whole && !self.ids.is_empty() { threads } else { ticks.max(threads) }
    }
}

impl Server {
    /// Starts this program as a server with settings of its own and waits until it listens. Blocks.
    ///
    /// # Errors
    /// Why it does not listen, in words.
    pub fn start(program: &Path, connections: usize) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("a server could not be started: {e}");
        let data =
            tempfile::Builder::new().prefix("halley-compare-").tempdir().map_err(|e| failed(&e))?;
        let mut command = Command::new(program);
        // Neither the settings of whoever measures nor a Rocket.toml in this directory.
        for (name, _) in std::env::vars_os() {
            let own = name
                .to_str()
                .is_some_and(|name| name.starts_with("HALLEY_") || name.starts_with("ROCKET_"));
            if own {
                command.env_remove(name);
            }
        }
        let room = (connections + 1_000).to_string();
        let mut child = command
            .args(["serve", "--address", "127.0.0.1", "--port", "0", "--data"])
            .arg(data.path().join("data"))
            .current_dir(data.path())
            .env("HALLEY_STREAMS_TOTAL", &room)
            .env("HALLEY_CONNECTIONS_TOTAL", &room)
            // What is measured comes after everybody is there.
            .env("HALLEY_ADMISSIONS_PER_SECOND", "0")
            // Many of them share a disk.
            .env("HALLEY_SEGMENT_BYTES", (4 << 20).to_string())
            .env("HALLEY_LOG", "error")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the one that measures.
            .process_group(0)
            .spawn()
            .map_err(|e| failed(&e))?;
        let address = listens(&mut child);
        match address {
            Ok(address) => {
                let target = Target::parse(&address)?;
                Ok(Self { child, target, _data: data })
            }
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(&why))
            }
        }
    }

    /// Resident memory in bytes (`VmRSS` of proc(5)).
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }

    /// Processor time so far, user and kernel.
    pub fn cpu(&self) -> Cpu {
        let stat = fs::read_to_string(self.proc().join("stat")).unwrap_or_default();
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        // utime and stime are fields 14 and 15 of proc(5), in 1/100 s.
        let mut cpu =
            Cpu { ticks: Duration::from_millis((ticks(11) + ticks(12)) * 10), ..Cpu::default() };
        for thread in fs::read_dir(self.proc().join("task")).into_iter().flatten().flatten() {
            let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
            let time = fs::read_to_string(thread.path().join("schedstat")).ok();
            let time = time.and_then(|t| t.split_whitespace().next()?.parse().ok());
            if let (Some(id), Some(time)) = (id, time) {
                cpu.ids.insert(id);
                cpu.threads += Duration::from_nanos(time);
            }
        }
        cpu
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the line that says where a server listens.
fn listens(child: &mut Child) -> Result<String, String> {
    const MARK: &str = "listening on ";
    let begun = Instant::now();
    let (Some(out), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output cannot be read".to_owned());
    };
    let mut lines = BufReader::new(out);
    let mut line = String::new();
    while begun.elapsed() < Duration::from_secs(60) {
        line.clear();
        if lines.read_line(&mut line).map_err(|e| e.to_string())? == 0 {
            let mut why = String::new();
            let _ = errors.by_ref().take(4096).read_to_string(&mut why);
            return Err(why.trim().to_owned());
        }
        if let Some(address) = line.trim().strip_prefix(MARK) {
            let address = address.to_owned();
            // A pipe that nobody reads would fill and stop it.
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
            return Ok(address);
        }
    }
    Err("it does not say where it listens".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(ticks: u64, threads: u64, ids: &[u32]) -> Cpu {
        Cpu {
            ticks: Duration::from_millis(ticks),
            threads: Duration::from_millis(threads),
            ids: ids.iter().copied().collect(),
        }
    }

    #[test]
    fn processor_time_is_that_of_the_threads_unless_one_of_them_has_gone() {
        let begin = cpu(100, 104, &[1, 2]);
        assert_eq!(cpu(110, 117, &[1, 2, 3]).since(&begin), Duration::from_millis(13));
        assert_eq!(cpu(200, 130, &[1, 3]).since(&begin), Duration::from_millis(100), "2 has gone");
        let between = cpu(300, 110, &[1, 2]);
        assert_eq!(between.since(&begin), Duration::from_millis(200), "one came and went");
    }
}
