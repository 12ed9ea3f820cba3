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

    /// A frame up to the age of its stream, see `PROTOCOL` in [`crate::live`].
    fn frame(&self) -> String {
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

/// What is before the age in a frame.
const OWN_BEFORE: &[u8] = b"],\"t\":";

/// Where the digits of the age end: after the longest ones.
const OWN_DIGITS: usize = OWN_BEFORE.len() + 20;

/// Room for the end of a frame, with what is after the age.
const OWN: [u8; OWN_DIGITS + 3] = {
    let mut own = [0; OWN_DIGITS + 3];
    own[OWN_DIGITS] = b'}';
    own[OWN_DIGITS + 1] = b'\n';
    own[OWN_DIGITS + 2] = b'\n';
    own
};

/// A batch as streams send it: the same bytes for all but the age of the stream at its end.
pub struct Delivery {
    /// Whom it is for: those who follow these topics,
    pub(super) topics: Vec<Topic>,
    /// and were here.
    pub(super) from: Cursor,
    /// Where they are afterwards.
    pub to: Cursor,
    reset: bool,
    frame: String,
}

impl Delivery {
    /// Reads what is after a cursor. [`Hub::delivery`] shares what was read for another.
    pub(super) fn read(hub: &Hub, topics: &[Topic], from: Cursor) -> Self {
        let batch = Batch::read(hub, topics, from);
        let frame = batch.frame();
        Self { topics: topics.to_vec(), from, to: batch.to, reset: batch.reset, frame }
    }

    /// Bytes that are shared.
    pub(super) fn len(&self) -> usize {
        self.frame.len()
    }

    /// The frame of a stream of this age.
    #[must_use]
    pub fn frame(&self, age_ms: u64) -> String {
        self.with_parts(age_ms, |shared, own| [shared, own].concat())
    }

    /// The same in two parts, the first of which all streams have in common.
    pub(super) fn with_parts<T>(&self, age_ms: u64, take: impl FnOnce(&str, &str) -> T) -> T {
        if self.reset {
            return take(&self.frame, "");
        }
        let mut own = OWN;
        // Digits from the right, as each reader has its own: the library's formatting took a
        // twentieth of the time of a delivery.
        let (mut at, mut left) = (OWN_DIGITS, age_ms);
        loop {
            at -= 1;
            own[at] = b'0' + u8::try_from(left % 10).unwrap_or_default();
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let begin = at - OWN_BEFORE.len();
        own[begin..at].copy_from_slice(OWN_BEFORE);
        take(&self.frame, std::str::from_utf8(&own[begin..]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::live::topic::encode;
    use crate::page::PageId;

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
        let frame = hub.delivery(&[Topic::Site], from).frame(1234);
        let data = frame.lines().nth(2).and_then(|line| line.strip_prefix("data: ")).expect("data");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(data).expect("JSON")["from"],
            json["from"]
        );
        assert!(frame.ends_with("\n\n"));
    }

    #[test]
    fn a_frame_ends_with_the_age_whatever_it_is() {
        let hub = Hub::new();
        let start = hub.head();
        hub.publish(Topic::Site, encode(Topic::Site, "created", &1));
        let delivery = hub.delivery(&[Topic::Site], start);
        for age in [0, 9, 10, 99, 100, 86_400_000, u64::MAX] {
            let frame = delivery.frame(age);
            assert!(frame.ends_with(&format!("}}],\"t\":{age}}}\n\n")), "{frame}");
        }
    }

    #[test]
    fn readers_who_were_equally_far_get_the_same_bytes_and_others_their_own() {
        let hub = Hub::new();
        let start = hub.head();
        hub.publish(Topic::Site, encode(Topic::Site, "created", &1));
        let middle = hub.head();
        hub.publish(Topic::Site, encode(Topic::Site, "created", &2));
        let topics = [Topic::Site];
        let first = hub.delivery(&topics, start);
        assert!(Arc::ptr_eq(&first, &hub.delivery(&topics, start)));
        let own = |topics: &[Topic], from, marks: [bool; 2]| {
            let text = hub.delivery(topics, from).frame(5);
            assert!(text.ends_with("],\"t\":5}\n\n"), "{text}");
            assert!(text.contains(&format!(r#""from":"{from}""#)), "{text}");
            let found = [1, 2].map(|n| text.contains(&format!(r#""data":{n}"#)));
            assert_eq!(found, marks, "{text}");
        };
        own(&topics, middle, [false, true]);
        own(&topics, start, [true, true]);
        own(&[Topic::Site, Topic::View(PageId(1))], start, [true, true]);
        own(&topics, hub.head(), [false, false]);
        // News of another topic move the position along.
        hub.publish(Topic::View(PageId(1)), encode(Topic::View(PageId(1)), "n", &3));
        let later = hub.delivery(&topics, start);
        assert_eq!((later.to, later.frame(0).contains(r#""data":3"#)), (hub.head(), false));
        hub.break_off(&topics);
        assert!(hub.delivery(&topics, start).frame(0).starts_with("event: reset"));
    }
}
