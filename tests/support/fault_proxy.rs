//! A proxy that misbehaves on demand, for tests of what the live page does behind bad networks.
//!
//! ```text
//! fault_proxy --target 127.0.0.1:8000 [--listen 127.0.0.1:0] [--control 127.0.0.1:0] [--mode "tick 5"]
//! ```
//!
//! Prints one line, `listening on http://ADDRESS control ADDRESS`. Each line sent to
//! the control address, or to standard input, is answered by one line: `mode mute`,
//! `mode tick 20 all`, `mode block stream, idle 12 hold` and so on by `ok`, and `stats` by counts as
//! JSON. The modes are those of [`mode::Fault`], the last word is one of [`mode::Scope`]; without it a
//! fault that concerns responses touches only `/_live/events`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Parser;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use mode::Mode;
use proxy::Proxy;

#[path = "fault_proxy/client.rs"]
mod client;
#[path = "fault_proxy/http.rs"]
mod http;
#[path = "fault_proxy/mode.rs"]
mod mode;
#[path = "fault_proxy/outflow.rs"]
mod outflow;
#[path = "fault_proxy/proxy.rs"]
mod proxy;
#[path = "fault_proxy/replay.rs"]
mod replay;
#[cfg(test)]
#[path = "fault_proxy/rewriting.rs"]
mod rewriting;
#[path = "fault_proxy/scanner.rs"]
mod scanner;
#[cfg(test)]
#[path = "fault_proxy/tests.rs"]
mod tests;

/// A proxy that misbehaves on demand.
#[derive(Parser)]
struct Arguments {
    /// Where requests go, host:port.
    #[arg(long)]
    target: String,
    /// Where clients come.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where control lines come.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: String,
    /// The mode at the start.
    #[arg(long, default_value = "off")]
    mode: String,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (set_mode, mode) = watch::channel(arguments.mode.parse().map_err(io::Error::other)?);
    let set_mode = Arc::new(set_mode);
    let listener = TcpListener::bind(&arguments.listen).await?;
    let control = TcpListener::bind(&arguments.control).await?;
    println!("listening on http://{} control {}", listener.local_addr()?, control.local_addr()?);

    let proxy = Proxy::new(arguments.target, mode);
    tokio::spawn(obey(
        tokio::io::stdin(),
        tokio::io::stdout(),
        Arc::clone(&set_mode),
        Arc::clone(&proxy),
    ));
    tokio::spawn(Arc::clone(&proxy).serve(listener));
    loop {
        let (read, write) = control.accept().await?.0.into_split();
        tokio::spawn(obey(read, write, Arc::clone(&set_mode), Arc::clone(&proxy)));
    }
}

/// Follows control lines until there are no more.
async fn obey<R, W>(
    read: R,
    mut write: W,
    mode: Arc<watch::Sender<Mode>>,
    proxy: Arc<Proxy>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = answer(&line, &mode, &proxy);
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        write.flush().await?;
    }
    Ok(())
}

fn answer(line: &str, mode: &watch::Sender<Mode>, proxy: &Proxy) -> String {
    match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
        ("mode", wanted) => match wanted.parse() {
            Ok(wanted) => {
                mode.send_replace(wanted);
                "ok".to_owned()
            }
            Err(why) => format!("error {why}"),
        },
        ("stats", _) => format!(
            "{{\"connections\":{},\"requests\":{},\"faulted\":{}}}",
            proxy.connections.load(Ordering::Relaxed),
            proxy.requests.load(Ordering::Relaxed),
            proxy.faulted.load(Ordering::Relaxed)
        ),
        _ => "error say 'mode ...' or 'stats'".to_owned(),
    }
}
