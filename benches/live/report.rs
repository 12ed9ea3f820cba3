//! How figures are printed.

use std::time::Duration;

/// Names the machine, since figures mean nothing without it.
pub fn machine() {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("Halley {}, {cpus} cores, Linux {}", env!("CARGO_PKG_VERSION"), kernel.trim());
}

/// How busy it is: processes that want to run, on the average of a minute.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Begins a part.
pub fn part(title: &str) {
    println!("\n## {title}");
}

/// One line: what, how much, beside the baseline.
pub fn line(what: &str, value: &str, baseline: Option<(&str, String, f64)>) {
    match baseline {
        Some((name, base, ratio)) => {
            println!("{what:<44} {value:>16}   {name} {base}, ratio {ratio:.2}");
        }
        None => println!("{what:<44} {value:>16}"),
    }
}

/// Latencies in order.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Sorts them.
    pub fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// The value that this share of all (0 to 1) does not exceed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a list that fits in memory"
    )]
    pub fn share(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// `p50 / p95 / p99` in milliseconds, and how many.
    pub fn to_text(&self) -> String {
        let ms = |share| self.share(share).as_secs_f64() * 1e3;
        format!("{:.2} / {:.2} / {:.2} ms (n {})", ms(0.5), ms(0.95), ms(0.99), self.0.len())
    }
}
