//! Where a request comes from: the guard of everything that writes, and the client's address.

use std::net::{IpAddr, Ipv4Addr};

use rocket::request::{FromRequest, Outcome, Request};

use crate::config::Config;
use crate::error::{Kind, fail};

/// Proof that a write is not forged by another site. Every handler of a method other than GET
/// takes one; a test goes through all routes.
///
/// `Sec-Fetch-Site`, when a browser sends it, must be `same-origin` (or `none`: typed by the
/// user). Otherwise `Origin` must be this wiki's. With neither, only a request without any cookie
/// passes: a program may write where anybody may, but nobody can be made to by his browser.
#[derive(Debug)]
pub struct WriteGuard(());

#[rocket::async_trait]
impl<'r> FromRequest<'r> for WriteGuard {
    type Error = Kind;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Kind> {
        if Signs::of(request).are_ours() {
            Outcome::Success(Self(()))
        } else {
            fail(request, Kind::ForeignOrigin)
        }
    }
}

/// What a request says about where it comes from. A list has every value of a repeated header,
/// and all of them must be good.
pub(crate) struct Signs<'a> {
    sites: Vec<&'a str>,
    origins: Vec<&'a str>,
    host: Option<&'a str>,
    cookie: bool,
    public: Option<&'a str>,
    /// This program does TLS itself, so that no page of ours has come another way.
    tls: bool,
}

/// True when a page of another site had the browser send this. A link that was followed here is
/// not meant: browsers name an origin only with what a page sends.
pub(crate) fn is_foreign(request: &Request<'_>) -> bool {
    let signs = Signs::of(request);
    !signs.origins.is_empty() && !signs.are_ours()
}

impl<'a> Signs<'a> {
    fn of(request: &'a Request<'_>) -> Self {
        let config = request.rocket().state::<Config>();
        let headers = request.headers();
        Self {
            sites: headers.get("Sec-Fetch-Site").collect(),
            origins: headers.get("Origin").collect(),
            host: headers.get_one("Host"),
            cookie: headers.contains("Cookie"),
            public: config.and_then(|config| config.public_origin.as_deref()),
            tls: config.is_some_and(|config| config.tls_files().is_some()),
        }
    }

    /// Of a request that Rocket does not see.
    pub(crate) fn new(
        config: &'a Config,
        (sites, origins): (Vec<&'a str>, Vec<&'a str>),
        host: Option<&'a str>,
        cookie: bool,
    ) -> Self {
        let (public, tls) = (config.public_origin.as_deref(), config.tls_files().is_some());
        Self { sites, origins, host, cookie, public, tls }
    }

    /// Whether nobody else had it sent, see [`WriteGuard`].
    pub(crate) fn are_ours(&self) -> bool {
        if !self.sites.is_empty() {
            // A foreign name that was made to resolve to us is "same-origin" to itself, so where
            // the right origin is known, one that is sent must be it.
            return self.sites.iter().all(|site| matches!(*site, "same-origin" | "none"))
                && (self.public.is_none()
                    || self.origins.iter().all(|origin| self.is_our_origin(origin)));
        }
        if !self.origins.is_empty() {
            return self.origins.iter().all(|origin| self.is_our_origin(origin));
        }
        !self.cookie
    }

    fn is_our_origin(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        if self.public.is_some_and(|public| public.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Some(host) = self.host else { return false };
        // A name that is not the configured one may be an attacker's that resolves to us; a bare
        // address cannot be.
        if self.public.is_some() && !is_plain_address(host) {
            return false;
        }
        (scheme == "https" || scheme == "http" && !self.tls)
            && without_default_port(scheme, authority)
                .eq_ignore_ascii_case(without_default_port(scheme, host))
    }
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// True for `localhost` and literal addresses, with or without a port.
fn is_plain_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// The client's address, for limits and logs. A proxy's word counts only when the proxy is
/// configured (`trusted_proxy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

impl ClientAddr {
    /// The address a request comes from; unknown (a test's) counts as 127.0.0.1.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Self {
        let peer = request.remote().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let trusted = request.rocket().state::<Config>().map_or(&[][..], |c| &c.trusted_proxy);
        let headers = request.headers();
        let forwarded: Vec<_> = headers.get("X-Forwarded-For").collect();
        Self(client_addr(peer, trusted, &forwarded, headers.get_one("X-Real-IP")))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for ClientAddr {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::of(request))
    }
}

/// Whom a request comes from, by its peer and what the peer says.
pub(crate) fn client_addr(
    peer: IpAddr,
    trusted: &[IpAddr],
    forwarded: &[&str],
    real: Option<&str>,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    // Each proxy appends whom it heard from, so the last entry that is not a proxy of ours is the
    // client; what stands before it, the client may have written itself.
    for entry in forwarded.iter().rev().flat_map(|line| line.rsplit(',')) {
        match entry.trim().parse::<IpAddr>() {
            Ok(address) if trusted.contains(&address.to_canonical()) => {}
            Ok(address) => return address.to_canonical(),
            Err(_) => return peer,
        }
    }
    real.and_then(|text| text.trim().parse::<IpAddr>().ok()).map_or(peer, |a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case<'a> {
        site: Option<&'a str>,
        origin: Option<&'a str>,
        cookie: bool,
        public: Option<&'a str>,
        expected: bool,
    }

    fn check(case: &Case<'_>) {
        let signs = Signs {
            sites: case.site.into_iter().collect(),
            origins: case.origin.into_iter().collect(),
            host: Some("wiki.test:8000"),
            cookie: case.cookie,
            public: case.public,
            tls: false,
        };
        let Case { site, origin, cookie, public, expected } = case;
        assert_eq!(signs.are_ours(), *expected, "{site:?} {origin:?} {cookie} {public:?}");
    }

    #[test]
    fn a_write_is_taken_from_our_own_pages_and_from_programs_without_a_cookie() {
        let here = "http://wiki.test:8000";
        for cookie in [false, true] {
            for origin in [None, Some(here), Some("https://evil.test"), Some("null")] {
                for (site, expected) in [
                    ("same-origin", true),
                    ("none", true),
                    ("same-site", false),
                    ("cross-site", false),
                    ("", false),
                ] {
                    check(&Case { site: Some(site), origin, cookie, public: None, expected });
                }
            }
            for (origin, expected) in [
                (here, true),
                ("https://wiki.test:8000", true),
                ("http://WIKI.test:8000", true),
                ("http://wiki.test", false),
                ("http://wiki.test:8001", false),
                ("http://wiki.test:8000.evil.test", false),
                ("http://evil.test", false),
                ("null", false),
                ("", false),
                ("ftp://wiki.test:8000", false),
            ] {
                check(&Case { site: None, origin: Some(origin), cookie, public: None, expected });
            }
            check(&Case { site: None, origin: None, cookie, public: None, expected: !cookie });
        }
    }

    #[test]
    fn a_configured_origin_is_the_only_name() {
        let public = Some("https://wiki.example.org");
        let case = |origin, expected| {
            check(&Case { site: None, origin: Some(origin), cookie: true, public, expected });
        };
        case("https://wiki.example.org", true);
        case("http://wiki.example.org", false);
        case("http://wiki.test:8000", false);
        // The name of an attacker that resolves to us is the same origin as itself.
        let site = Some("same-origin");
        check(&Case {
            site,
            origin: Some("http://wiki.test:8000"),
            cookie: true,
            public,
            expected: false,
        });
        check(&Case { site, origin: public, cookie: true, public, expected: true });
        let by_address = Signs {
            sites: vec![],
            origins: vec!["http://127.0.0.1:8000"],
            host: Some("127.0.0.1:8000"),
            cookie: true,
            public,
            tls: false,
        };
        assert!(by_address.are_ours());
    }

    #[test]
    fn a_repeated_header_must_be_good_every_time() {
        let signs = Signs {
            sites: vec!["same-origin", "cross-site"],
            origins: vec![],
            host: None,
            cookie: false,
            public: None,
            tls: false,
        };
        assert!(!signs.are_ours());
    }

    #[test]
    fn with_tls_of_our_own_no_page_of_ours_is_plain_http() {
        for (origin, expected) in [
            ("https://wiki.test:8000", true),
            ("https://WIKI.test:8000", true),
            ("http://wiki.test:8000", false),
            ("https://wiki.test", false),
        ] {
            let signs = Signs {
                sites: vec![],
                origins: vec![origin],
                host: Some("wiki.test:8000"),
                cookie: true,
                public: None,
                tls: true,
            };
            assert_eq!(signs.are_ours(), expected, "{origin}");
        }
    }

    #[test]
    fn a_proxys_word_counts_only_when_it_is_trusted() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (proxy, client, liar) = (ip("127.0.0.1"), ip("203.0.113.9"), ip("198.51.100.7"));
        let lines = ["198.51.100.7, 203.0.113.9"];
        assert_eq!(client_addr(client, &[proxy], &lines, Some("198.51.100.7")), client);
        assert_eq!(client_addr(proxy, &[], &lines, None), proxy);
        assert_eq!(client_addr(proxy, &[proxy], &lines, None), client);
        assert_eq!(client_addr(proxy, &[proxy, client], &lines, None), liar);
        assert_eq!(client_addr(proxy, &[proxy], &[], Some(" 203.0.113.9 ")), client);
        assert_eq!(client_addr(proxy, &[proxy], &["garbage"], None), proxy);
        assert_eq!(client_addr(ip("::ffff:127.0.0.1"), &[proxy], &lines, None), client);
    }
}
