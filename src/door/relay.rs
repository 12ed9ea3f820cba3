//! Requests for the inner server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::body::{Body, Fate, Upload};
use super::upstream::Failure;
use super::{PEER_HEADER, Shared, head};

/// Has a request answered by the inner server. Dropping this ends the request there.
pub(super) async fn relay(
    shared: &Shared,
    peer: SocketAddr,
    parts: Parts,
    body: Incoming,
) -> Response<Body> {
    let fate = Arc::new(Fate::default());
    let upload = Upload::new(body, shared.limits.body, &fate);
    pass_on(shared, peer, parts, upload, &fate).await
}

/// Reads the whole body, which is small; or says what to answer.
pub(super) async fn read(shared: &Shared, body: Incoming) -> Result<Bytes, Response<Body>> {
    let fate = Arc::new(Fate::default());
    let read = Upload::new(body, shared.limits.body, &fate).read().await;
    read.ok_or_else(|| incomplete(&fate).unwrap_or_else(|| refuse(400, BROKE_OFF, true)))
}

/// The same as [`relay`] with a body that was read.
pub(super) async fn relay_read(
    shared: &Shared,
    peer: SocketAddr,
    parts: Parts,
    body: Bytes,
) -> Response<Body> {
    let fate = Arc::new(Fate::default());
    let upload = Upload::here(body, &fate);
    pass_on(shared, peer, parts, upload, &fate).await
}

pub(super) const TOO_LONG: &str = "The server took too long for this.";

const BROKE_OFF: &str = "The request broke off before its body was whole. Nothing was done.";

/// What to answer when a body has not come whole, if that is why there is no answer.
fn incomplete(fate: &Fate) -> Option<Response<Body>> {
    if fate.broken.load(Ordering::Relaxed) {
        return Some(refuse(400, BROKE_OFF, true));
    }
    let late = fate.late.load(Ordering::Relaxed);
    late.then(|| refuse(408, "The request did not arrive in time. Please try again.", true))
}

async fn pass_on(
    shared: &Shared,
    peer: SocketAddr,
    mut parts: Parts,
    upload: Upload,
    fate: &Fate,
) -> Response<Body> {
    head::for_upstream(&mut parts);
    let Ok(pass) = HeaderValue::try_from(shared.secret.header(peer)) else {
        return refuse(502, "The server cannot say who you are.", false);
    };
    parts.headers.insert(PEER_HEADER, pass);
    let limits = &shared.limits;
    let sent = shared.pool.send(Request::from_parts(parts, upload));
    match timeout(limits.body + limits.answer, sent).await {
        Ok(Ok((response, lease))) => {
            let (mut parts, incoming) = response.into_parts();
            head::remove_hop_by_hop(&mut parts.headers);
            let refused = parts.status.is_client_error() || parts.status.is_server_error();
            if refused && !fate.whole.load(Ordering::Relaxed) {
                // The rest of the request is not waited for.
                parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Response::from_parts(parts, Body::relayed(incoming, lease))
        }
        Ok(Err(failure)) => incomplete(fate).unwrap_or_else(|| match failure {
            Failure::Unreachable(e) => {
                log::error!("the inner server cannot be reached: {e}");
                refuse(503, "The server is too busy for this now. Please try again.", false)
            }
            Failure::Broken(e) => {
                // Mostly the client has gone while it was sending.
                log::info!("the inner server gave no answer: {e}");
                refuse(502, "The server ended this request without an answer.", true)
            }
        }),
        Err(_) => refuse(504, TOO_LONG, true),
    }
}

/// An answer of the door's own, as a sentence. `last`: nothing more is read from the connection.
pub(super) fn refuse(status: u16, sentence: &str, last: bool) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::from(format!("{sentence}\n"))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
