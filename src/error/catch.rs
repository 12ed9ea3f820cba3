//! How an error of a guard, or one that Rocket made, becomes the same answer as any other.

use std::sync::Mutex;

use rocket::http::{Method, Status};
use rocket::request::{Outcome, Request};
use rocket::{Catcher, catch, catchers as collect};

use super::{Error, Kind};

/// What a guard failed with: a guard can hand Rocket only a status.
#[derive(Default)]
struct Failure(Mutex<Option<Error>>);

/// Ends a request in a guard with an error that the catcher then shows whole.
pub fn fail<T>(request: &Request<'_>, error: impl Into<Error>) -> Outcome<T, Kind> {
    let error = error.into();
    let (kind, status) = (error.kind(), error.status());
    keep(request, error);
    Outcome::Error((status, kind))
}

/// Remembers the error that the catcher will show.
pub(crate) fn keep(request: &Request<'_>, error: Error) {
    let cell = request.local_cache(Failure::default);
    *cell.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
}

/// The catchers of every status.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    collect![catch_all]
}

#[catch(default)]
fn catch_all(status: Status, request: &Request<'_>) -> Error {
    let cell = request.local_cache(Failure::default);
    let kept = cell.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match kept {
        Some(error) => error,
        None if status == Status::NotFound => not_found(request),
        None => Error::new(Kind::of_status(status)),
    }
}

/// 404, or 405 when another method would have found something.
fn not_found(request: &Request<'_>) -> Error {
    let path = request.uri().path();
    let mut methods: Vec<Method> = request
        .rocket()
        .routes()
        .filter(|route| matches_path(route.uri.as_str(), path.as_str()))
        .map(|route| route.method)
        .collect();
    if methods.is_empty() || methods.contains(&request.method()) {
        return Error::new(Kind::NotFound);
    }
    if methods.contains(&Method::Get) {
        methods.push(Method::Head);
    }
    methods.sort_unstable_by_key(|m| m.as_str());
    methods.dedup();
    let names: Vec<_> = methods.iter().map(|m| m.as_str()).collect();
    let mut error = Error::new(Kind::MethodNotAllowed);
    error.allow = Some(names.join(", "));
    error
}

/// True when a route written as `pattern` (`/a/<b>/<c..>?<d>`) could match `path`.
fn matches_path(pattern: &str, path: &str) -> bool {
    let pattern = pattern.split('?').next().unwrap_or(pattern);
    let mut parts = path.trim_matches('/').split('/').filter(|p| !p.is_empty());
    for wanted in pattern.trim_matches('/').split('/').filter(|p| !p.is_empty()) {
        if wanted.starts_with('<') && wanted.ends_with("..>") {
            return true;
        }
        match parts.next() {
            Some(_) if wanted.starts_with('<') => {}
            Some(part) if part == wanted => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_paths_rocket_would() {
        for (pattern, path, expected) in [
            ("/wiki/<_..>", "/wiki/a/b", true),
            ("/wiki/<_..>", "/wiki", true),
            ("/wiki/<_..>", "/edit/a", false),
            ("/static/<hash>/<path..>?<x>", "/static/1/a/b", true),
            ("/name", "/name", true),
            ("/name", "/name/x", false),
            ("/", "/", true),
            ("/", "/x", false),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern} {path}");
        }
    }
}
