//! A look at the bytes of heads, beside the parser's.
//!
//! The parser is lenient where a sender in front of the door may have been so too, in another
//! way: it drops a length that comes with a transfer coding, and takes a line that ends without
//! a carriage return. Once it has parsed a head, nothing of this can be seen. Such requests are
//! how one is smuggled past a proxy (RFC 9112, section 11.2), so they are noticed here and
//! refused by whoever answers.

/// What is kept of a line: enough for the name and the value of a length.
const KEPT: usize = 64;

/// Follows the heads of one connection. Total: any bytes will do.
pub(super) struct Scan {
    at: At,
    /// The beginning of the present line.
    line: [u8; KEPT],
    /// Bytes of the present line so far, of which the first [`KEPT`] are kept.
    length: usize,
    last: u8,
    head: Head,
    /// How many heads have ended.
    heads: u64,
}

enum At {
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    /// Nothing more is taken from this connection, or the parser will say why not.
    Off,
}

/// What was seen of one head.
#[derive(Default)]
struct Head {
    lines: usize,
    lengths: usize,
    body: u64,
    coded: bool,
    bare: bool,
    unclear: bool,
}

/// A request that is to be refused: which one of its connection, from 0, and why.
pub(super) type Bad = (u64, &'static str);

impl Scan {
    pub fn new() -> Self {
        Self { at: At::Head, line: [0; KEPT], length: 0, last: 0, head: Head::default(), heads: 0 }
    }

    /// Looks at the next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) -> Option<Bad> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Off => return None,
                At::Body(left) => {
                    let part = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= part as u64;
                    bytes = &bytes[part..];
                    if *left == 0 {
                        self.at = At::Head;
                    }
                }
                At::Head => match bytes.iter().position(|byte| *byte == b'\n') {
                    None => {
                        self.keep(bytes);
                        return None;
                    }
                    Some(end) => {
                        self.keep(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                        if let Some(bad) = self.end_line() {
                            return Some(bad);
                        }
                    }
                },
            }
        }
        None
    }

    fn keep(&mut self, part: &[u8]) {
        if let Some(last) = part.last() {
            self.last = *last;
        }
        if self.length < KEPT {
            let room = &mut self.line[self.length..];
            let part = &part[..part.len().min(room.len())];
            room[..part.len()].copy_from_slice(part);
        }
        self.length += part.len();
    }

    fn end_line(&mut self) -> Option<Bad> {
        let returned = self.length > 0 && self.last == b'\r';
        let length = self.length - usize::from(returned);
        self.length = 0;
        // Empty lines before a head are none of it (RFC 9112, section 2.2).
        if length == 0 && self.head.lines == 0 {
            return None;
        }
        self.head.bare |= !returned;
        if length == 0 {
            return self.end_head();
        }
        self.head.lines += 1;
        let line = &self.line[..length.min(KEPT)];
        // The first line has no name.
        let colon = line.iter().position(|byte| *byte == b':').filter(|_| self.head.lines > 1);
        if let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) {
            if name.eq_ignore_ascii_case(b"content-length") {
                self.head.lengths += 1;
                match number(&value[1..]).filter(|_| length <= KEPT) {
                    Some(body) => self.head.body = body,
                    None => self.head.unclear = true,
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                self.head.coded = true;
            }
        }
        None
    }

    fn end_head(&mut self) -> Option<Bad> {
        let head = std::mem::take(&mut self.head);
        let bad = head.problem().map(|sentence| (self.heads, sentence));
        self.heads += 1;
        self.at = match head.body {
            // The connection ends after a coded body, wherever that ends.
            _ if bad.is_some() || head.coded => At::Off,
            0 => At::Head,
            body => At::Body(body),
        };
        bad
    }
}

impl Head {
    fn problem(&self) -> Option<&'static str> {
        if self.coded && self.lengths > 0 {
            Some("A body has a length or a transfer coding, not both.")
        } else if self.lengths > 1 {
            Some("There must be one Content-Length header.")
        } else if self.unclear {
            Some("The Content-Length header must be a number.")
        } else if self.bare {
            Some("The lines of a head must end with CR LF.")
        } else {
            None
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expected: Option<u64>) {
        // However it is cut.
        for size in [1, 2, 3, 7, 64, 65, bytes.len()] {
            let mut scan = Scan::new();
            let bad = bytes.as_bytes().chunks(size).find_map(|part| scan.see(part));
            assert_eq!(bad.map(|(n, _)| n), expected, "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_found_wherever_it_stands() {
        let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let cookie = "y".repeat(99);
        let long = format!("GET /{cookie} HTTP/1.1\r\nCookie: {cookie}\r\nHost: x\r\n\r\n");
        let body = "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\n\nb\n";
        let padded = format!("PUT / HTTP/1.1\r\nContent-Length: {}5\r\n\r\n", "0".repeat(60));
        let both = "PUT / HTTP/1.1\r\nTransfer-encoding: chunked\r\nCONTENT-LENGTH: 5\r\n\r\n";
        let bare = "GET / HTTP/1.1\r\nX: y\nHost: x\r\n\r\n";
        for (bytes, expected) in [
            (good, None),
            (&*long, None),
            (body, None),
            (both, Some(0)),
            (&padded, Some(0)),
            (bare, Some(0)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", Some(0)),
            ("GET / HTTP/1.1\nHost: x\n\n", Some(0)),
            ("PUT / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length:1\r\n\r\n", Some(0)),
            ("PUT / HTTP/1.1\r\nContent-Length: 1,1\r\n\r\n", Some(0)),
            ("PUT / HTTP/1.1\r\nContent-Length:\r\n\r\n", Some(0)),
        ] {
            check(bytes, expected);
            check(&format!("\r\n\r\n{bytes}"), expected);
            check(&format!("{good}{body}{long}{bytes}"), expected.map(|n| n + 3));
        }
        // Nothing is taken from a connection after a coded body.
        check(
            &format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{both}"),
            None,
        );
    }
}
