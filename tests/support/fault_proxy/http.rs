//! As much of HTTP/1.1 as a proxy needs: heads, and bodies by length, in chunks or until the end.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Heads larger than this are refused.
const HEAD_LIMIT: usize = 64 * 1024;

/// The head of a request or a response.
#[derive(Debug, Clone)]
pub struct Head {
    /// Request line or status line.
    pub first: String,
    /// Names as they came, with their values, in order.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The first value of a field, names compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Removes a field wherever it stands.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Puts one value in place of all that a field had.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// The n-th word of the first line, or nothing.
    pub fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }

    /// The head as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) =
                line.split_once(':').ok_or_else(|| broken("a field without a colon"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { first, fields })
    }

    fn chunked(&self) -> bool {
        self.get("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, or it has been read.
    None,
    /// So many bytes are left.
    Length(u64),
    /// Chunks, up to the one of length 0.
    Chunked,
    /// Until the connection ends.
    Close,
}

impl Framing {
    /// The framing of a request's body.
    pub fn of_request(head: &Head) -> Self {
        if head.chunked() {
            return Self::Chunked;
        }
        match head.get("content-length").and_then(|value| value.parse().ok()) {
            Some(0) | None => Self::None,
            Some(length) => Self::Length(length),
        }
    }

    /// The framing of the body of a response to `method` (RFC 9112, section 6.3).
    pub fn of_response(head: &Head, method: &str) -> Self {
        let status = head.word(1);
        if method == "HEAD" || status.starts_with('1') || status == "204" || status == "304" {
            return Self::None;
        }
        if head.chunked() {
            return Self::Chunked;
        }
        match head.get("content-length").and_then(|value| value.parse().ok()) {
            Some(0) => Self::None,
            Some(length) => Self::Length(length),
            None => Self::Close,
        }
    }
}

/// What came while a request's body may still be on its way.
pub enum Part {
    /// Bytes of the body, or its end.
    Body(Option<Vec<u8>>),
    /// Bytes of a later request, kept.
    More,
    /// The peer has ended.
    Ended,
}

/// A connection's reading half with what was read too far.
pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Wraps a reading half.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The reading half; what was kept is lost.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// Reads more bytes behind what is kept; 0 means that the peer has ended. Cancelling loses nothing.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }

    /// How much is kept and not yet used.
    pub fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// The next head, or `None` where the peer ended before one began. Cancelling loses nothing.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = Head::parse(&self.buffer[..end])?;
                self.buffer.drain(..end + 4);
                return Ok(Some(head));
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(broken("a head without an end"));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(broken("half a head")) };
            }
        }
    }

    /// The next bytes of a body, without framing; `None` at its end. Cancelling loses nothing.
    pub async fn body(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        loop {
            match *framing {
                Framing::None => return Ok(None),
                Framing::Length(left) if !self.buffer.is_empty() => {
                    let take = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - take as u64;
                    *framing = if left == 0 { Framing::None } else { Framing::Length(left) };
                    return Ok(Some(self.buffer.drain(..take).collect()));
                }
                Framing::Close if !self.buffer.is_empty() => {
                    return Ok(Some(std::mem::take(&mut self.buffer)));
                }
                Framing::Chunked => {
                    let (used, payload, ended) = unchunk(&self.buffer)?;
                    self.buffer.drain(..used);
                    if ended {
                        *framing = Framing::None;
                    }
                    if !payload.is_empty() {
                        return Ok(Some(payload));
                    }
                    if ended {
                        return Ok(None);
                    }
                }
                _ => {}
            }
            if self.fill().await? == 0 {
                if *framing == Framing::Close {
                    *framing = Framing::None;
                    return Ok(None);
                }
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the body was broken off",
                ));
            }
        }
    }

    /// The next bytes of a body, or, behind it, what else comes. Cancelling loses nothing.
    pub async fn body_or_more(&mut self, framing: &mut Framing) -> io::Result<Part> {
        if *framing != Framing::None {
            return Ok(Part::Body(self.body(framing).await?));
        }
        Ok(if self.fill().await? == 0 { Part::Ended } else { Part::More })
    }
}

/// Takes the whole chunks off the front: bytes used, their payload, and whether the last chunk was among them.
///
/// A chunk that has not come whole is left where it is.
fn unchunk(bytes: &[u8]) -> io::Result<(usize, Vec<u8>, bool)> {
    let (mut at, mut payload) = (0, Vec::new());
    while let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") {
        let text = String::from_utf8_lossy(&bytes[at..at + line]);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(digits, 16).map_err(|_| broken("a chunk without a size"))?;
        let start = at + line + 2;
        if size == 0 {
            // Trailers, if any, end with an empty line as the chunk itself does.
            let rest = &bytes[at + line..];
            return Ok(match rest.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => (at + line + end + 4, payload, true),
                None => (at, payload, false),
            });
        }
        let Some(end) = start.checked_add(size).and_then(|end| end.checked_add(2)) else {
            return Err(broken("a chunk beyond all bounds"));
        };
        if bytes.len() < end {
            break;
        }
        payload.extend_from_slice(&bytes[start..start + size]);
        at = end;
    }
    Ok((at, payload, false))
}

/// One chunk around these bytes; empty bytes make the last chunk.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bodies(wire: &[u8], framing: Framing) -> Vec<u8> {
        let (mut reader, mut framing, mut all) = (Reader::new(wire), framing, Vec::new());
        while let Some(bytes) = reader.body(&mut framing).await.unwrap() {
            all.extend(bytes);
        }
        all
    }

    #[tokio::test]
    async fn bodies_end_where_their_framing_says() {
        assert_eq!(bodies(b"abcdef", Framing::Length(4)).await, b"abcd");
        assert_eq!(bodies(b"abcdef", Framing::Close).await, b"abcdef");
        assert_eq!(
            bodies(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nrest", Framing::Chunked).await,
            b"abcde"
        );
        assert_eq!(bodies(b"3\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n", Framing::Chunked).await, b"abc");
    }

    #[tokio::test]
    async fn chunks_may_be_split_anywhere() {
        let wire = [chunk(b"one"), chunk("zwei €".as_bytes()), chunk(b"")].concat();
        for split in 0..wire.len() {
            let (mut near, far) = tokio::io::duplex(1024);
            let (first, second) = (wire[..split].to_vec(), wire[split..].to_vec());
            let writing = async move {
                use tokio::io::AsyncWriteExt;
                near.write_all(&first).await.unwrap();
                tokio::task::yield_now().await;
                near.write_all(&second).await.unwrap();
                near
            };
            let reading = async {
                let (mut reader, mut framing, mut all) =
                    (Reader::new(far), Framing::Chunked, Vec::new());
                while let Some(bytes) = reader.body(&mut framing).await.unwrap() {
                    all.extend(bytes);
                }
                all
            };
            let (_, all) = tokio::join!(writing, reading);
            assert_eq!(String::from_utf8(all).unwrap(), "onezwei €");
        }
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_and_not_an_end() {
        let (mut reader, mut framing) = (Reader::new(&b"5\r\nab"[..]), Framing::Chunked);
        assert!(reader.body(&mut framing).await.is_err());
    }
}
