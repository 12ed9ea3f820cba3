//! What the kernel is told about connections: when a silent or stuck one is given up.
//!
//! Rocket has no hook for this. Options of a listening socket are inherited by the connections
//! it accepts, so they are set there, once, before the first one comes.

use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use rocket::fairing::AdHoc;
use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

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

/// Sets the options when the server has begun to listen.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Socket options", |rocket| {
        Box::pin(async move {
            let port = rocket.config().port;
            match tune(port) {
                Ok(0) => log::warn!("no listening socket was found to set time-outs on"),
                Ok(_) => {}
                // Some sandboxes forbid it. Then a vanished reader is noticed by heartbeats only.
                Err(e) => log::warn!("could not set time-outs of connections: {e}"),
            }
        })
    })
}

/// Sets the options on this process's sockets that listen on a port; returns how many there are.
///
/// # Errors
/// When descriptors cannot be looked at, or an option is refused.
pub fn tune(port: u16) -> io::Result<usize> {
    let mut found = 0;
    for socket in own_descriptors()? {
        let listens = sockopt::socket_acceptconn(&socket).unwrap_or(false);
        if listens && port_of(&socket) == Some(port) {
            sockopt::set_tcp_user_timeout(&socket, USER_TIMEOUT_MS)?;
            sockopt::set_socket_keepalive(&socket, true)?;
            sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
            sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
            sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_COUNT)?;
            sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
            found += 1;
        }
    }
    Ok(found)
}

fn port_of(socket: &OwnedFd) -> Option<u16> {
    let address = rustix::net::getsockname(socket).ok()?;
    std::net::SocketAddr::try_from(address).ok().map(|address| address.port())
}

/// A duplicate of each descriptor of this process. The numbers come from `/proc`, and a number
/// alone cannot safely be made into a descriptor; `pidfd_getfd(2)` can, even when another thread
/// closes it meanwhile.
fn own_descriptors() -> io::Result<Vec<OwnedFd>> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut numbers: Vec<RawFd> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    let mut descriptors = Vec::new();
    let mut refused = None;
    for number in numbers {
        match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Ok(descriptor) => descriptors.push(descriptor),
            // Closed since it was listed.
            Err(rustix::io::Errno::BADF) => {}
            Err(e) => refused = Some(e),
        }
    }
    match refused {
        Some(e) if descriptors.is_empty() => Err(e.into()),
        _ => Ok(descriptors),
    }
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
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn accepted_connections_inherit_what_the_listener_was_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(tune(address.port()).unwrap(), 1);
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), USER_TIMEOUT_MS);
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), KEEPALIVE_IDLE);
        // The kernel doubles what it is given.
        assert_eq!(sockopt::socket_send_buffer_size(&accepted).unwrap(), 2 * SEND_BUFFER);
    }
}
