//! On what was measured.

use std::fs;

use serde::Serialize;

/// A machine, as far as it matters for figures.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Kernel and its version.
    pub kernel: String,
    /// Programs that wanted a core in the minute before, in the mean (proc(5), loadavg).
    pub load_before: f64,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find(|line| line.starts_with("model name") || line.starts_with("Model"))
            .and_then(|line| line.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: memory("MemTotal:").unwrap_or(0),
            kernel: format!("Linux {}", release.trim()),
            load_before: load().unwrap_or(0.0),
        }
    }

    /// Whether others kept it busy: more than a quarter of its cores.
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    pub fn was_busy(&self) -> bool {
        self.load_before > self.cores as f64 / 4.0
    }
}

fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Memory that can be had without swapping, in bytes.
pub fn free_memory() -> Option<u64> {
    memory("MemAvailable:")
}

fn memory(name: &str) -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Size of a page of memory, in which the kernel counts.
fn page_bytes() -> Option<u64> {
    let maps = fs::read_to_string("/proc/self/smaps").ok()?;
    let line = maps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Memory of the kernel for all sockets, in bytes: their buffers, and the objects behind them where
/// `/proc/slabinfo` can be read (true; only by root).
pub fn socket_memory() -> Option<(u64, bool)> {
    /// What a connection is made of. Which other caches were merged into one of these depends on
    /// the kernel; a difference between two looks is what counts.
    const CACHES: [&str; 7] = [
        "TCP",
        "TCPv6",
        "sock_inode_cache",
        "filp",
        "eventpoll_epi",
        "eventpoll_pwq",
        "request_sock_TCP",
    ];
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = tcp.split_whitespace();
    words.find(|word| *word == "mem")?;
    let buffers = words.next()?.parse::<u64>().ok()? * page_bytes()?;
    let Ok(slabs) = fs::read_to_string("/proc/slabinfo") else { return Some((buffers, false)) };
    let mut objects = 0;
    for line in slabs.lines() {
        let mut fields = line.split_whitespace();
        if fields.next().is_some_and(|name| CACHES.contains(&name)) {
            let numbers: Vec<u64> = fields.take(3).filter_map(|field| field.parse().ok()).collect();
            // Active objects, all objects, bytes of one.
            objects += numbers.first().unwrap_or(&0) * numbers.get(2).unwrap_or(&0);
        }
    }
    Some((buffers + objects, true))
}
