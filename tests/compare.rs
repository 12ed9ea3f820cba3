//! `halley compare` against the real program: a tiny grid from end to end.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn halley(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halley"));
    command
        .current_dir(dir)
        .env_clear()
        .env("TMPDIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end.
fn compare(dir: &Path, args: &[&str]) -> Output {
    halley(dir).arg("compare").args(args).output().expect("runs")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("written");
    serde_json::from_str(&text).expect("JSON")
}

/// Lines of a CSV file by the names of its columns.
fn csv(path: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).expect("written");
    let mut lines = text.split_terminator("\r\n").map(|line| line.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().expect("a head").collect();
    lines.map(|line| names.iter().cloned().zip(line).collect()).collect()
}

/// What is left of servers: their directories, and the processes in them.
fn left_over(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).expect("there").flatten();
    let mut left: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("halley-compare-"))
        .collect();
    let inside = dir.join("halley-compare-").to_string_lossy().into_owned();
    for process in std::fs::read_dir("/proc").expect("there").flatten() {
        // Of a directory that was removed the link still has the name.
        if let Ok(place) = std::fs::read_link(process.path().join("cwd"))
            && place.to_string_lossy().starts_with(&inside)
        {
            left.push(process.path().display().to_string());
        }
    }
    left
}

/// Only with `TEST_LONG=1`: it takes the whole machine for its three minutes.
#[test]
fn the_quick_grid_ends_within_three_minutes_and_its_report_needs_no_network() {
    if std::env::var_os("TEST_LONG").is_none_or(|value| value.is_empty() || value == "0") {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let begun = std::time::Instant::now();
    let output = compare(dir.path(), &["--quick", "--out", "out"]);
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("the quick grid took {took:.1?}");
    assert!(took < std::time::Duration::from_secs(180), "{took:?}");
    let results = json(&dir.path().join("out/results.json"));
    assert_eq!((&results["complete"], &results["failed"]), (&true.into(), &Value::Array(vec![])));
    let report = std::fs::read_to_string(dir.path().join("out/report.html")).expect("written");
    for outside in ["src=\"http", "href=\"http", "src=\"//", "@import", "url(http"] {
        assert!(!report.contains(outside), "{outside}");
    }
}

const TINY: [&str; 10] =
    ["--clients", "3,8", "--publish", "0.5", "--poll", "0.4,1", "--runs", "3", "--window", "1.5"];

#[test]
fn a_tiny_grid_is_measured_and_its_reports_agree() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let output = compare(dir.path(), &[&TINY[..], &["--out", "out"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("coherence") && table.contains("poll 0.4 s"), "{table}");

    let out = dir.path().join("out");
    let results = json(&out.join("results.json"));
    assert_eq!((&results["complete"], &results["failed"]), (&true.into(), &Value::Array(vec![])));
    assert!(results["machine"]["cores"].as_u64().expect("cores") > 0);
    let cells = results["cells"].as_array().expect("cells");
    // 2 numbers of clients × (stream, hold, 2 polls).
    assert_eq!(cells.len(), 8);
    for cell in cells {
        assert_eq!(cell["runs"], 3, "{cell}");
        for (figure, value) in
            [("coherence", 1.0), ("duplicates", 0.0), ("order_faults", 0.0), ("faults", 0.0)]
        {
            for end in ["min", "median", "max"] {
                assert_eq!(cell[figure][end].as_f64(), Some(value), "{figure} {end} of {cell}");
            }
        }
        for figure in ["trip_mean_ms", "bytes_per_delivery", "cpu_s_per_1000_deliveries"] {
            let spread = &cell[figure];
            let of =
                |end: &str| spread[end].as_f64().unwrap_or_else(|| panic!("{figure} of {cell}"));
            assert!(of("min") <= of("median") && of("median") <= of("max"), "{figure} of {cell}");
        }
    }
    let median = |mode: &str, poll: Option<f64>, clients: u64, figure: &str| {
        let found = cells.iter().find(|cell| {
            cell["mode"] == mode && cell["poll_s"].as_f64() == poll && cell["clients"] == clients
        });
        found.expect("the cell")[figure]["median"].as_f64().expect("measured")
    };
    for clients in [3, 8] {
        // Half an interval and more, against next to nothing.
        let trip = |mode, poll| median(mode, poll, clients, "trip_mean_ms");
        assert!(trip("poll", Some(1.0)) > 2.0 * trip("stream", None));
        assert!(trip("poll", Some(1.0)) > trip("poll", Some(0.4)));
        assert!(median("stream", None, clients, "requests_per_delivery") < 0.1);
        let held = median("hold", None, clients, "requests_per_delivery");
        assert!((0.5..=1.5).contains(&held), "{held}");
    }

    let lines = csv(&out.join("results.csv"));
    assert_eq!(lines.len(), cells.len());
    for (line, cell) in lines.iter().zip(cells) {
        assert_eq!(line["mode"], cell["mode"].as_str().expect("text"));
        assert_eq!(line["clients"], cell["clients"].to_string());
        for figure in ["trip_p99_ms", "staleness_ms", "bytes_per_delivery"] {
            let number: f64 = line[&format!("{figure}_median")].parse().expect("a number");
            let same = cell[figure]["median"].as_f64().expect("measured");
            // A parser of JSON may be off by the last bit.
            assert!((number - same).abs() <= same * 1e-12, "{figure}: {number} and {same}");
        }
    }

    let html = std::fs::read_to_string(out.join("report.html")).expect("written");
    for outside in ["http://", "https://", "src=", "href=", "<script", "@import", "url("] {
        assert!(!html.contains(outside), "the report has {outside}");
    }
    assert!(html.contains("<svg") && html.contains("The paper’s findings"));
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert_eq!(left_over(dir.path()), Vec::<String>::new());
}

/// Reads what it says until a line has this in it.
fn wait_for(lines: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(lines.read_line(&mut line).expect("reads") > 0, "it never said {text}");
    }
}

#[test]
fn an_interrupt_keeps_what_was_measured_and_leaves_no_server() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut child = halley(dir.path())
        .args(["compare", "--clients", "2", "--publish", "0.5,60", "--modes", "stream"])
        .args(["--runs", "2", "--window", "1", "--lanes", "4", "--out", "out"])
        .spawn()
        .expect("starts");
    // Two ways (the writer alone is one) × two publish intervals × two runs. Those with an edit
    // each 60 s would go on for minutes, and take all lanes when two short ones have ended.
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    wait_for(&mut lines, "2 of 8 runs");
    kill_process(Pid::from_child(&child), Signal::INT).expect("signals");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("reads");
    assert!(child.wait().expect("ends").success(), "{rest}");
    let results = json(&dir.path().join("out/results.json"));
    assert_eq!(results["complete"], false);
    let cells = results["cells"].as_array().expect("cells");
    assert!(!cells.is_empty() && cells.iter().all(|cell| cell["publish_s"] == 0.5), "{results}");
    let html = std::fs::read_to_string(dir.path().join("out/report.html")).expect("written");
    assert!(html.contains("stopped early"));
    assert_eq!(left_over(dir.path()), Vec::<String>::new());
}

#[test]
fn an_interrupt_ends_it_while_a_deployed_server_does_not_answer() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", mute.local_addr().expect("bound"));
    let mut child = halley(dir.path())
        .args(["compare", "--url", &url, "--clients", "2", "--runs", "1", "--out", "out"])
        .spawn()
        .expect("starts");
    // Kept, so that it waits for an answer.
    let (mut asked, _) = mute.accept().expect("asks");
    assert!(asked.read(&mut [0; 1024]).expect("a request") > 0);
    let begun = std::time::Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("signals");
    child.wait().expect("ends");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A server that somebody else runs.
struct Deployed {
    child: Child,
    address: String,
}

impl Deployed {
    fn start(dir: &Path) -> Self {
        let mut child = halley(dir).args(["--port", "0"]).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        let address = line.trim().strip_prefix("listening on http://").expect("listens").to_owned();
        Self { child, address }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        write!(stream, "{request}").expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_deployed_server_is_measured_and_its_scratch_page_deleted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = Deployed::start(dir.path());
    let url = format!("http://{}", server.address);
    let args = ["--url", &url, "--clients", "2", "--publish", "1", "--poll", "1", "--runs", "1"];
    let output = compare(
        dir.path(),
        &[&args[..], &["--window", "2", "--json", "figures.json", "--markdown", "short.md"]]
            .concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = json(&dir.path().join("figures.json"));
    assert_eq!(results["url"], url);
    let cells = results["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    for cell in cells {
        assert_eq!(cell["coherence"]["median"], 1.0, "{cell}");
        assert_eq!(cell["cpu_s_per_1000_deliveries"], Value::Null, "it cannot be seen");
    }
    let short = std::fs::read_to_string(dir.path().join("short.md")).expect("written");
    assert!(short.contains("| stream |") && short.contains("| poll 1 s |"), "{short}");
    let pages = server.ask("GET /api/v1/pages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(pages.starts_with("HTTP/1.1 200") && !pages.contains("halley-compare"), "{pages}");
}

/// Ends TLS in front of a server, as a proxy does, and relays. Returns its port.
async fn end_tls(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>, inner: String) -> u16 {
    let key = certificate.signing_key.serialize_der();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.cert.der().clone()],
            tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(key).into(),
        )
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, inner) = (acceptor.clone(), inner.clone());
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(socket).await else { return };
                let Ok(mut inside) = tokio::net::TcpStream::connect(inner).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_measured_if_it_proves_who_it_is() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = Deployed::start(dir.path());
    let certificate = rcgen::generate_simple_self_signed(["localhost".into()]).expect("made");
    std::fs::write(dir.path().join("cert.pem"), certificate.cert.pem()).expect("written");
    let port = end_tls(&certificate, server.address.clone()).await;
    let other = rcgen::generate_simple_self_signed(["localhost".into()]).expect("made");
    let impostor = end_tls(&other, server.address.clone()).await;
    let measure = |port: u16| {
        halley(dir.path())
            .env("SSL_CERT_FILE", dir.path().join("cert.pem"))
            .args(["compare", "--url", &format!("https://localhost:{port}"), "--runs", "1"])
            .args(["--clients", "2", "--publish", "1", "--poll", "1", "--window", "2"])
            .args(["--json", "figures.json"])
            .output()
            .expect("runs")
    };
    let refused = tokio::task::block_in_place(|| measure(impostor));
    assert!(!refused.status.success(), "its certificate is not the one that is trusted");
    let output = tokio::task::block_in_place(|| measure(port));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = json(&dir.path().join("figures.json"));
    let cells = results["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    assert!(cells.iter().all(|cell| cell["coherence"]["median"] == 1.0), "{results}");
}

#[test]
fn a_page_that_others_write_is_watched_without_writing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = Deployed::start(dir.path());
    let put = |condition: &str, text: &str| {
        server.ask(&format!(
            "PUT /api/v1/pages/Watched HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{condition}\r\n\
             Content-Type: text/markdown\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ))
    };
    assert!(put("If-None-Match: *", "one").starts_with("HTTP/1.1 201"));
    let url = format!("http://{}", server.address);
    let mut child = halley(dir.path())
        .args(["compare", "--url", &url, "--read-only", "Watched", "--clients", "2", "--runs", "1"])
        .args([
            "--modes",
            "stream",
            "--publish",
            "1",
            "--window",
            "2",
            "--json",
            "figures.json",
            "--markdown",
            "short.md",
        ])
        .spawn()
        .expect("starts");
    let mut revision = 1;
    while child.try_wait().expect("asks").is_none() {
        let said = put(&format!("If-Match: \"{revision}\""), &format!("text {revision}"));
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        revision += 1;
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    assert!(child.wait().expect("ends").success());
    let results = json(&dir.path().join("figures.json"));
    assert_eq!(results["read_only"], "Watched");
    let cell = &results["cells"][0];
    assert_eq!(cell["coherence"]["median"], 1.0, "{cell}");
    assert_eq!(cell["save_p50_ms"], Value::Null, "nobody knows when it was sent");
}

#[test]
fn what_cannot_be_measured_is_said_in_a_sentence() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (args, text) in [
        (&["--url", "http://127.0.0.1:1"][..], "cannot be made"),
        (&["--clients", "0"], "--clients"),
        (&["--json", "no/such/folder.json"], "no/such/folder.json"),
    ] {
        let output = compare(dir.path(), args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(text), "{args:?}: {said}");
    }
    assert_eq!(left_over(dir.path()), Vec::<String>::new(), "no empty folder stays");
}
