//! The real server as a child process, on a free port and a data folder that outlives it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than this no start may take, recovery included.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server. It is killed when this is dropped.
pub struct Server {
    child: Child,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// The program under test: `HALLEY_BIN`, or the one that cargo built for this test.
    pub fn program() -> PathBuf {
        std::env::var_os("HALLEY_BIN")
            .map(PathBuf::from)
            .filter(|path| path.exists())
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_halley")))
    }

    /// Starts on `data`, with settings, and waits until it listens.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_under(Command::new(Self::program()), data, settings)
    }

    /// Starts where it may refuse to, such as on a full disk: `None` when it ended instead of listening.
    pub fn try_start(data: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        Self::launch(Command::new(Self::program()), data, settings)
    }

    /// Starts by a command to which the server's arguments are appended, such as a tracer.
    pub fn start_under(command: Command, data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::launch(command, data, settings).expect("the server listens within 30 s")
    }

    fn launch(mut command: Command, data: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        let port = free_port();
        // Our own variables are no settings of the server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HALLEY_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--port", &port.to_string(), "--data"])
            .arg(data)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .env("HALLEY_LOG", "error")
            // Shown with the output of a test that fails.
            .stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the server starts");
        let stdout = child.stdout.take().expect("piped");
        let (say, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if line.contains("listening on ") && say.send(()).is_err() {
                    return;
                }
            }
        });
        let server = Self { child, port };
        heard.recv_timeout(START_LIMIT).is_ok().then_some(server)
    }

    /// `http://host:port` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// kill -9, as a power cut looks to the process.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// kill -9 for what the process started, and its own end after that. For a server under a tracer.
    pub fn kill_children(mut self) {
        let id = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", child]).status();
        }
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
