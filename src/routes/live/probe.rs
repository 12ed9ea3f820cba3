//! `/_live/probe`: what a browser measures its connection by.

use std::net::IpAddr;

use rocket::request::{FromRequest, Outcome, Request};
use rocket::{State, get, post};

use super::LiveJson;
use super::body::Bytes;
use super::caller::{Caller, op_id};
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::live::Live;
use crate::live::rate::Rate;
use crate::origin::WriteGuard;
use crate::rights::{self, Action};
use crate::time;

/// Largest body that is taken to see whether sending works.
const MAX_SENT_BYTES: u64 = 64 * 1024;

/// Something that whoever compresses finds worth it, in bytes.
const FILL_BYTES: usize = 2048;

/// Longest word of a proxy about itself that is repeated.
const MAX_VIA_CHARS: usize = 200;

/// Headers by which proxies say that they are there.
const PROXY_HEADERS: [&str; 5] =
    ["Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"];

/// What proxies on the way have said of themselves.
pub struct Proxies {
    names: Vec<&'static str>,
    via: Option<String>,
    peer: Option<IpAddr>,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Proxies {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let headers = request.headers();
        let names = PROXY_HEADERS.into_iter().filter(|name| headers.contains(name)).collect();
        let via = headers.get("Via").collect::<Vec<_>>().join(", ");
        let via = (!via.is_empty()).then(|| via.chars().take(MAX_VIA_CHARS).collect());
        Outcome::Success(Self { names, via, peer: request.remote().map(|peer| peer.ip()) })
    }
}

/// The server's time, and what it sees of the way here.
#[get("/probe?<nonce>")]
pub fn read_probe(
    nonce: Option<&str>,
    caller: Caller,
    proxies: Proxies,
    config: &State<Config>,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    require(&caller)?;
    caller.spend(live, Rate::Beats, 1)?;
    let nonce = nonce.map(op_id).transpose()?.unwrap_or_default();
    let peer = proxies.peer.map(|peer| peer.to_canonical());
    let answer = serde_json::json!({
        "nonce": nonce,
        "now_ms": time::now_ms(),
        "address": caller.address,
        // Whether what a proxy says about the client is believed.
        "trusted": peer.is_some_and(|peer| config.trusted_proxy.contains(&peer)),
        "proxies": proxies.names,
        "via": proxies.via,
        "fill": "halley ".repeat(FILL_BYTES / 7),
    });
    Ok(LiveJson::new(answer.to_string()))
}

/// Takes a body, and says what has arrived: nothing is kept.
#[post("/probe?<nonce>", data = "<body>")]
pub fn post_probe(
    _write: WriteGuard,
    nonce: Option<&str>,
    caller: Caller,
    body: Bytes<{ MAX_SENT_BYTES }>,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    require(&caller)?;
    caller.spend(live, Rate::Beats, 1)?;
    let nonce = nonce.map(op_id).transpose()?.unwrap_or_default();
    let answer = serde_json::json!({
        "nonce": nonce,
        "length": body.0.len(),
        "hash": format!("{:08x}", fnv1a(&body.0)),
    });
    Ok(LiveJson::new(answer.to_string()))
}

/// Whoever may follow the wiki may measure how well that works.
fn require(caller: &Caller) -> Result<(), Error> {
    if rights::may(&caller.guest, Action::List, None) {
        Ok(())
    } else {
        Err(Kind::Forbidden.into())
    }
}

/// FNV-1a, 32 bit (<http://www.isthe.com/chongo/tech/comp/fnv/>): browsers have no hash of their
/// own without TLS.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_reference() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }
}
