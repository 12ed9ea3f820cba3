//! The real program on a free port and a data folder, and people who talk to it over HTTP.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Longer than this nothing here may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A running server, killed when this is dropped.
pub struct Wiki {
    child: Child,
    /// `http://127.0.0.1:<port>`
    pub base: String,
}

impl Wiki {
    /// Starts on a data folder and waits until it says where it listens.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with settings.
    pub fn start_with(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_at(0, data, settings)
    }

    /// The same on a port, 0 for any free one.
    pub fn start_at(port: u16, data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_halley"));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("HALLEY_") || name_text.starts_with("ROCKET_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--port", &port.to_string(), "--data"])
            .arg(data)
            .current_dir(data)
            .env("HALLEY_FREE_FLOOR_BYTES", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let stdout = child.stdout.take().expect("piped");
        let (say, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if let Some(base) = line.strip_prefix("listening on ") {
                    let _ = say.send(base.to_owned());
                }
            }
        });
        match heard.recv_timeout(LIMIT) {
            Ok(base) => Self { child, base },
            Err(error) => {
                let _ = child.kill();
                panic!("the server does not listen: {error}");
            }
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        let port = self.base.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("a port")
    }

    /// The number of the process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// `host:port`
    pub fn authority(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Ports this process listens on, by `/proc`.
    pub fn listening_ports(&self) -> Vec<u16> {
        let process = format!("/proc/{}", self.child.id());
        let mut sockets = Vec::new();
        for entry in std::fs::read_dir(format!("{process}/fd")).expect("its files") {
            let target = entry.and_then(|entry| std::fs::read_link(entry.path()));
            let name = target.map(|target| target.display().to_string()).unwrap_or_default();
            let inode = name.strip_prefix("socket:[").and_then(|name| name.strip_suffix(']'));
            sockets.extend(inode.map(ToOwned::to_owned));
        }
        let table = std::fs::read_to_string(format!("{process}/net/tcp")).expect("a table");
        let listening = table.lines().filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // State 0A is LISTEN, field 9 the inode (proc(5)).
            let ours = *fields.get(3)? == "0A" && sockets.iter().any(|s| s == fields[9]);
            let port = fields[1].rsplit(':').next()?;
            if ours { u16::from_str_radix(port, 16).ok() } else { None }
        });
        listening.collect()
    }

    /// kill -9
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and no waiting.
    pub fn terminate(&self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("SIGTERM");
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => return Some(status),
                None if began.elapsed() > limit => return None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Wiki {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One browser: a cookie of its own, and the headers that a browser sends.
#[derive(Clone)]
pub struct Person {
    http: Client,
    base: String,
    /// Tab id.
    pub tab: String,
}

impl Person {
    /// Visits the front page, which gives the cookie.
    pub async fn visit(wiki: &Wiki, tab: &str) -> Self {
        let person = Self {
            http: Client::builder().cookie_store(true).build().expect("a client"),
            base: wiki.base.clone(),
            tab: format!("{tab:0<16}"),
        };
        let session = person.post("/_live/beat").json(&json!({
            "client": person.tab, "cursor": null, "rung": "poll", "interval_ms": 2000,
            "here": null, "list": false,
        }));
        assert_eq!(session.send().await.expect("an answer").status(), 200);
        person
    }

    /// The same person after the server has moved to another port.
    pub fn moved(&self, wiki: &Wiki) -> Self {
        Self { base: wiki.base.clone(), ..self.clone() }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).timeout(LIMIT)
    }

    /// A stream: no time limit for the whole.
    pub fn stream(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub fn send(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("Origin", &self.base)
            .timeout(LIMIT)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.send(Method::POST, path)
    }

    /// Sends a request as it is, with the cookie and nothing else.
    pub async fn execute(&self, request: reqwest::Request) -> Response {
        self.http.execute(request).await.expect("an answer")
    }

    /// Makes a page, or edits it from `base`; its number and revision.
    pub async fn put(&self, path: &str, base: Option<u64>, text: &str) -> (u64, u64) {
        let request = self
            .send(Method::PUT, &format!("/api/v1/pages/{path}"))
            .header("Content-Type", "text/markdown")
            .body(text.to_owned());
        let request = match base {
            Some(base) => request.header("If-Match", format!("\"{base}\"")),
            None => request.header("If-None-Match", "*"),
        };
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{status} {body}");
        (body["id"].as_u64().expect("id"), body["revision"].as_u64().expect("revision"))
    }

    /// Text and revision of a page.
    pub async fn text(&self, path: &str) -> (String, u64) {
        let answer = self.get(&format!("/api/v1/pages/{path}")).send().await.expect("an answer");
        let body: Value = answer.json().await.expect("JSON");
        (
            body["text"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned(),
            body["revision"].as_u64().expect("revision"),
        )
    }

    /// JSON of an address; panics unless it is 200.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// The address of events, with this tab's id.
    pub fn events(&self, mode: &str, topics: &str, cursor: &str) -> String {
        format!("/_live/events?mode={mode}&topics={topics}&cursor={cursor}&client={}", self.tab)
    }

    /// One answer of a poll.
    pub async fn poll(&self, topics: &str, cursor: &str) -> Value {
        self.json(&self.events("poll", topics, cursor)).await
    }

    /// Polls until the batches have what is looked for; all events in order, and where they end.
    pub async fn poll_until(
        &self,
        topics: &str,
        cursor: &str,
        mut done: impl FnMut(&Value) -> bool,
    ) -> (Vec<Value>, String) {
        let (mut events, mut cursor) = (Vec::new(), cursor.to_owned());
        let began = Instant::now();
        loop {
            let path = format!("{}&wait=5", self.events("hold", topics, &cursor));
            let batch = self.json(&path).await;
            assert_eq!(batch["from"], cursor);
            assert_eq!(batch["reset"], false);
            batch["to"].as_str().expect("to").clone_into(&mut cursor);
            let new = batch["events"].as_array().expect("events").clone();
            let found = new.iter().any(&mut done);
            events.extend(new);
            if found {
                return (events, cursor);
            }
            assert!(began.elapsed() < LIMIT, "never came; so far {events:?}");
        }
    }
}

/// The code in an error, after a look at its form.
pub async fn error_code(answer: Response) -> (u16, String, Value) {
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().expect("a type").to_owned();
    let text = answer.text().await.expect("a body");
    assert!(kind.starts_with("application/json"), "{status} {kind}: {text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    let code = body["error"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    let message = body["error"]["message"].as_str().expect("a sentence");
    assert!(message.ends_with('.') || message.ends_with('?'), "not a sentence: {message:?}");
    (status, code, body)
}

/// The headers that keep middleboxes from holding an answer back.
pub fn assert_live_headers(headers: &HeaderMap) {
    let is = |name: &str, value: &'static str| {
        assert_eq!(headers.get(name), Some(&HeaderValue::from_static(value)), "{name}");
    };
    is("cache-control", "no-store, no-transform");
    is("x-accel-buffering", "no");
    is("incremental", "?1");
    is("x-content-type-options", "nosniff");
    assert!(!headers.contains_key("content-encoding"));
}
