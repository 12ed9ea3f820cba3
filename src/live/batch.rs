//! Batches of events as they travel: `(from, to]` and what lies in it.

use super::cursor::Cursor;
use super::hub::{Hub, Read};
use super::topic::{Encoded, SEQ_BYTES, Topic, push_event};

/// Most bytes of events in one answer to a held request or a poll. Some
/// networks limit a response's length; the rest follows under `more`.
pub const ANSWER_BYTES: usize = 256 * 1024;

/// One delivery: the events of some topics in the interval `(from, to]`.
///
/// A client that is within the interval applies what lies after its own cursor,
/// for each event says its position; it drops the batch if `to` is behind, and asks
/// again when there is a gap. So duplicated and raced deliveries are harmless.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where the reader was.
    pub from: Cursor,
    /// Where it is after applying.
    pub to: Cursor,
    /// Encoded events, each with its position.
    pub events: Vec<(u64, Encoded)>,
    /// Cut at the size limit: ask again at once.
    pub more: bool,
    /// `from` could not be served: resynchronise, then go on from `to`.
    pub reset: bool,
}

impl Batch {
    /// Reads what is after a cursor.
    #[must_use]
    pub fn read(hub: &Hub, topics: &[Topic], from: Cursor) -> Self {
        match hub.read(topics, from, ANSWER_BYTES) {
            Read::Batch { to, events, more } => {
                Self { from, to: hub.cursor(to), events, more, reset: false }
            }
            Read::Reset { head } => {
                Self { from, to: hub.cursor(head), events: vec![], more: false, reset: true }
            }
        }
    }

    /// True when there is nothing to tell beyond how far the log is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.reset
    }

    /// `"from":…,"to":…,"events":[…],"more":…,"reset":…` without the braces,
    /// so that a caller can add fields of its own.
    #[must_use]
    pub fn json_fields(&self) -> String {
        let mut json = format!(r#""from":"{}","to":"{}","events":["#, self.from, self.to);
        self.push_events(&mut json);
        json.push_str(&format!(r#"],"more":{},"reset":{}"#, self.more, self.reset));
        json
    }

    /// The frame of a stream of this age, see `PROTOCOL` in [`crate::live`].
    #[must_use]
    pub fn frame(&self, age_ms: u128) -> String {
        if self.reset {
            return format!(
                "event: reset\nid: {0}\ndata: {{\"from\":null,\"to\":\"{0}\"}}\n\n",
                self.to
            );
        }
        let size =
            self.events.iter().map(|(_, event)| event.len() + SEQ_BYTES).sum::<usize>() + 120;
        let mut frame = String::with_capacity(size);
        frame.push_str(&format!(
            "event: batch\nid: {1}\ndata: {{\"from\":\"{0}\",\"to\":\"{1}\",\"events\":[",
            self.from, self.to
        ));
        self.push_events(&mut frame);
        frame.push_str(&format!("],\"t\":{age_ms}}}\n\n"));
        frame
    }

    fn push_events(&self, out: &mut String) {
        for (n, (seq, event)) in self.events.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            push_event(out, *seq, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::topic::encode;

    #[test]
    fn an_answer_and_a_frame_are_json_with_the_interval() {
        let hub = Hub::new();
        let from = hub.head();
        hub.publish(Topic::Site, encode(Topic::Site, "created", &1));
        hub.publish(Topic::Site, encode(Topic::Site, "created", &2));
        let batch = Batch::read(&hub, &[Topic::Site], from);
        let json: serde_json::Value =
            serde_json::from_str(&format!("{{{}}}", batch.json_fields())).expect("JSON");
        assert_eq!(json["events"][1]["data"], 2);
        assert_eq!((&json["events"][0]["seq"], &json["events"][1]["seq"]), (&1.into(), &2.into()));
        assert_eq!(json["to"], hub.head().to_string());
        let frame = batch.frame(1234);
        let data = frame.lines().nth(2).and_then(|line| line.strip_prefix("data: ")).expect("data");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(data).expect("JSON")["from"],
            json["from"]
        );
        assert!(frame.ends_with("\n\n"));
    }
}
