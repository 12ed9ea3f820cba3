//! One that asks for the same thing first: virus scanners and checkers of links do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a scanner reads a response that does not end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much earlier than the client it asks.
const AHEAD: Duration = Duration::from_millis(30);

/// Sends a request, with its body, for somebody else. What is only read goes on beside; what is written
/// has been answered when this returns.
pub async fn ask_first(target: &str, request: &[u8], reads: bool) {
    let Ok(mut stream) = TcpStream::connect(target).await else { return };
    if stream.write_all(request).await.is_err() {
        return;
    }
    let answered = async move {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    if reads {
        tokio::spawn(timeout(PATIENCE, answered));
        sleep(AHEAD).await;
    } else {
        let _ = timeout(PATIENCE, answered).await;
    }
}
