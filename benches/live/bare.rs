//! What cannot be avoided, as a process of its own: `bare` as the benchmark's argument.
//!
//! One thread and one loop. A connection's first byte says what it is: `R` a reader, `C` the one
//! that has messages written to all readers, anything else a client that is answered 304 to
//! whatever it sends.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// About what a delivery of one keystroke is, with the mark that readers count.
fn message() -> Vec<u8> {
    let mut message = br#"{"topic":"doc:2","kind":"updated","data":{"rev":1,"update":""#.to_vec();
    message.resize(super::scale::MESSAGE_BYTES - 2, b'A');
    message.extend(b"\n\n");
    message
}

type Sockets = Arc<Mutex<Vec<TcpStream>>>;

/// Serves until it is killed.
pub fn serve() -> super::Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener: TcpListener = socket.listen(4096)?;
        println!("listening on http://{}", listener.local_addr()?);
        io::stdout().flush()?;
        let readers = Sockets::default();
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(attend(socket, Arc::clone(&readers)));
        }
    })
}

async fn attend(mut socket: TcpStream, readers: Sockets) -> io::Result<()> {
    let mut buffer = [0; 1024];
    match socket.read(&mut buffer).await? {
        0 => return Ok(()),
        _ if buffer[0] == b'R' => {
            socket.write_all(b"ready").await?;
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
            return Ok(());
        }
        _ if buffer[0] == b'C' => return write_messages(socket, &readers).await,
        _ => {}
    }
    loop {
        socket.write_all(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n").await?;
        if socket.read(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// For each byte that comes, one message to each reader by one write. Whoever has no room for it
/// has lost it, which with readers that read does not happen.
async fn write_messages(mut control: TcpStream, readers: &Sockets) -> io::Result<()> {
    let message = message();
    let mut buffer = [0; 64];
    loop {
        let messages = control.read(&mut buffer).await?;
        if messages == 0 {
            return Ok(());
        }
        let readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..messages {
            for reader in readers.iter() {
                let _ = reader.try_write(&message);
            }
        }
    }
}
