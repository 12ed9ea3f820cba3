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
    mut parts: Parts,
    body: Incoming,
) -> Response<Body> {
    head::for_upstream(&mut parts);
    let Ok(pass) = HeaderValue::try_from(shared.secret.header(peer)) else {
        return refuse(502, "The server cannot say who you are.", false);
    };
    parts.headers.insert(PEER_HEADER, pass);
    let limits = &shared.limits;
    let fate = Arc::new(Fate::default());
    let upload = Upload::new(body, limits.body, &fate);
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
        Ok(Err(_)) if fate.broken.load(Ordering::Relaxed) => {
            refuse(400, "The request broke off before its body was whole. Nothing was done.", true)
        }
        Ok(Err(_)) if fate.late.load(Ordering::Relaxed) => {
            refuse(408, "The request did not arrive in time. Please try again.", true)
        }
        Ok(Err(Failure::Unreachable(e))) => {
            log::error!("the inner server cannot be reached: {e}");
            refuse(503, "The server is too busy for this now. Please try again.", false)
        }
        Ok(Err(Failure::Broken(e))) => {
            // Mostly the client has gone while it was sending.
            log::info!("the inner server gave no answer: {e}");
            refuse(502, "The server ended this request without an answer.", true)
        }
        Err(_) => refuse(504, "The server took too long for this.", true),
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
