//! `GET /_live/events` and small updates at the front door, without Rocket between.
//!
//! They are the same answers that Rocket's routes give, made by the same functions; only how the
//! request is read and how the bytes reach the socket differ. Whatever is unusual about a request
//! is left to those routes, so errors have one place. To relay a keystroke costs as much as all
//! the rest of its way but the disk.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, COOKIE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use rocket::http::Cookie;

use super::caller::Caller;
use super::documents::{self, Submission};
use super::events::{self, IfNoneMatch, LastEventId, Query};
use super::{LIVE_HEADERS, LiveJson, NothingNew, STREAM_TYPE};
use crate::config::Config;
use crate::door::{Answer, Chunks, Frames, Hook, Run};
use crate::headers;
use crate::identity::{COOKIE as GUEST_COOKIE, Guest, SigningKey};
use crate::live::Live;
use crate::live::stream::Stream;
use crate::logging::RequestId;
use crate::origin::{self, Signs};
use crate::random::Random;
use crate::routes::FormBody;

const PATH: &str = "/_live/events";

/// What a hook needs, which for Rocket is managed state.
struct Direct {
    config: Config,
    live: Live,
    key: SigningKey,
    random: Random,
}

/// The door's hook.
pub(crate) fn hook(config: Config, live: Live, key: SigningKey, random: Random) -> Box<Hook> {
    let direct = Direct { config, live, key, random };
    Box::new(move |parts, peer| direct.answer(parts, peer))
}

impl Frames for Stream {
    fn attach(&mut self, run: Run) {
        self.set_errand(run);
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        Stream::poll_frame(self, cx)
    }

    fn append_news(&mut self, out: &mut Chunks<'_>) -> bool {
        Stream::each_news(self, |shared, own| out.push(shared, own))
    }
}

impl Direct {
    fn answer(&self, parts: &Parts, peer: SocketAddr) -> Option<Answer> {
        match parts.method {
            Method::GET => self.events(parts, peer),
            Method::POST => self.update(parts, peer),
            _ => None,
        }
    }

    /// An update that a known guest sends.
    fn update(&self, parts: &Parts, peer: SocketAddr) -> Option<Answer> {
        let id = parts.uri.path().strip_prefix("/_live/pages/")?.strip_suffix("/updates")?;
        let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let id = id.parse().ok().filter(|_| is_number)?;
        let values = |name: HeaderName| -> Option<Vec<&str>> {
            parts.headers.get_all(name).iter().map(|value| value.to_str().ok()).collect()
        };
        // A form may have Rocket take it for another method.
        let types = values(CONTENT_TYPE)?;
        if !types.iter().all(|kind| *kind == "application/octet-stream") {
            return None;
        }
        let site = HeaderName::from_static("sec-fetch-site");
        let signs = (values(site)?, values(ORIGIN)?);
        let host = values(HOST)?.first().copied();
        let cookie = parts.headers.contains_key(COOKIE);
        if !Signs::new(&self.config, signs, host, cookie).are_ours() || is_media(parts)? {
            return None;
        }
        let form = FormBody::parse(parts.uri.query().unwrap_or_default().as_bytes()).ok()?;
        if !form.has_only(&["client", "op", "cursor", "topics"]) {
            return None;
        }
        let caller = self.caller(&parts.headers, peer)?;
        caller.browser.as_ref()?;
        let (live, headers) = (self.live.clone(), self.common());
        Some(Answer::WithBody(Box::new(move |body| {
            Box::pin(async move {
                let submission = Submission {
                    id: Some(id),
                    client: form.get("client"),
                    op: form.get("op"),
                    cursor: form.get("cursor"),
                    topics: form.get("topics"),
                };
                // What is refused is asked again by the other way, which says why.
                let saved = documents::accept_update(&submission, &caller, body.into(), &live);
                Some(whole(saved.await.ok()?, headers))
            })
        })))
    }

    fn events(&self, parts: &Parts, peer: SocketAddr) -> Option<Answer> {
        if parts.uri.path() != PATH {
            return None;
        }
        let header = |name: &str| match parts.headers.get(name).map(HeaderValue::to_str) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(_)) => None,
        };
        if is_media(parts)? {
            return None;
        }
        let form = FormBody::parse(parts.uri.query().unwrap_or_default().as_bytes()).ok()?;
        let query = read_query(&form)?;
        let last = LastEventId::new(header("last-event-id")?);
        let tag = IfNoneMatch::new(header("if-none-match")?);
        let caller = self.caller(&parts.headers, peer)?;
        let asked = events::check(&query, &last, &caller, &self.live).ok()?;
        match query.mode.unwrap_or("stream") {
            "stream" => Some(self.convert(events::open_stream(asked, caller, &self.live))),
            "poll" => Some(self.convert(events::poll(asked, &tag, &caller, &self.live))),
            "hold" => {
                let (live, extra) = (self.live.clone(), self.common());
                Some(Answer::Later(Box::pin(async move {
                    match events::hold(asked, &caller, &live).await.ok()? {
                        events::Answer::Json(json) => Some(whole(json, extra)),
                        _ => None,
                    }
                })))
            }
            _ => None,
        }
    }

    fn caller(&self, headers: &HeaderMap, peer: SocketAddr) -> Option<Caller> {
        let mut guest = None;
        for line in headers.get_all(COOKIE) {
            for cookie in line.to_str().ok()?.split(';') {
                // As Rocket reads them; the last of a name counts.
                if let Ok(cookie) = Cookie::parse_encoded(cookie.trim())
                    && cookie.name() == GUEST_COOKIE
                {
                    guest = Some(cookie.value().to_owned());
                }
            }
        }
        let guest = Guest::known_or_new(guest.as_deref(), &self.key, &self.random);
        let mut forwarded = Vec::new();
        for line in headers.get_all("x-forwarded-for") {
            forwarded.push(line.to_str().ok()?);
        }
        let real = match headers.get("x-real-ip") {
            Some(value) => Some(value.to_str().ok()?),
            None => None,
        };
        let trusted = &self.config.trusted_proxy;
        let address = origin::client_addr(peer.ip(), trusted, &forwarded, real);
        Some(Caller::new(guest, address))
    }

    /// Headers of any answer from here.
    fn common(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        let all = headers::outside_rocket(self.config.is_https()).chain(LIVE_HEADERS);
        for (name, value) in all {
            if let Ok(name) = HeaderName::try_from(name) {
                map.insert(name, HeaderValue::from_static(value));
            }
        }
        if let Ok(id) = HeaderValue::try_from(RequestId::fresh(&self.random).to_string()) {
            map.insert("x-request-id", id);
        }
        map
    }

    fn convert(&self, answer: events::Answer) -> Answer {
        let mut headers = self.common();
        match answer {
            events::Answer::Stream(answer) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM_TYPE));
                Answer::Stream(headers, Box::new(answer.stream))
            }
            events::Answer::Json(json) => Answer::Whole(whole(json, headers)),
            events::Answer::NothingNew(NothingNew { etag }) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                *response.headers_mut() = headers;
                set_etag(response.headers_mut(), &etag);
                Answer::Whole(response)
            }
        }
    }
}

/// Whether a browser wants it for an image or the like; `None` when what it says cannot be read.
fn is_media(parts: &Parts) -> Option<bool> {
    let mut media = false;
    for dest in parts.headers.get_all("sec-fetch-dest") {
        media |= headers::is_media(dest.to_str().ok()?);
    }
    Some(media)
}

fn whole(json: LiveJson, mut headers: HeaderMap) -> Response<Bytes> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(etag) = &json.etag {
        set_etag(&mut headers, etag);
    }
    let mut response = Response::new(Bytes::from(json.body));
    *response.headers_mut() = headers;
    response
}

fn set_etag(headers: &mut HeaderMap, etag: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(ETAG, value);
    }
}

/// The query, unless there is something in it that only Rocket's forms can tell.
fn read_query(form: &FormBody) -> Option<Query<'_>> {
    const NAMES: [&str; 8] =
        ["mode", "cursor", "topics", "client", "nonce", "wait", "pad", "shadow"];
    form.has_only(&NAMES).then(|| Query {
        mode: form.get("mode"),
        cursor: form.get("cursor"),
        topics: form.get("topics"),
        client: form.get("client"),
        nonce: form.get("nonce"),
        wait: form.get("wait"),
        pad: form.get("pad"),
        shadow: form.get("shadow"),
    })
}
