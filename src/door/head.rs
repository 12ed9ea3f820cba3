//! What a request must be like, and which headers end at each hop.
//!
//! The door is the only one that reads a client's bytes: it parses a head once and writes it anew
//! for the inner server, so the two cannot disagree about where a request ends. What is left to
//! refuse is what somebody in front of the door may have read differently.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::{Method, Version};

use super::secret::PEER_HEADER;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Headers about a connection, which end with it (RFC 9110, section 7.6.1). `Expect` has been
/// answered by the door.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Why a request is not passed on, for whoever sent it.
pub(super) fn problem(parts: &Parts) -> Option<&'static str> {
    if parts.method == Method::CONNECT {
        return Some("This is not a proxy.");
    }
    let headers = &parts.headers;
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Some("There must be one Host header.");
    }
    if host.is_none() && parts.version >= Version::HTTP_11 {
        return Some("There must be a Host header.");
    }
    if let (Some(authority), Some(host)) = (parts.uri.authority(), host)
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return Some("The Host header must be that of the address.");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Some("The only transfer coding that is taken is chunked, named once.");
    }
    let expects = headers.get(EXPECT);
    if expects.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Some("The only expectation that can be met is 100-continue.");
    }
    None
}

/// Writes a head of HTTP/2 as one of HTTP/1.1 (RFC 9113, section 8). Says what is wrong with it.
pub(super) fn from_http2(parts: &mut Parts) -> Option<&'static str> {
    let headers = &mut parts.headers;
    // The parser refuses the first of these already.
    if HOP_BY_HOP.iter().any(|name| *name != TE && headers.contains_key(name)) {
        return Some("Headers about a connection are not for HTTP/2.");
    }
    if headers.get_all(TE).iter().any(|te| !te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Some("The only value of TE that is taken is trailers.");
    }
    if let Some(authority) = parts.uri.authority() {
        let named = authority.as_str();
        if named.contains('@') {
            return Some("There must be no user in the address.");
        }
        match HeaderValue::from_str(named) {
            // Should there be another one, it is looked at with the rest of the head.
            Ok(host) if !headers.contains_key(HOST) => drop(headers.insert(HOST, host)),
            Ok(_) => {}
            Err(_) => return Some("The Host header must be that of the address."),
        }
    }
    // Cookies may come one by one (section 8.2.3).
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) else {
            return Some("The cookies cannot be read.");
        };
        headers.insert(COOKIE, cookie);
    }
    None
}

/// True when nothing follows, and nothing else makes a request more than a plain question.
pub(super) fn is_plain(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0");
    parts.method == Method::GET
        && (parts.uri.authority().is_none() || parts.version == Version::HTTP_2)
        && empty
        && ![TRANSFER_ENCODING, UPGRADE, EXPECT].iter().any(|name| headers.contains_key(name))
}

/// Largest body that a hook may ask for, in bytes.
const SMALL_BODY: usize = 4 * 1024;

/// True for a plain question that comes with a small body of a length that is told.
pub(super) fn is_small(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next().and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    parts.method == Method::POST
        && parts.uri.authority().is_none()
        && length.is_some_and(|length| length <= SMALL_BODY)
        && lengths.next().is_none()
        && ![TRANSFER_ENCODING, UPGRADE, EXPECT].iter().any(|name| headers.contains_key(name))
}

/// Makes a request's head the inner server's.
pub(super) fn for_upstream(parts: &mut Parts) {
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.remove(EXPECT);
    parts.headers.remove(PEER_HEADER);
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
}

/// Removes what is about one connection only.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // What says where a message ends, whom it is for and who asks is never about a
            // connection. A proxy may pass on what its client wrote here.
            .filter(|name| ![CONTENT_LENGTH, HOST, FORWARDED_FOR, REAL_IP].contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
