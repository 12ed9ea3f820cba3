//! A plain reader of Server-Sent Events.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

use super::wiki::LIMIT;

/// One frame of a stream.
#[derive(Debug)]
pub struct Frame {
    pub event: String,
    pub id: Option<String>,
    pub data: Value,
    /// When its last byte came.
    pub at: Instant,
}

/// An open stream.
pub struct Sse {
    pub response: Response,
    buffer: Vec<u8>,
    /// Comments seen.
    pub comments: usize,
}

impl Sse {
    /// Opens; the answer must be a stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.header("Accept", "text/event-stream").send().await.expect("answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: Vec::new(), comments: 0 }
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        self.next_within(LIMIT).await
    }

    /// The same; panics when it does not come in time.
    pub async fn next_within(&mut self, limit: Duration) -> Option<Frame> {
        tokio::time::timeout(limit, self.read()).await.expect("a frame in time")
    }

    /// The next frame of one kind.
    pub async fn next_of(&mut self, event: &str) -> Frame {
        loop {
            let frame = self.next().await.expect("more frames");
            if frame.event == event {
                return frame;
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                if block.starts_with(':') {
                    self.comments += 1;
                    continue;
                }
                return Some(parse(&block));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) => return None,
                // A server that was killed, or that closes what does not end.
                Err(_) => return None,
            }
        }
    }
}

fn parse(block: &str) -> Frame {
    let mut frame = Frame { event: String::new(), id: None, data: Value::Null, at: Instant::now() };
    for line in block.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line:?}")) {
            ("event", event) => event.clone_into(&mut frame.event),
            ("id", id) => frame.id = Some(id.to_owned()),
            ("data", data) => frame.data = serde_json::from_str(data).expect("JSON"),
            other => panic!("unknown field {other:?}"),
        }
    }
    frame
}
