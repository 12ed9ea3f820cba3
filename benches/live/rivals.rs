//! What Halley is measured beside: a bare loop, and nginx with nchan where it is installed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::client::{self, Connection};
use super::readers::Invitation;
use super::server::pinned;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where Debian and nginx's own packages put the module.
const MODULES: [&str; 2] =
    ["/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/share/nginx/modules/ngx_nchan_module.so"];

/// A process that ends with this value.
pub struct Rival {
    child: Child,
    /// `127.0.0.1:PORT`
    pub host: String,
    /// Whose memory and time count.
    pub pid: u32,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Rival {
    fn drop(&mut self) {
        // By SIGTERM, so that nginx ends its worker too.
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Rival {
    /// The loop that only writes, see [`super::bare`].
    pub fn bare(core: Option<usize>) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = pinned(core, &program).arg("bare").stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let host = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        let pid = child.id();
        Ok(Self { child, host, pid, _folder: None })
    }

    /// nginx with one worker; `None` when it or the module is not installed.
    pub async fn nchan(core: Option<usize>) -> Result<Option<Self>> {
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists());
        let module = MODULES.map(Path::new).into_iter().find(|path| path.exists());
        let (Some(nginx), Some(module)) = (nginx, module) else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        // nginx cannot say which port it found.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = folder.path().display();
        let config = format!(
            "load_module {};\ndaemon off;\nuser root;\nworker_processes 1;\npid {at}/pid;\n\
             error_log {at}/errors warn;\nworker_rlimit_nofile 20000;\n\
             events {{ worker_connections 16000; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path {at}/body;\n  \
             proxy_temp_path {at}/proxy;\n  fastcgi_temp_path {at}/fastcgi;\n  \
             uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
             keepalive_requests 1000000;\n  server {{\n    \
             listen 127.0.0.1:{port} backlog=4096;\n    \
             location = /sub {{ nchan_subscriber eventsource; nchan_channel_id bench; }}\n    \
             location = /pub {{ nchan_publisher; nchan_channel_id bench; }}\n  }}\n}}\n",
            module.display()
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = pinned(core, nginx);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).arg("-e");
        command.arg(folder.path().join("errors")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut nchan = Self {
            pid: child.id(),
            child,
            host: format!("127.0.0.1:{port}"),
            _folder: Some(folder),
        };
        let patience = Instant::now() + Duration::from_secs(5);
        while client::get(&nchan.host, "/pub").await.is_err() {
            if Instant::now() > patience {
                let errors = nchan._folder.as_ref().map(|folder| folder.path().join("errors"));
                let errors = errors.and_then(|path| std::fs::read_to_string(path).ok());
                return Err(format!("nginx does not listen: {}", errors.unwrap_or_default()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        nchan.pid = nchan.worker().unwrap_or(nchan.pid);
        Ok(Some(nchan))
    }

    /// The one that serves.
    fn worker(&self) -> Option<u32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

/// How to read from nchan.
pub fn nchan_readers(host: &str) -> Invitation {
    let request = format!("GET /sub HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n");
    Invitation { host: host.to_owned(), request, ready: b"\r\n\r\n" }
}

/// Publishes messages to nchan's readers at the same time, on a connection each.
pub async fn nchan_publish(connections: &mut [Connection]) -> Result<()> {
    let mut message = br#"{"topic":"doc:2","kind":"updated","data":{"rev":1,"update":""#.to_vec();
    // It adds the position and the fields of a frame.
    message.resize(super::scale::MESSAGE_BYTES - 40, b'A');
    let sent = connections.iter_mut().map(|to| to.send("POST", "/pub", "", &message));
    for answer in futures::future::join_all(sent).await {
        let status = answer?.status;
        if !matches!(status, 200..=202) {
            return Err(format!("nchan answers {status}").into());
        }
    }
    Ok(())
}
