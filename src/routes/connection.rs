//! `/connection`: what the network between a browser and this wiki does, and what to tell a proxy.

use rocket::fairing::AdHoc;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::{State, get, routes};

use crate::config::Config;
use crate::error::Error;
use crate::identity::Guest;
use crate::rights::{Action, require};
use crate::views::{ConnectionView, Html, RecipeView, Site};

/// The name in the recipes, which stands for that of the wiki.
const EXAMPLE_NAME: &str = "wiki.example.org";

/// Where Halley listens in the recipes.
const EXAMPLE_UPSTREAM: &str = "127.0.0.1:8000";

/// A name longer than this is none (RFC 1035, 2.3.4).
const MAX_NAME_CHARS: usize = 253;

/// The recipes: id, name, file and text. The files are also the ones that the tests run and the
/// README quotes.
const RECIPES: [(&str, &str, &str, &str); 4] = [
    ("nginx", "nginx", "nginx.conf", include_str!("../../docs/proxies/nginx.conf")),
    ("caddy", "Caddy", "Caddyfile", include_str!("../../docs/proxies/Caddyfile")),
    ("apache", "Apache", "apache.conf", include_str!("../../docs/proxies/apache.conf")),
    ("haproxy", "HAProxy", "haproxy.cfg", include_str!("../../docs/proxies/haproxy.cfg")),
];

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Connection", |rocket| async { rocket.mount("/", routes![show_connection]) })
}

/// The authority by which the browser reached this wiki, as far as that is known.
pub(super) struct Authority(Option<String>);

impl Authority {
    /// Where this wiki's addresses begin: as configured, else as it was asked.
    pub fn origin(&self, config: &Config) -> String {
        if let Some(origin) = &config.public_origin {
            return origin.clone();
        }
        let scheme = if config.is_https() { "https" } else { "http" };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let host = self.0.as_deref().filter(|host| host.bytes().all(plain));
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Authority {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self(request.headers().get_one("Host").map(str::to_owned)))
    }
}

#[get("/connection")]
fn show_connection(
    site: Site,
    guest: Guest,
    authority: Authority,
    config: &State<Config>,
) -> Result<Html, Error> {
    require(&guest, Action::List, None)?;
    let host = authority.0.as_deref();
    let name = wiki_name(config.public_origin.as_deref(), host);
    let upstream = upstream(config.port, host);
    let recipes = RECIPES.iter().map(|(id, name_of, file, text)| RecipeView {
        id,
        name: name_of,
        file,
        text: fill_in(text, name.as_deref(), &upstream),
    });
    let view = ConnectionView { recipes: recipes.collect(), is_example: name.is_none() };
    Ok(Html::new(&site, &view))
}

/// A recipe with this wiki's own name and port.
fn fill_in(recipe: &str, name: Option<&str>, upstream: &str) -> String {
    let text = recipe.replace(EXAMPLE_UPSTREAM, upstream);
    name.map_or_else(|| text.clone(), |name| text.replace(EXAMPLE_NAME, name))
}

/// The name of this wiki: the configured one, else the one it was asked by. An address is no
/// name, and nobody gets a certificate for `localhost`.
fn wiki_name(public_origin: Option<&str>, host: Option<&str>) -> Option<String> {
    let authority =
        public_origin.and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest).or(host)?;
    let name = authority.split_once(':').map_or(authority, |(name, _)| name).to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.bytes().all(plain)
        // The last label of a name is no number (RFC 3696, 2).
        && name.trim_end_matches('.').rsplit('.').next().is_some_and(|top| {
            top.bytes().any(|b| b.is_ascii_alphabetic())
        })
        && name != "localhost";
    is_name.then_some(name)
}

/// Where a proxy on this machine finds Halley. A port that was free by chance is not known to the
/// settings, but to whoever asks without a proxy.
fn upstream(port: Option<u16>, host: Option<&str>) -> String {
    let asked = || host?.rsplit_once(':')?.1.parse::<u16>().ok();
    let port = port.filter(|port| *port != 0).or_else(asked).unwrap_or(8000);
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_names_this_wiki_where_it_has_a_name() {
        for (public, host, expected) in [
            (Some("https://notes.example.net"), Some("x:1"), Some("notes.example.net")),
            (Some("https://notes.example.net:8443"), None, Some("notes.example.net")),
            (None, Some("Wiki.Test:8000"), Some("wiki.test")),
            (None, Some("intranet"), Some("intranet")),
            (None, Some("127.0.0.1:8000"), None),
            (None, Some("[::1]:8000"), None),
            (None, Some("localhost:8000"), None),
            (None, Some("a;\n}"), None),
            (None, Some("<b>.org"), None),
            (None, Some(""), None),
            (None, None, None),
        ] {
            assert_eq!(wiki_name(public, host).as_deref(), expected, "{public:?} {host:?}");
        }
        assert_eq!(upstream(Some(81), Some("x:9")), "127.0.0.1:81");
        assert_eq!(upstream(Some(0), Some("127.0.0.1:9000")), "127.0.0.1:9000");
        assert_eq!(upstream(None, Some("wiki.test")), "127.0.0.1:8000");
    }

    #[test]
    fn each_recipe_has_what_is_filled_in() {
        for (id, _, _, text) in RECIPES {
            assert!(text.contains(EXAMPLE_NAME) && text.contains(EXAMPLE_UPSTREAM), "{id}");
            let filled = fill_in(text, Some("w.test"), "127.0.0.1:81");
            assert!(filled.contains("w.test") && filled.contains("127.0.0.1:81"), "{id}");
            assert!(!filled.contains(EXAMPLE_NAME) && !filled.contains(EXAMPLE_UPSTREAM), "{id}");
            assert!(text.lines().all(|line| line.len() <= 100), "{id} fits a page");
        }
    }
}
