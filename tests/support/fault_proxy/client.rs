//! The client's side of a connection.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::http::{Head, Reader, chunk};
use super::mode::{Fault, Mode};
use super::proxy::{End, until};

/// What a network without sign-in says to every request.
const SIGN_IN: &str = "<!doctype html><title>Sign in</title><h1>Welcome to the hotel</h1>\
    <form method=\"post\"><input name=\"room\"><button>Go online</button></form>";

/// What a filter says in the server's place.
const FILTERED: &str =
    "<!doctype html><title>Not available</title><h1>This page is not available</h1>";

/// A client's connection, and the mode it is treated by.
pub struct Client {
    /// What comes from the client.
    pub reader: Reader<OwnedReadHalf>,
    /// What goes to it.
    pub writer: OwnedWriteHalf,
    /// When it was accepted.
    pub since: Instant,
    /// The mode of the moment.
    pub mode: watch::Receiver<Mode>,
}

impl Client {
    /// Waits for a request. A hole hears none until the mode changes.
    pub async fn next_request(&mut self) -> Result<Option<Head>, End> {
        loop {
            self.mode.mark_unchanged();
            if self.of_connections() == Fault::Refuse {
                return Err(End::Reset);
            }
            let (holed, begins, ends) = (self.holed(), self.hole_begins(), self.ends());
            tokio::select! {
                head = self.reader.head(), if !holed => return Ok(head?),
                () = until(begins) => {}
                () = until(ends) => return Err(End::Close),
                _ = self.mode.changed() => {}
            }
        }
    }

    /// The fault of all connections at the moment.
    pub fn of_connections(&self) -> Fault {
        self.mode.borrow().of_connections()
    }

    /// Whether nothing passes any more.
    pub fn holed(&self) -> bool {
        matches!(self.of_connections(), Fault::Hole(age) if self.since.elapsed() >= age)
    }

    /// When this connection will become a hole, if it will and is none yet.
    pub fn hole_begins(&self) -> Option<Instant> {
        match self.of_connections() {
            Fault::Hole(age) if self.since.elapsed() < age => Some(self.since + age),
            _ => None,
        }
    }

    /// When this connection will be ended for its age.
    pub fn ends(&self) -> Option<Instant> {
        match self.of_connections() {
            Fault::Age(age) => Some(self.since + age),
            _ => None,
        }
    }

    /// The network's sign-in page, as its status has it.
    pub async fn sign_in(&mut self, status: u16) -> io::Result<()> {
        let (reason, field) = match status {
            302 | 303 | 307 => ("Found", "Location: http://sign-in.invalid/\r\n"),
            407 => {
                ("Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"hotel\"\r\n")
            }
            511 => ("Network Authentication Required", ""),
            _ => ("OK", ""),
        };
        self.page(&format!("{status} {reason}"), field, SIGN_IN).await
    }

    /// A filter's page by this status.
    pub async fn filtered(&mut self, status: u16) -> io::Result<()> {
        self.page(&format!("{status} Changed"), "", FILTERED).await
    }

    /// A sentence by this status line.
    pub async fn plain(&mut self, status: &str, text: &str) -> io::Result<()> {
        self.answer(status, "Content-Type: text/plain\r\n", text).await
    }

    /// An answer that was given to somebody else before; the connection can be used again.
    pub async fn repeat(&mut self, head: &Head, body: &[u8]) -> io::Result<()> {
        let mut head = head.clone();
        head.remove("content-length");
        head.set("Transfer-Encoding", "chunked");
        head.set("Age", "1");
        let mut bytes = head.encode();
        if !body.is_empty() {
            bytes.extend(chunk(body));
        }
        bytes.extend(chunk(b""));
        self.writer.write_all(&bytes).await
    }

    async fn page(&mut self, status: &str, field: &str, text: &str) -> io::Result<()> {
        self.answer(status, &format!("Content-Type: text/html\r\n{field}"), text).await
    }

    async fn answer(&mut self, status: &str, fields: &str, text: &str) -> io::Result<()> {
        // These have no body (RFC 9110, sections 15.3.5 and 15.4.5).
        let text = if status.starts_with("204") || status.starts_with("304") { "" } else { text };
        let length = if status.starts_with("204") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", text.len())
        };
        let answer =
            format!("HTTP/1.1 {status}\r\n{fields}{length}Connection: close\r\n\r\n{text}");
        self.writer.write_all(answer.as_bytes()).await
    }
}
