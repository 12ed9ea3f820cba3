//! `GET /_live/events` and small updates at the front door, without Rocket between.
//!
//! They are the same answers that Rocket's routes give, made by the same functions; only how the
//! request is read and how the bytes reach the socket differ. Whatever is unusual about a request
//! is left to those routes, so errors have one place. To relay a keystroke costs as much as all
//! the rest of its way but the disk.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use rocket::http::Cookie;

use super::caller::Caller;
use super::documents::{self, Submission};
use super::events::{self, IfNoneMatch, LastEventId, Query};
use super::{LIVE_HEADERS, LiveJson, NothingNew, STREAM_TYPE};
use crate::config::Config;
use crate::door::{Answer, Chunks, Frames, Hook, Run};
use crate::error::{Error, Kind};
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
        let request_id = RequestId::fresh(&self.random);
        let (live, headers) = (self.live.clone(), self.common(&request_id));
        Some(Answer::WithBody(Box::new(move |body| {
            let saving = async move {
                let submission = Submission {
                    id: Some(id),
                    client: form.get("client"),
                    op: form.get("op"),
                    cursor: form.get("cursor"),
                    topics: form.get("topics"),
                };
                documents::accept_update(&submission, &caller, body.into(), &live).await
            };
            Box::pin(async move {
                // A task of its own, as Rocket does it: what a client has begun is not left in the
                // middle when it goes, a page that is being opened for it above all.
                let saved = match tokio::spawn(saving).await {
                    Ok(saved) => saved,
                    Err(panic) => Err(Error::new(Kind::Internal).because(panic)),
                };
                Some(match saved {
                    Ok(json) => whole(json, headers),
                    Err(error) => refused(&error, &request_id, headers),
                })
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
                let (live, extra) = (self.live.clone(), self.fresh());
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

    /// Headers of an answer that has no line in the log.
    fn fresh(&self) -> HeaderMap {
        self.common(&RequestId::fresh(&self.random))
    }

    /// Headers of any answer from here.
    fn common(&self, id: &RequestId) -> HeaderMap {
        let mut map = HeaderMap::new();
        let all = headers::outside_rocket(self.config.is_https()).chain(LIVE_HEADERS);
        for (name, value) in all {
            if let Ok(name) = HeaderName::try_from(name) {
                map.insert(name, HeaderValue::from_static(value));
            }
        }
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            map.insert("x-request-id", id);
        }
        map
    }

    fn convert(&self, answer: events::Answer) -> Answer {
        let mut headers = self.fresh();
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

/// An error as Rocket's route would answer it.
fn refused(error: &Error, id: &RequestId, headers: HeaderMap) -> Response<Bytes> {
    error.note(id);
    let mut response = whole(LiveJson::new(error.to_json().to_string()), headers);
    let headers = response.headers_mut();
    // Which the route's own answers have, and errors have not.
    for (name, _) in LIVE_HEADERS {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(seconds) = error.try_again_secs() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    *response.status_mut() =
        StatusCode::from_u16(error.status().code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
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

#[cfg(test)]
mod tests {
    use yrs::{Doc, Options, Text as _, Transact as _};

    use super::*;
    use crate::config::Settings;
    use crate::live::{Author, LiveSettings};
    use crate::store::{self, Store};

    #[tokio::test]
    async fn a_keystroke_is_answered_here_and_what_may_be_forged_or_is_unusual_is_left_to_rocket() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().to_owned();
        let options = store::Options { free_floor_bytes: 0, ..store::Options::default() };
        let opened = tokio::task::spawn_blocking(move || Store::open(&at, options));
        let store = opened.await.expect("joins").expect("opens");
        let live = Live::open(store, &LiveSettings::default()).expect("opens");
        let random = Random::from_system().expect("random");
        let key = SigningKey::new([7; 32]);
        let guest = Guest::random(&random);
        let cookie = format!("{GUEST_COOKIE}={}", guest.to_cookie_value(&key, 20_000));
        let who = Author { id: guest.id.clone(), name: guest.name.clone(), colour: guest.colour };
        let (page, _) = live.create(&"Home".parse().expect("a path"), &who).await.expect("made");
        let client = live.issue_client(page.id, &who).await.expect("issued");
        let update = {
            let id = yrs::ClientID::new(u64::from(client));
            let doc = Doc::with_options(Options::with_client_id(id));
            let text = doc.get_or_insert_text("body");
            let mut transaction = doc.transact_mut();
            text.insert(&mut transaction, 0, "a");
            transaction.encode_update_v1()
        };
        let config = Config::from_settings(Settings::default()).expect("good");
        let hook = hook(config, live, key, random);
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let path = format!("/_live/pages/{}/updates?client=tabtabtab&op=o1", page.id);
        let ask = |path: &str, headers: &[(&'static str, &str)]| {
            let mut request = hyper::Request::post(path).header("host", "wiki.test");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            hook(&parts, peer)
        };
        let usual = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
        let answer = async |path: &str, body: Vec<u8>| match ask(path, &usual) {
            Some(Answer::WithBody(then)) => then(body.into()).await.expect("an answer"),
            _ => panic!("left to Rocket: {path}"),
        };
        for _ in 0..2 {
            let saved = answer(&path, update.clone()).await;
            assert_eq!(saved.status(), StatusCode::OK);
            assert_eq!(saved.body().as_ref(), br#"{"rev":1,"saved":true}"#);
        }
        let broken = answer(&path.replace("o1", "o2"), vec![1, 2, 3]).await;
        assert!(broken.status().is_client_error(), "{broken:?}");
        assert!(broken.body().starts_with(br#"{"error":{"code":"#), "{broken:?}");
        let nobody = answer(&path.replace(&page.id.to_string(), "999"), update.clone()).await;
        assert_eq!(nobody.status(), StatusCode::NOT_FOUND);

        let [cookie, ours] = usual;
        for headers in [
            &[cookie][..],
            &[cookie, ("sec-fetch-site", "cross-site")],
            &[cookie, ours, ("sec-fetch-site", "cross-site")],
            &[cookie, ("origin", "http://evil.test")],
            &[ours],
            &[("cookie", "guest=forged"), ours],
            &[cookie, ours, ("sec-fetch-dest", "image")],
            &[cookie, ours, ("content-type", "application/x-www-form-urlencoded")],
        ] {
            assert!(ask(&path, headers).is_none(), "{headers:?}");
        }
        for odd in ["/_live/pages/+1/updates", "/_live/pages//updates", "/_live/pages/1/updates/"] {
            assert!(ask(&format!("{odd}?client=tabtabtab&op=o3"), &usual).is_none(), "{odd}");
        }
        assert!(ask(&format!("{path}&op=o4"), &usual).is_none(), "twice");
        assert!(ask(&format!("{path}&x=1"), &usual).is_none(), "unknown");
    }
}
