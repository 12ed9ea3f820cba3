//! Which page an address means.

use rocket::request::{FromRequest, Outcome, Request};

use crate::error::{Error, Kind, fail};
use crate::live::{Live, PageInfo};
use crate::page::{PagePath, PathError};

/// The page's name at the end of an address, in canonical form.
///
/// It is read from the raw address rather than from Rocket's segments, so that every spelling
/// (`%2F`, `%20`, a slash at the end) means what it decodes to and none is lost on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The page.
    pub path: PagePath,
    /// True when the address decodes to exactly this path.
    is_canonical: bool,
    query: Option<String>,
}

impl Target {
    /// Reads the rest of an address after its route's fixed part.
    ///
    /// # Errors
    /// When it is not UTF-8 once decoded, or not a page's name.
    pub fn parse(raw: &str, query: Option<&str>) -> Result<Self, Error> {
        let Some(text) = decode(raw) else {
            return Err(Error::new(Kind::BadPath).saying("The address is not valid UTF-8."));
        };
        let path: PagePath = text.trim_matches('/').parse()?;
        // An encoded slash separates levels as well, but it is not how this page is written.
        let is_canonical = path.as_str() == text && !raw.to_ascii_lowercase().contains("%2f");
        Ok(Self { path, is_canonical, query: query.map(ToOwned::to_owned) })
    }

    /// Where the same request should have gone: to the page that is there, in the spelling of
    /// who made it. `None` when it came there. `prefix` is such as `/wiki/`.
    #[must_use]
    pub fn elsewhere(&self, prefix: &str, page: Option<&PageInfo>) -> Option<String> {
        let path = page.map_or(&self.path, |page| &page.path);
        if self.is_canonical && *path == self.path {
            return None;
        }
        let query = self.query.as_deref().map(|q| format!("?{q}")).unwrap_or_default();
        Some(format!("{prefix}{}{query}", path.to_url()))
    }
}

/// Percent-decodes (RFC 3986, 2.1); a `%` without two digits stays. `None` when not UTF-8.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = &tail[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Target {
    type Error = Kind;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Kind> {
        let uri = request.uri();
        let fixed = request
            .route()
            .map(|route| route.uri.as_str())
            .and_then(|route| route.split('<').next())
            .unwrap_or_default();
        let path = uri.path().as_str();
        let raw = match path.strip_prefix(fixed) {
            Some(raw) => raw,
            // `/wiki` also comes here, as a page without a name.
            None if path == fixed.trim_end_matches('/') => "",
            None => return fail(request, Kind::NotFound),
        };
        match Self::parse(raw, uri.query().map(|q| q.as_str())) {
            Ok(target) => Outcome::Success(target),
            Err(error) => fail(request, error),
        }
    }
}

/// The page at a path, if it is there and not deleted.
///
/// # Errors
/// `no_page` or `page_deleted`.
pub fn find(live: &Live, path: &PagePath) -> Result<PageInfo, Error> {
    let page = find_any(live, path)?;
    if page.deleted_ms.is_some() { Err(Kind::PageDeleted.into()) } else { Ok(page) }
}

/// The page at a path whether it is deleted or not: for what may be done to deleted ones.
///
/// # Errors
/// `no_page`.
pub fn find_any(live: &Live, path: &PagePath) -> Result<PageInfo, Error> {
    let none = || Error::new(Kind::NoPage).saying(format!("There is no page “{path}”."));
    live.pages().find(path).ok_or_else(none)
}

impl From<PathError> for Kind {
    fn from(_: PathError) -> Self {
        Self::BadPath
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<(&str, Option<&str>), Kind>) {
        let target = Target::parse(raw, None);
        let found = target.as_ref().map(|t| (t.path.as_str(), t.elsewhere("/wiki/", None)));
        let found = found.map(|(p, to)| (p.to_owned(), to)).map_err(|e| e.kind());
        let expected = expected.map(|(p, to)| (p.to_owned(), to.map(ToOwned::to_owned)));
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn every_spelling_of_an_address_means_one_page() {
        check("team/handbook", Ok(("team/handbook", None)));
        check("Hand%20book", Ok(("Hand book", None)));
        check("caf%C3%A9", Ok(("café", None)));
        check("a(b)!", Ok(("a(b)!", None)));
        check("100%25", Ok(("100%", None)));
        check("100%", Ok(("100%", None)));
        check("a%2Fb", Ok(("a/b", Some("/wiki/a/b"))));
        check("a%2fb", Ok(("a/b", Some("/wiki/a/b"))));
        check("a/b/", Ok(("a/b", Some("/wiki/a/b"))));
        check("cafe%CC%81", Ok(("café", Some("/wiki/caf%C3%A9"))));
        check("a%20%20b", Ok(("a b", Some("/wiki/a%20b"))));
    }

    #[test]
    fn an_address_that_could_mislead_or_escape_is_refused() {
        for raw in [
            "",
            "/",
            "a//b",
            "../x",
            "..%2F..%2Fetc",
            "a/%2e%2e/b",
            "%FF",
            "a%00b",
            "%5Cx",
            "a%0Ab",
        ] {
            check(raw, Err(Kind::BadPath));
        }
    }

    #[test]
    fn a_redirect_keeps_the_query() {
        let target = Target::parse("a%2Fb", Some("live=poll&x=%26")).unwrap();
        assert_eq!(target.elsewhere("/edit/", None).as_deref(), Some("/edit/a/b?live=poll&x=%26"));
    }
}
