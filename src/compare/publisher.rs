//! The writer: one page, edited by `PUT` as any program would.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{Connection, Head, Target, Traffic};

/// How long a page that may have been made is tried to be deleted.
const CLEANING_UP: Duration = Duration::from_secs(5);

/// An edit that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// Revision that it made.
    pub revision: u64,
    /// The instant before its request was written.
    pub sent: Instant,
    /// When the answer had been read: it is on disk.
    pub saved: Instant,
}

/// A page to write.
pub struct Page {
    /// Its number.
    pub id: u64,
    address: String,
    target: Arc<Target>,
    connection: Option<Connection>,
    traffic: Arc<Traffic>,
    revision: u64,
    edits: u64,
}

impl Page {
    /// Makes a new page.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, in words.
    pub async fn make(target: &Arc<Target>, path: &str) -> Result<Self, String> {
        let mut page = Self::at(target, path);
        let made = page.put("If-None-Match: *\r\n").await;
        // A refusal is an answer; where none came the page may be there all the same.
        if made.as_ref().is_err_and(|why| why.kind() != io::ErrorKind::Other) {
            let _ = tokio::time::timeout(CLEANING_UP, page.delete()).await;
        }
        page.id = made.map_err(|e| format!("the page {path} cannot be made: {e}"))?;
        Ok(page)
    }

    /// Finds a page, to read it only.
    ///
    /// # Errors
    /// When the server cannot be reached or has no such page, in words.
    pub async fn find(target: &Arc<Target>, path: &str) -> Result<Self, String> {
        let mut page = Self::at(target, path);
        let found = async {
            let mut connection = Connection::open(target, &page.traffic).await?;
            let (head, body) =
                connection.send("GET", &page.address, "Accept: application/json\r\n", b"").await?;
            let json = check(&head, &body)?;
            json["id"].as_u64().ok_or_else(|| io::Error::other("that is no Halley"))
        };
        page.id = found.await.map_err(|e| format!("the page {path} cannot be read: {e}"))?;
        Ok(page)
    }

    fn at(target: &Arc<Target>, path: &str) -> Self {
        Self {
            id: 0,
            address: format!("/api/v1/pages/{}", encode(path)),
            target: Arc::clone(target),
            connection: None,
            traffic: Arc::default(),
            revision: 0,
            edits: 0,
        }
    }

    /// Changes a line of the page.
    ///
    /// # Errors
    /// When it was not accepted.
    pub async fn edit(&mut self) -> io::Result<Edit> {
        let condition = format!("If-Match: \"{}\"\r\n", self.revision);
        let sent = Instant::now();
        self.put(&condition).await?;
        Ok(Edit { revision: self.revision, sent, saved: Instant::now() })
    }

    /// Deletes the page.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&mut self) -> io::Result<()> {
        let mut connection = Connection::open(&self.target, &self.traffic).await?;
        let (head, body) = connection.send("DELETE", &self.address, "", b"").await?;
        if head.status == 204 { Ok(()) } else { check(&head, &body).map(|_| ()) }
    }

    /// Writes the next text; returns the page's number.
    async fn put(&mut self, condition: &str) -> io::Result<u64> {
        self.edits += 1;
        let text = format!(
            "# A comparison is running\n\nThis page was made by `halley compare` and is deleted \
             when it ends.\n\nEdit {:09}\n",
            self.edits
        );
        let headers = format!("Content-Type: text/markdown\r\n{condition}");
        // A connection that was idle may have been closed meanwhile.
        if self.connection.as_mut().is_none_or(Connection::is_stale) {
            self.connection = Some(Connection::open(&self.target, &self.traffic).await?);
        }
        let Some(mut connection) = self.connection.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (head, body) = connection.send("PUT", &self.address, &headers, text.as_bytes()).await?;
        let json = check(&head, &body)?;
        self.connection = Some(connection);
        let number = |name: &str| {
            json[name].as_u64().ok_or_else(|| io::Error::other(format!("an answer without {name}")))
        };
        self.revision = number("revision")?;
        number("id")
    }
}

fn check(head: &Head, body: &[u8]) -> io::Result<Value> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    if matches!(head.status, 200 | 201) {
        return Ok(json);
    }
    let why = json["error"]["message"].as_str().unwrap_or_default();
    Err(io::Error::other(format!("the server answered {} {why}", head.status)))
}

/// A path of a page as it stands in an address.
fn encode(path: &str) -> String {
    let mut text = String::new();
    for byte in path.trim_matches('/').bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
