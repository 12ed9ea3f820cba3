//! The program itself: how it starts, what it says when it cannot, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process that should refuse to start may take for it.
const LIMIT: Duration = Duration::from_secs(60);

struct Halley {
    child: Child,
    address: String,
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halley"));
    command.current_dir(dir).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Halley {
    /// Starts in a directory and waits until it says where it listens.
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    fn start_with(dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = command(dir);
        command.args(["--port", "0"]).envs(env.iter().copied());
        let mut child = command.spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        let address = line.trim().strip_prefix("listening on http://").map(ToOwned::to_owned);
        Self { child, address: address.unwrap_or_else(|| panic!("it said {line:?}")) }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer
    }

    /// Asks it to end; returns its exit code and how long that took.
    fn end(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("signals");
        let status = self.child.wait().expect("ends");
        (status.code(), begun.elapsed())
    }
}

impl Drop for Halley {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end; returns success and what it said on standard error.
fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let mut command = command(dir);
    let mut child = command.args(args).envs(env.iter().copied()).spawn().expect("starts");
    let (said, process) = (child.stderr.take().expect("piped"), Pid::from_child(&child));
    // One that serves after all is ended, so that the test fails rather than hangs.
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if waits.recv_timeout(LIMIT).is_err() {
            let _ = kill_process(process, Signal::KILL);
        }
    });
    let text = std::io::read_to_string(said).expect("reads");
    let status = child.wait().expect("ends");
    let _ = done.send(());
    guard.join().expect("joins");
    (status.success(), text)
}

#[test]
fn it_serves_the_welcome_from_an_empty_directory_and_keeps_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let halley = Halley::start(dir.path());
    let front = halley.get("/");
    assert!(front.starts_with("HTTP/1.1 200") && front.contains("Welcome"), "{front}");
    assert_eq!(halley.end().0, Some(0));
    assert!(dir.path().join("data").is_dir());
    let halley = Halley::start(dir.path());
    assert!(halley.get("/").contains("Welcome"));
    assert_eq!(halley.end().0, Some(0));
}

#[test]
fn what_history_takes_is_shown_and_packed_while_the_wiki_does_not_run() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for name in ["history", "compact"] {
        let (done, said) = run(dir.path(), &[name], &[]);
        assert!(!done && said.contains("holds no wiki"), "{name}: {said}");
        assert!(!dir.path().join("data").exists());
    }
    let halley = Halley::start(dir.path());
    for name in ["history", "compact"] {
        let (done, said) = run(dir.path(), &[name], &[]);
        assert!(!done && said.contains("the wiki is running"), "{name}: {said}");
    }
    assert_eq!(halley.end().0, Some(0));
    for (name, expected) in [("history", "per edit"), ("compact", "Nothing had to be packed")] {
        let data = dir.path().join("data");
        let output = command(Path::new("/")).arg(name).arg("--data").arg(&data).output();
        let output = output.expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(expected), "{name}: {output:?}");
        if name == "history" {
            assert!(said.lines().any(|line| line.ends_with("  1 page")), "{said}");
        }
    }
    assert!(Halley::start(dir.path()).get("/").contains("Welcome"));
}

#[test]
fn it_ends_with_success_within_five_seconds_whatever_hangs_on_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let halley = Halley::start(dir.path());
    let mut hanging = Vec::new();
    for half in [
        "",
        "GET / HT",
        "PUT /api/v1/pages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        "POST /new HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\npath",
    ] {
        let mut stream = TcpStream::connect(&halley.address).expect("connects");
        stream.write_all(half.as_bytes()).expect("sends");
        hanging.push(stream);
    }
    // One whole request after them: whoever came before has been accepted.
    assert!(halley.get("/healthz").contains("\"status\":\"ok\""));
    let (code, took) = halley.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_log_tells_no_secrets_however_much_it_tells() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("log");
    let mut child = command(dir.path())
        .args(["--port", "0"])
        .env("HALLEY_LOG", "debug")
        .stderr(std::fs::File::create(&path).expect("made"))
        .spawn()
        .expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
    let address = line.trim().strip_prefix("listening on http://").expect("listens").to_owned();
    let halley = Halley { child, address };
    let mut stream = TcpStream::connect(&halley.address).expect("connects");
    let head = "GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: halley_guest=hush\r\n\
        Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sends");
    stream.read_to_string(&mut line).expect("reads");
    assert_eq!(halley.end().0, Some(0));
    let log = std::fs::read_to_string(path).expect("a log").to_lowercase();
    assert!(log.contains("get /healthz 200"), "{log}");
    for secret in ["hush", "halley-peer"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_answered_with_408() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let halley = Halley::start_with(dir.path(), &[("HALLEY_BODY_SECS", "1")]);
    let mut stream = TcpStream::connect(&halley.address).expect("connects");
    stream.set_read_timeout(Some(LIMIT)).expect("sets");
    // Rocket itself waits, without a limit, for the first 14 bytes of a body (`_method=delete`).
    let head =
        "PUT /api/v1/pages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of the text";
    stream.write_all(head.as_bytes()).expect("sends");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("reads");
    assert!(line.starts_with("HTTP/1.1 408"), "{line}");
    assert!(halley.get("/wiki/x").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_body_that_breaks_off_changes_nothing_wherever_it_breaks() {
    const TEXT: &str = "a long and valued text\n";
    let dir = tempfile::tempdir().expect("temporary directory");
    let halley = Halley::start(dir.path());
    let send = |request: &str, breaks_off: bool| {
        let mut stream = TcpStream::connect(&halley.address).expect("connects");
        stream.set_read_timeout(Some(LIMIT)).expect("sets");
        stream.write_all(request.as_bytes()).expect("sends");
        if breaks_off {
            stream.shutdown(std::net::Shutdown::Write).expect("shuts");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let page = "PUT /api/v1/pages/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: text/markdown\r\n";
    let (length, chunked) =
        (format!("Content-Length: {}\r\n\r\n", TEXT.len()), "Transfer-Encoding: chunked\r\n\r\n");
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    assert_eq!(send(&format!("{page}{length}{TEXT}"), false), "201");
    let edit = format!("{page}If-Match: \"1\"\r\n");
    // Rocket looks at the first 14 bytes of a body and forgets an error that it meets there.
    for at in [0, 1, 5, 13, 14, 15, 22] {
        let part = &TEXT[..at];
        assert_eq!(send(&format!("{edit}{length}{part}"), true), "400", "{at} bytes");
        let part = if at == 0 { String::new() } else { chunk(part) };
        assert_eq!(send(&format!("{edit}{chunked}{part}"), true), "400", "{at} bytes in a chunk");
    }
    let form = "POST /edit/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60\r\n\r\n\
                base=1&text=";
    assert_eq!(send(form, true), "400");
    // Neither a length nor chunks: there is no body, which is not the wish to empty a page.
    assert_eq!(send(&format!("{edit}\r\n"), false), "411");
    assert!(halley.get("/raw/x").ends_with(TEXT));
    // Whole ones pass, short and empty as they may be.
    assert_eq!(send(&format!("{edit}{chunked}{}0\r\n\r\n", chunk("short")), false), "200");
    assert!(halley.get("/raw/x").ends_with("\r\n\r\nshort"));
    assert_eq!(send(&format!("{page}If-Match: *\r\n{chunked}0\r\n\r\n"), false), "200");
    assert!(halley.get("/raw/x").ends_with("\r\n\r\n"));
    assert_eq!(halley.end().0, Some(0));
}

#[test]
fn a_second_process_on_the_same_data_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let halley = Halley::start(dir.path());
    let (success, said) = run(dir.path(), &["--port", "0"], &[]);
    assert!(!success && said.contains("another process is using"), "{said}");
    assert_eq!(halley.end().0, Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (success, said) = run(dir.path(), &["serve", "--port", &port], &[]);
    assert!(!success && said.contains(&port) && said.contains("cannot listen"), "{said}");
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (name, value, words) in [
        ("HALLEY_SIET_NAME", "x", "siet_name"),
        ("HALLEY_BODY_SECS", "soon", "body_secs"),
        ("HALLEY_BODY_SECS", "0", "body_secs"),
        ("HALLEY_PUBLIC_ORIGIN", "wiki", "public_origin"),
        ("HALLEY_TRUSTED_PROXY", "[\"here\"]", "trusted_proxy"),
        ("ROCKET_PORT", "99999", "port"),
        ("ROCKET_TLS", "{certs=\"a\",key=\"b\"}", "tls"),
        ("HALLEY_OVERRIDES", "nowhere", "overrides"),
        ("HALLEY_TLS_CERTS", "certs.pem", "tls_key"),
        ("HALLEY_HTTP2_STREAMS", "0", "http2_streams"),
    ] {
        let (success, said) = run(dir.path(), &["--port", "0"], &[(name, value)]);
        assert!(!success && said.contains(words), "{name}: {said}");
    }
    let pair = [("HALLEY_TLS_CERTS", "certs.pem"), ("HALLEY_TLS_KEY", "key.pem")];
    let (success, said) = run(dir.path(), &["--port", "0"], &pair);
    assert!(!success && said.contains("certs.pem cannot be read"), "{said}");
    std::fs::write(dir.path().join("Rocket.toml"), "[default.halley]\nsiet_name = \"x\"\n")
        .expect("written");
    let (success, said) = run(dir.path(), &["--port", "0"], &[]);
    assert!(!success && said.contains("siet_name") && said.contains("Rocket.toml"), "{said}");
    std::fs::write(dir.path().join("Rocket.toml"), "[halley]\nsite_name = \"x\"\n")
        .expect("written");
    let (success, said) = run(dir.path(), &["--port", "0"], &[]);
    assert!(!success && said.contains("[default.halley]"), "{said}");
    let (success, said) = run(dir.path(), &["--prot", "0"], &[]);
    assert!(!success && said.contains("--prot"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_one_is_explained() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("file"), "mine").expect("written");
    for (data, words) in
        [("file", "is a file, and a directory is needed"), ("file/data", "is a file, and")]
    {
        let (success, said) = run(dir.path(), &["--port", "0", "--data", data], &[]);
        assert!(!success && said.contains(data) && said.contains(words), "{said}");
    }
    assert_eq!(std::fs::read(dir.path().join("file")).expect("reads"), b"mine");
}

#[test]
fn a_setting_wins_from_file_to_environment_to_command_line() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = "[default]\nport = 1\n[default.halley]\nsite_name = \"From the file\"\ndata = \"elsewhere\"\n";
    std::fs::write(dir.path().join("Rocket.toml"), file).expect("written");
    let halley = Halley::start(dir.path());
    assert!(halley.get("/pages").contains("From the file"));
    assert_eq!(halley.end().0, Some(0));
    assert!(dir.path().join("elsewhere").is_dir() && !dir.path().join("data").exists());
}

#[test]
fn a_key_that_is_damaged_is_not_replaced() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir(dir.path().join("data")).expect("made");
    std::fs::write(dir.path().join("data/secret.key"), "short").expect("written");
    let (success, said) = run(dir.path(), &["--port", "0"], &[]);
    assert!(!success && said.contains("secret.key"), "{said}");
    assert_eq!(std::fs::read(dir.path().join("data/secret.key")).expect("reads"), b"short");
}

#[test]
fn a_crowd_of_connections_ends_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let env = [("HALLEY_SEGMENT_BYTES", "1MiB"), ("HALLEY_FREE_FLOOR_BYTES", "0")];
    let halley = Halley::start_with(dir.path(), &env);
    let files = rustix::process::Rlimit { current: Some(120), maximum: Some(120) };
    let pid = Pid::from_child(&halley.child);
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, files).expect("limits");
    let mut ours = TcpStream::connect(&halley.address).expect("connects");
    ours.set_read_timeout(Some(Duration::from_secs(10))).expect("sets");
    let mut put = |page: usize| -> u16 {
        let text = "x".repeat(100_000);
        let length = text.len();
        write!(
            ours,
            "PUT /api/v1/pages/p{page} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\
             Content-Type: text/markdown\r\nContent-Length: {length}\r\n\r\n{text}"
        )
        .expect("sends");
        let mut answer = Vec::new();
        let mut reader = BufReader::new(&mut ours);
        while !answer.ends_with(b"\r\n\r\n") {
            let read = reader.read_until(b'\n', &mut answer).expect("answers");
            assert!(read > 0, "the connection ended: {:?}", String::from_utf8_lossy(&answer));
        }
        let head = String::from_utf8(answer).expect("text").to_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("has a length");
        let length = length.split_once('\r').expect("a line").0.parse().expect("a number");
        reader.read_exact(&mut vec![0; length]).expect("answers");
        head[9..12].parse().expect("a status")
    };
    assert_eq!(put(0), 201);
    // More than there are files for; the rest waits to be accepted.
    let crowd: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(&halley.address).ok()).collect();
    assert!(crowd.len() > 100);
    let fds = format!("/proc/{}/fd", halley.child.id());
    let begun = Instant::now();
    while std::fs::read_dir(&fds).expect("lists").count() < 115 && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(10));
    }
    // More than one journal file holds, so that another must be made.
    let codes: Vec<_> = (1..15).map(&mut put).collect();
    assert!(codes.contains(&503) && codes.iter().all(|c| matches!(c, 201 | 503)), "{codes:?}");
    drop(crowd);
    let begun = Instant::now();
    let mut page = 100;
    while put(page) != 201 {
        assert!(begun.elapsed() < LIMIT, "it does not recover");
        std::thread::sleep(Duration::from_millis(50));
        page += 1;
    }
    assert_eq!(halley.end().0, Some(0));
    let halley = Halley::start_with(dir.path(), &env);
    for (page, code) in (1..15).zip(codes) {
        let answer = halley.get(&format!("/raw/p{page}"));
        assert_eq!(code == 201, answer.ends_with(&"x".repeat(1_000)), "page {page}");
    }
}
