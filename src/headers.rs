//! Headers that every answer carries.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::ContentType;
use rocket::{Data, Request, Response};

use crate::config::Config;
use crate::logging::RequestId;
use crate::random::Random;

/// What a page may load and do. Scripts come from this wiki only, none from the page itself;
/// HTML enters scripts only through the policy `halley` (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; \
    manifest-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types halley 'allow-duplicates'";

/// What the source of a page may do, should a browser ever take it for something else: nothing.
const RAW_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

const FIXED: [(&str, &str); 6] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()"),
];

/// Headers that are the same on every answer.
fn fixed(https: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let tls = https.then_some(("Strict-Transport-Security", "max-age=31536000"));
    FIXED.into_iter().chain(tls)
}

/// The headers of an answer that does not go through Rocket and is no page.
pub(crate) fn outside_rocket(https: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    fixed(https).chain([("Content-Security-Policy", POLICY)])
}

/// Length of a body, in bytes, after which a connection is not used again.
const LARGE_BODY: u64 = 128 * 1024;

/// The style nonce of an answer; made when the edit page asks for it, for the editor puts its
/// styles into the page by script.
pub struct StyleNonce(String);

#[derive(Default)]
struct Wanted(std::sync::OnceLock<StyleNonce>);

impl StyleNonce {
    /// The nonce of this answer. After this call its policy allows it.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r str {
        let wanted = request.local_cache(Wanted::default);
        &wanted
            .0
            .get_or_init(|| {
                let random = request.rocket().state::<Random>();
                Self(random.map_or_else(String::new, |random| random.base32(26)))
            })
            .0
    }
}

/// Adds them.
pub struct SecurityHeaders;

#[rocket::async_trait]
impl Fairing for SecurityHeaders {
    fn info(&self) -> Info {
        Info { name: "Security headers", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        if is_live_as_media(request) {
            request.set_uri(rocket::uri!("/_live/not-media"));
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let https = request.rocket().state::<Config>().is_some_and(Config::is_https);
        for (name, value) in fixed(https) {
            response.set_raw_header(name, value);
        }
        response.set_raw_header("Content-Security-Policy", policy(request, response));
        response.set_raw_header("X-Request-Id", RequestId::of(request).to_string());
        // Pages and answers are personal; what may be kept says so itself.
        if !response.headers().contains("Cache-Control") {
            response.set_raw_header("Cache-Control", "no-store");
        }
        response.remove_header("Server");
        // The buffer that a large body has made stays as long as its connection, and the next
        // request on it may be a stream of minutes.
        let length =
            request.headers().get_one("Content-Length").and_then(|l| l.parse::<u64>().ok());
        if length.is_some_and(|length| length > LARGE_BODY) {
            response.set_raw_header("Connection", "close");
        }
    }
}

/// True when a browser wants the live interface as an image or the like. Six of them on a page
/// (`![](/_live/events?mode=hold)`) would take all the connections that the reader's browser has,
/// and nothing of the wiki would load; such a request finds nothing.
fn is_live_as_media(request: &Request<'_>) -> bool {
    request.headers().get("Sec-Fetch-Dest").any(is_media)
        && request.uri().path().segments().next() == Some("_live")
}

/// True when a `Sec-Fetch-Dest` is that of something which a page shows.
pub(crate) fn is_media(dest: &str) -> bool {
    !matches!(dest, "empty" | "document")
}

fn policy(request: &Request<'_>, response: &Response<'_>) -> String {
    let markdown = ContentType::new("text", "markdown");
    if response
        .content_type()
        .is_some_and(|t| t.top() == markdown.top() && t.sub() == markdown.sub())
    {
        return RAW_POLICY.to_owned();
    }
    match request.local_cache(Wanted::default).0.get() {
        Some(StyleNonce(nonce)) if !nonce.is_empty() => {
            POLICY.replacen("style-src 'self'", &format!("style-src 'self' 'nonce-{nonce}'"), 1)
        }
        _ => POLICY.to_owned(),
    }
}
