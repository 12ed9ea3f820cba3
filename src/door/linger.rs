//! The end of a connection whose client may still be sending.
//!
//! A socket that is closed while there is something in it that nobody has read resets its
//! connection, and the reset throws away what the client has not read yet: the answer that says
//! why. So what comes is read and dropped for a while (RFC 9112, section 9.6).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// In all. Some clients look for an answer only after they have sent everything.
const LONGEST: Duration = Duration::from_secs(10);

/// Without another byte.
const SILENCE: Duration = Duration::from_secs(2);

/// Most bytes that are read: several times the largest request that would have been taken.
const BYTES: usize = 32 << 20;

/// Bytes at a time.
const PART: usize = 4096;

/// Says that nothing more will be written, and waits for the client to end as well.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S) {
    let all = async {
        if !matches!(timeout(SILENCE, socket.shutdown()).await, Ok(Ok(()))) {
            return;
        }
        let (mut part, mut left) = (vec![0; PART], BYTES);
        while let Ok(Ok(n)) = timeout(SILENCE, socket.read(&mut part)).await
            && n > 0
            && n <= left
        {
            left -= n;
        }
    };
    let _ = timeout(LONGEST, all).await;
}

/// Answers with a sentence, whatever was asked, and closes.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    status: &str,
    sentence: &str,
) {
    let answer = answer(status, "", sentence);
    if matches!(timeout(SILENCE, socket.write_all(answer.as_bytes())).await, Ok(Ok(()))) {
        close(socket).await;
    }
}

/// An answer outside of any request. `more`: headers, each with its end of line.
pub(super) fn answer(status: &str, more: &str, sentence: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         {more}Cache-Control: no-store\r\nConnection: close\r\n\r\n{sentence}",
        sentence.len()
    )
}
