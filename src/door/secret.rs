//! How the inner server knows that a request came through the door, and from whom.

use std::net::SocketAddr;

/// Header in which the door names the peer: `<secret> <address>:<port>`. What a client sends
/// under this name is thrown away.
pub const PEER_HEADER: &str = "halley-peer";

/// A random value of this process, shared by the door and the inner server. Without it anybody
/// with an account on the machine could speak to the inner port and claim any address.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Compared instead of the text, in constant time.
    hash: blake3::Hash,
}

impl Secret {
    /// A secret made from fresh random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = blake3::hash(text.as_bytes());
        Self { text, hash }
    }

    /// The value of the header for a peer.
    #[must_use]
    pub fn header(&self, peer: SocketAddr) -> String {
        format!("{} {peer}", self.text)
    }

    /// The peer that a header names, if it has the secret.
    #[must_use]
    pub fn peer(&self, header: &str) -> Option<SocketAddr> {
        let (text, peer) = header.split_once(' ')?;
        if blake3::hash(text.as_bytes()) == self.hash { peer.parse().ok() } else { None }
    }
}
