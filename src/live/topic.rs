//! What can be listened to, and how an event is written.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::page::PageId;

/// Most topics that one request may name: those of some twenty tabs of a browser, which share one
/// connection. `static/js/sync/share/hub.js` knows the number too.
pub const MAX_TOPICS: usize = 64;

/// One stream of related events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `view:<page>`: rendered changes, for readers and previews.
    View(PageId),
    /// `doc:<page>`: Yjs updates, for editors.
    Doc(PageId),
    /// `here:<page>`: who is on a page.
    Here(PageId),
    /// `site`: pages created, deleted and restored.
    Site,
    /// `recent`: pages that are being written, and revisions that are closed or named.
    Recent,
}

impl Topic {
    /// The page that the topic belongs to; `None` for [`Topic::Site`] and [`Topic::Recent`].
    #[must_use]
    pub fn page(self) -> Option<PageId> {
        match self {
            Self::View(page) | Self::Doc(page) | Self::Here(page) => Some(page),
            Self::Site | Self::Recent => None,
        }
    }

    /// Reads a comma-separated list of 1 to [`MAX_TOPICS`] topics; repetitions count once.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, TopicError> {
        let mut topics = Vec::new();
        for name in text.split(',') {
            let topic = name.parse()?;
            if !topics.contains(&topic) {
                topics.push(topic);
            }
            if topics.len() > MAX_TOPICS {
                return Err(TopicError::TooMany);
            }
        }
        Ok(topics)
    }
}

/// Why a list of topics is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not `view:N`, `doc:N`, `here:N`, `site` or `recent`.
    #[error("A topic is site, recent, view:<page>, doc:<page> or here:<page>.")]
    Unknown,
    /// More than [`MAX_TOPICS`].
    #[error("One request listens to at most {MAX_TOPICS} topics.")]
    TooMany,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View(page) => write!(f, "view:{page}"),
            Self::Doc(page) => write!(f, "doc:{page}"),
            Self::Here(page) => write!(f, "here:{page}"),
            Self::Site => f.write_str("site"),
            Self::Recent => f.write_str("recent"),
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let Some((kind, page)) = text.split_once(':') else {
            return match text {
                "site" => Ok(Self::Site),
                "recent" => Ok(Self::Recent),
                _ => Err(TopicError::Unknown),
            };
        };
        if page.is_empty() || !page.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TopicError::Unknown);
        }
        let page = page.parse().map_err(|_| TopicError::Unknown)?;
        match kind {
            "view" => Ok(Self::View(page)),
            "doc" => Ok(Self::Doc(page)),
            "here" => Ok(Self::Here(page)),
            _ => Err(TopicError::Unknown),
        }
    }
}

/// An event as JSON on one line, written once and shared by every reader.
pub type Encoded = Arc<[u8]>;

/// Most bytes that [`push_event`] adds to an event, with the comma behind it.
pub const SEQ_BYTES: usize = r#""seq":,,"#.len() + 20;

/// Writes an event with its position, as `{"seq":…,"topic":…,"kind":…,"data":…}`.
///
/// The position is not known when the event is encoded: many threads encode, and the log decides
/// who comes first.
pub fn push_event(out: &mut String, seq: u64, event: &[u8]) {
    // Events come from serde_json: UTF-8, and an object that is not empty.
    let event = std::str::from_utf8(event).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(out, r#"{{"seq":{seq},"#);
    out.push_str(event.strip_prefix('{').unwrap_or("}"));
}

/// Writes `{"topic":…,"kind":…,"data":…}`.
///
/// JSON escapes line ends, so an event can never break the framing of a stream.
pub fn encode(topic: Topic, kind: &'static str, data: &impl Serialize) -> Encoded {
    #[derive(Serialize)]
    struct Event<'a, T> {
        topic: String,
        kind: &'a str,
        data: &'a T,
    }
    let event = Event { topic: topic.to_string(), kind, data };
    // Plain structs of strings and numbers: serialising them cannot fail.
    serde_json::to_vec(&event).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_read_back_as_they_were_printed() {
        let topics = vec![Topic::View(PageId(1)), Topic::Doc(PageId(2)), Topic::Site];
        let text = topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(Topic::parse_list(&text), Ok(topics));
    }

    #[test]
    fn unknown_topics_are_refused() {
        for text in [
            "",
            "view",
            "view:",
            "view:-1",
            "view:+1",
            "pages:1",
            "site:1",
            "view:1,",
            "view:99999999999999999999",
        ] {
            assert_eq!(Topic::parse_list(text), Err(TopicError::Unknown), "{text:?}");
        }
        let many = (0..=MAX_TOPICS).map(|n| format!("view:{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(Topic::parse_list(&many), Err(TopicError::TooMany));
    }

    #[test]
    fn an_event_says_its_position_and_grows_by_no_more_than_is_reserved() {
        let event = encode(Topic::Site, "created", &"x");
        for seq in [0, 7, 1_234_567_890, u64::MAX] {
            let mut text = String::new();
            push_event(&mut text, seq, &event);
            assert!(text.len() < event.len() + SEQ_BYTES, "room for the comma");
            let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((&json["seq"], &json["topic"]), (&seq.into(), &"site".into()));
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_it_carries() {
        let event = encode(Topic::Site, "created", &"a\nb\r\u{2028}\n\nid: x");
        assert!(!event.contains(&b'\n') && !event.contains(&b'\r'));
    }
}
