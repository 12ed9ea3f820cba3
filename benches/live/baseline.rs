//! What cannot be avoided: bare sockets, a bare HTTP answer, bare fdatasync.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Trips of 200 bytes there and 200 bytes to a third party: what two hops of a socket cost.
pub async fn socket_trips(count: usize) -> io::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let relay = tokio::spawn(async move {
        let (mut from, _) = listener.accept().await?;
        let (mut to, _) = listener.accept().await?;
        from.set_nodelay(true)?;
        to.set_nodelay(true)?;
        let mut buffer = [0; 200];
        while from.read_exact(&mut buffer).await.is_ok() {
            to.write_all(&buffer).await?;
        }
        Ok::<_, io::Error>(())
    });
    let mut sender = TcpStream::connect(address).await?;
    let mut receiver = TcpStream::connect(address).await?;
    sender.set_nodelay(true)?;
    let mut times = Vec::with_capacity(count);
    let mut buffer = [7; 200];
    for _ in 0..count {
        let begun = Instant::now();
        sender.write_all(&buffer).await?;
        receiver.read_exact(&mut buffer).await?;
        times.push(begun.elapsed());
    }
    drop(sender);
    relay.await.map_err(io::Error::other)??;
    Ok(times)
}

/// Deliveries a second of `bytes` bytes to `readers` sockets by one loop that does only that.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn socket_fanout(readers: usize, rounds: usize, bytes: usize) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut tasks = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..readers {
        let mut reader = TcpStream::connect(address).await?;
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
        tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            for _ in 0..rounds {
                reader.read_exact(&mut buffer).await?;
            }
            Ok::<_, io::Error>(())
        }));
    }
    let message = vec![7; bytes];
    let begun = Instant::now();
    for _ in 0..rounds {
        for socket in &mut sockets {
            socket.write_all(&message).await?;
        }
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok((readers * rounds) as f64 / begun.elapsed().as_secs_f64())
}

/// Requests a second on one connection, answered by a loop that only writes 304.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn bare_http(count: usize) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mut buffer = [0; 4096];
        while socket.read(&mut buffer).await? > 0 {
            socket.write_all(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n").await?;
        }
        Ok::<_, io::Error>(())
    });
    let mut connection = super::client::Connection::open(&address).await?;
    let begun = Instant::now();
    for _ in 0..count {
        connection.send("GET", "/", "If-None-Match: \"x\"\r\n", b"").await?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Appends of 200 bytes a second, each followed by an fdatasync, as long as `lasting`.
pub fn fdatasync_loop(lasting: Duration) -> io::Result<f64> {
    let mut file = tempfile::tempfile()?;
    // Preallocated like the journal, so that only data is synced.
    file.write_all(&vec![0; 8 << 20])?;
    file.sync_all()?;
    io::Seek::rewind(&mut file)?;
    let begun = Instant::now();
    let mut count = 0.0;
    while begun.elapsed() < lasting {
        file.write_all(&[7; 200])?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / begun.elapsed().as_secs_f64())
}
