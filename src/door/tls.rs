//! TLS on the public port: certificates from files, which may change while the server runs.
//!
//! A changed pair of files is taken for new connections as soon as both fit together; one that
//! cannot be used is said once in the log, and the old one stays.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::caps::Permit;
use super::{Shared, connection, http2, linger};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Largest file that is read. A chain of certificates has a few KB.
const MAX_FILE: u64 = 1 << 20;

/// The first byte of every TLS connection: the type of a record with a handshake (RFC 8446,
/// section 5.1). No method of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;

/// What is said to whoever speaks plain HTTP.
const PLAIN: &str = "This port speaks HTTPS only: the address must begin with https://\n";

/// A name for each protocol that is offered (RFC 7301), the preferred one first.
const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// Certificates and key for the public port.
pub struct Tls {
    files: Files,
    config: Mutex<Arc<ServerConfig>>,
    /// The files when they were last read.
    read: Mutex<Seen>,
    /// The files of which the log has said that they cannot be used.
    said: Mutex<Option<Seen>>,
}

struct Files {
    certs: PathBuf,
    key: PathBuf,
}

/// Why a pair of files cannot be used. `Display` is a sentence.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("The file {0} cannot be read: {1}.")]
    Unreadable(PathBuf, io::Error),
    /// A file has something else.
    #[error("The file {0} has no {1} in PEM form.")]
    Nothing(PathBuf, &'static str),
    /// The two do not fit together, or are of a kind that is not known.
    #[error("The certificates in {0} cannot be used with the key in {1}: {2}.")]
    Unusable(PathBuf, PathBuf, rustls::Error),
}

/// What tells that a file has changed, also when a link was turned to another one.
type Seen = [Option<(u64, u64, u64, i64, i64, i64, i64)>; 2];

impl Files {
    fn look(&self) -> Seen {
        [&self.certs, &self.key].map(|path| {
            let file = std::fs::metadata(path).ok()?;
            let (changed, touched) =
                ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
            Some((file.dev(), file.ino(), file.size(), changed.0, changed.1, touched.0, touched.1))
        })
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certs = CertificateDer::pem_slice_iter(&read(&self.certs)?)
            .collect::<Result<Vec<_>, _>>()
            .unwrap_or_default();
        if certs.is_empty() {
            return Err(TlsError::Nothing(self.certs.clone(), "certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::Nothing(self.key.clone(), "private key"))?;
        let unusable = |e| TlsError::Unusable(self.certs.clone(), self.key.clone(), e);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certs, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![H2.to_vec(), HTTP_11.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |e| TlsError::Unreadable(path.to_owned(), e);
    let file = std::fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() || file.len() > MAX_FILE {
        return Err(unreadable(io::Error::other("it is not a file of at most 1 MiB")));
    }
    std::fs::read(path).map_err(unreadable)
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key.
    ///
    /// # Errors
    /// When a file cannot be read or the two do not fit together.
    pub fn load(certs: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certs: certs.to_owned(), key: key.to_owned() };
        // Looked at before it is read: a change in between is seen by the next look.
        let seen = files.look();
        let config = Mutex::new(files.load()?);
        Ok(Self { files, config, read: Mutex::new(seen), said: Mutex::default() })
    }

    fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Takes over changed files, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut before = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            // A disk may hang.
            let looked = tokio::task::spawn_blocking(move || tls.look_again(before)).await;
            before = looked.unwrap_or_default();
        }
    }

    /// Takes over files that have changed since they were read, but not since `before`: whoever
    /// replaces them does so one after the other.
    fn look_again(&self, before: Option<Seen>) -> Option<Seen> {
        let now = self.files.look();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *read {
            return None;
        }
        if before != Some(now) {
            return Some(now);
        }
        let loaded = self.files.load();
        // What could not be read, for want of file descriptors say, may be readable at the next
        // look without having changed.
        let again = matches!(loaded, Err(TlsError::Unreadable(..)));
        if !again {
            *read = now;
        }
        match loaded {
            Ok(config) => {
                *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
                log::info!("new connections get the certificate that is in the files now");
            }
            Err(e) => {
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.replace(now) != Some(now) {
                    log::error!("the old certificate stays: {e}");
                }
            }
        }
        again.then_some(now)
    }
}

/// Serves a connection, once hands have been shaken.
pub(super) fn spawn(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    tls: &Tls,
) {
    let acceptor = tls.acceptor();
    tokio::spawn(async move {
        let mut closing = shared.closing.clone();
        let shaken = tokio::select! {
            shaken = timeout(shared.limits.head, shake(socket, acceptor)) => shaken,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        // Each in a task of its own, so that what the handshake needed is given back.
        match shaken {
            Ok(Ok(Shaken::Secret(stream))) => {
                if stream.get_ref().1.alpn_protocol() == Some(H2) {
                    http2::spawn(shared, *stream, peer, permit);
                } else {
                    connection::spawn(shared, *stream, peer, permit);
                }
            }
            Ok(Ok(Shaken::Plain(socket))) => {
                linger::refuse(socket, "400 Bad Request", PLAIN).await;
            }
            Ok(Err(e)) => log::debug!("no TLS with {peer}: {e}"),
            Err(_) => {}
        }
    });
}

enum Shaken {
    Secret(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

async fn shake(socket: TcpStream, acceptor: TlsAcceptor) -> io::Result<Shaken> {
    let mut first = [0];
    if socket.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        return Ok(Shaken::Plain(socket));
    }
    acceptor.accept(socket).await.map(|stream| Shaken::Secret(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::tests::certificate;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let (first, second) = (certificate("a.test"), certificate("b.test"));
        std::fs::write(path("certs"), &first.0).expect("writes");
        std::fs::write(path("key"), &first.1).expect("writes");
        std::fs::write(path("other"), &second.1).expect("writes");
        std::fs::write(path("empty"), "").expect("writes");
        std::fs::write(path("broken"), first.0.replace('M', "!")).expect("writes");
        assert!(Tls::load(&path("certs"), &path("key")).is_ok());
        for (certs, key, named) in [
            ("none", "key", "none cannot be read"),
            ("certs", "none", "none cannot be read"),
            ("", "key", "not a file"),
            ("empty", "key", "empty has no certificate"),
            ("broken", "key", "broken has no certificate"),
            ("key", "key", "key has no certificate"),
            ("certs", "empty", "empty has no private key"),
            ("certs", "certs", "certs has no private key"),
            ("certs", "other", "cannot be used with the key"),
        ] {
            let error = Tls::load(&path(certs), &path(key)).err().expect("refused").to_string();
            assert!(error.contains(named), "{certs} {key}: {error}");
        }
    }

    #[test]
    fn a_pair_is_taken_over_when_both_have_come_and_come_to_rest() {
        let dir = tempfile::tempdir().expect("a folder");
        let (certs, key) = (dir.path().join("certs"), dir.path().join("key"));
        let place = |pair: &(String, String), n: usize| {
            let real = dir.path().join(n.to_string());
            std::fs::create_dir(&real).expect("makes");
            std::fs::write(real.join("certs"), &pair.0).expect("writes");
            std::fs::write(real.join("key"), &pair.1).expect("writes");
            real
        };
        let turn = |link: &Path, to: &Path| {
            let new = dir.path().join("new");
            std::os::unix::fs::symlink(to.join(link.file_name().expect("a name")), &new)
                .expect("links");
            std::fs::rename(new, link).expect("renames");
        };
        let first = place(&certificate("a.test"), 1);
        turn(&certs, &first);
        turn(&key, &first);
        let tls = Tls::load(&certs, &key).expect("fits");
        let config = || Arc::as_ptr(&tls.config.lock().expect("whole"));
        let old = config();
        assert_eq!(tls.look_again(None), None);
        let second = place(&certificate("b.test"), 2);
        turn(&certs, &second);
        let seen = tls.look_again(None);
        assert!(seen.is_some() && config() == old, "it may be half of a change");
        turn(&key, &second);
        let seen = tls.look_again(seen);
        assert!(seen.is_some() && config() == old, "it has just changed again");
        assert_eq!(tls.look_again(seen), None);
        let new = config();
        assert!(new != old);
        // What does not fit is tried once, and the rest stays as it is.
        turn(&key, &first);
        let seen = tls.look_again(None);
        assert_eq!(tls.look_again(seen), None);
        assert_eq!(tls.look_again(None), None);
        assert!(config() == new);
        std::fs::remove_file(&certs).expect("removes");
        let seen = tls.look_again(None);
        assert_eq!(tls.look_again(seen), seen, "what cannot be read is tried again and again");
        assert_eq!(*tls.said.lock().expect("whole"), seen, "and the log says so once");
        assert!(config() == new);
        turn(&certs, &first);
        let seen = tls.look_again(None);
        assert_eq!(tls.look_again(seen), None);
        assert!(config() != new, "and taken over when it fits again");
    }
}
