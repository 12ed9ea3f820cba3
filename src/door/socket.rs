//! What the kernel is told about connections: when a silent or stuck one is given up.
//!
//! Options of a listening socket are inherited by the connections it accepts, so they are set
//! there, once, before it listens.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Bytes that were sent and not acknowledged for this long end the connection: a reader that
/// vanished or never reads.
const USER_TIMEOUT_MS: u32 = 30_000;

/// A connection that is silent for this long is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// How often it is asked again, and how often in vain before it is given up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;

/// Bytes the kernel keeps for a reader that is slow (it doubles this for its own needs). Without
/// a limit it tunes itself up to 4 MiB, which hides for minutes that nobody reads.
const SEND_BUFFER: usize = 64 * 1024;

/// Of these, bytes that were not even sent, because the reader takes no more. What the reader's
/// own kernel has taken does not count, so a fast one is not held up, while thousands that do not
/// read hold a quarter of the memory, and are no longer written to that much sooner.
const UNSENT: u32 = 16 * 1024;

/// Connections that wait to be accepted. The kernel has a limit of its own (`somaxconn`).
const BACKLOG: u32 = 4096;

/// Binds and listens.
///
/// # Errors
/// When the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose last connections are still fading may be taken again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    if let Err(e) = tune(&socket) {
        // Some sandboxes forbid it. Then a vanished reader is noticed by heartbeats only.
        log::warn!("could not set time-outs of connections: {e}");
    }
    socket.listen(BACKLOG)
}

fn tune(socket: &TcpSocket) -> io::Result<()> {
    sockopt::set_tcp_user_timeout(socket, USER_TIMEOUT_MS)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_COUNT)?;
    sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
    SockRef::from(socket).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// Lets this process open as many files as it may: each connection is one.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            log::warn!("the limit of open files stays at {:?}: {e}", limit.current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_inherit_what_the_listener_was_told() {
        let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("listens");
        let address = listener.local_addr().expect("bound");
        let _client = tokio::net::TcpStream::connect(address).await.expect("connects");
        let (accepted, _) = listener.accept().await.expect("accepts");
        assert_eq!(sockopt::tcp_user_timeout(&accepted).expect("says"), USER_TIMEOUT_MS);
        assert!(sockopt::socket_keepalive(&accepted).expect("says"));
        assert_eq!(sockopt::tcp_keepidle(&accepted).expect("says"), KEEPALIVE_IDLE);
        // The kernel doubles what it is given.
        assert_eq!(sockopt::socket_send_buffer_size(&accepted).expect("says"), 2 * SEND_BUFFER);
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().expect("says"), UNSENT);
    }
}
