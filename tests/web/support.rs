//! A whole wiki in a temporary directory, asked without a network.
#![allow(dead_code, reason = "each test file uses a part")]

use halley::config::{Config, Settings};
use halley::live::Live;
use halley::store::Store;
use rocket::http::{ContentType, Cookie, Header, Method, Status};
use rocket::local::asynchronous::{Client, LocalRequest, LocalResponse};
use tempfile::TempDir;

/// Where the tests pretend to be.
pub const HOST: &str = "wiki.test:8000";
/// The origin of its own pages.
pub const ORIGIN: &str = "http://wiki.test:8000";

pub struct Wiki {
    pub client: Client,
    pub live: Live,
    _dir: TempDir,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Wiki {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut settings = Settings {
            data: dir.path().to_owned(),
            // As a release build does it.
            reload: false,
            free_floor_bytes: 0.into(),
            segment_bytes: (1 << 20).into(),
            ..Settings::default()
        };
        change(&mut settings);
        let config = Config::from_settings(settings).expect("settings");
        let (data, options) = (config.data.clone(), config.store());
        let store = rocket::tokio::task::spawn_blocking(move || Store::open(&data, options))
            .await
            .expect("joins")
            .expect("store");
        let live = Live::open(store, &config.live()).expect("live");
        let rocket = halley::rocket(config, live.clone());
        let client = Client::untracked(rocket).await.expect("launches");
        Self { client, live, _dir: dir }
    }

    pub fn ask(&self, method: Method, path: &str) -> LocalRequest<'_> {
        self.client.req(method, path.to_owned()).header(Header::new("Host", HOST))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.ask(Method::Get, path)).await
    }

    /// A form as a browser without JavaScript sends it.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.ask(Method::Post, path).header(Header::new("Origin", ORIGIN));
        send(request.header(ContentType::Form).body(encode(fields))).await
    }

    pub async fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = self.ask(Method::Put, &format!("/api/v1/pages/{path}"));
        for (name, value) in headers {
            request.add_header(Header::new((*name).to_owned(), (*value).to_owned()));
        }
        send(request.body(body)).await
    }

    /// A page with a text, at revision 1.
    pub async fn page(&self, path: &str, text: &str) {
        let answer = self.put(path, &[], text.as_bytes()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// Adds a cookie as a browser sends it. Only a request from the network has its `Cookie` header
/// read by Rocket; here both must be said.
pub fn with_cookie<'c>(request: LocalRequest<'c>, cookie: &str) -> LocalRequest<'c> {
    let parsed = Cookie::parse(cookie.to_owned()).expect("a cookie");
    request.header(Header::new("Cookie", cookie.to_owned())).cookie(parsed)
}

/// Sends a request and reads its whole answer.
pub async fn send(request: LocalRequest<'_>) -> Answer {
    let response: LocalResponse<'_> = request.dispatch().await;
    let status: Status = response.status();
    let headers =
        response.headers().iter().map(|h| (h.name.to_string(), h.value.to_string())).collect();
    let bytes = response.into_bytes().await.unwrap_or_default();
    Answer { status: status.code, headers, bytes }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// `halley_guest=...` as a browser sends it back.
    pub fn cookie(&self) -> Option<String> {
        let cookie = self.header("Set-Cookie")?;
        cookie.split(';').next().map(ToOwned::to_owned)
    }
}

/// A form's body, every byte but letters and digits encoded.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let part = |text: &str| -> String {
        text.bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
                b' ' => "+".to_owned(),
                _ => format!("%{b:02X}"),
            })
            .collect()
    };
    fields.iter().map(|(k, v)| format!("{}={}", part(k), part(v))).collect::<Vec<_>>().join("&")
}
