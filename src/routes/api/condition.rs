//! `If-Match` and `If-None-Match` of a write (RFC 9110, 13.1).

use rocket::request::{FromRequest, Outcome, Request};

use crate::error::{Error, Kind, fail};
use crate::live::PageInfo;
use crate::page::Revision;

/// What must be so for a write to be made.
///
/// `If-Match: "<revision>"` means “I edited this text”: an older revision is not refused, the
/// edit is merged into what has been written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing was said.
    None,
    /// `If-None-Match: *`: only if there is no page.
    Absent,
    /// `If-Match: *`: whatever the page is now.
    Present,
    /// `If-Match: "7"`
    Edited(Revision),
    /// `If-Match` with a tag that no page of ours ever had.
    Foreign,
}

impl Condition {
    fn parse(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, Error> {
        match (if_match.map(str::trim), if_none_match.map(str::trim)) {
            (None, None) => Ok(Self::None),
            (None, Some("*")) => Ok(Self::Absent),
            (None, Some(_)) => Err(Error::new(Kind::BadRequest)
                .saying("If-None-Match of a write can only be *, for a page that must not exist.")),
            (Some(_), Some(_)) => Err(Error::new(Kind::BadRequest)
                .saying("If-Match and If-None-Match cannot stand together.")),
            (Some("*"), None) => Ok(Self::Present),
            (Some(list), None) if list.contains(',') => Err(Error::new(Kind::BadRequest)
                .saying("If-Match must name the one revision that the edit starts from.")),
            (Some(tag), None) => {
                // A proxy that compresses makes the tag weak; the text is the same.
                let tag = tag.strip_prefix("W/").unwrap_or(tag);
                let inner = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                let digits =
                    inner.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
                let revision = digits.and_then(|t| t.parse().ok()).map(Revision);
                Ok(revision.map_or(Self::Foreign, Self::Edited))
            }
        }
    }

    /// Whether a write of this page, or of one that is not there, may go on.
    pub(super) fn check(self, page: Option<&PageInfo>) -> Result<(), Error> {
        match (self, page) {
            (Self::None, Some(_)) => Err(Kind::ConditionRequired.into()),
            (Self::Absent, Some(_)) => {
                Err(Error::new(Kind::Precondition).saying("The page exists already."))
            }
            (Self::Present | Self::Edited(_) | Self::Foreign, None) => {
                Err(Error::new(Kind::Precondition).saying("There is no page to edit."))
            }
            (Self::Foreign, Some(_)) => Err(Kind::UnknownRevision.into()),
            (Self::Edited(revision), Some(page)) if revision > page.head => {
                Err(Kind::UnknownRevision.into())
            }
            (Self::None | Self::Absent, None) | (Self::Present | Self::Edited(_), Some(_)) => {
                Ok(())
            }
        }
    }

    /// The revision that the edit of an existing page starts from.
    pub(super) fn base(self, page: &PageInfo) -> Result<Revision, Error> {
        match self {
            Self::Edited(revision) => Ok(revision),
            Self::Present => Ok(page.head),
            Self::None | Self::Absent | Self::Foreign => Err(Kind::ConditionRequired.into()),
        }
    }

    /// For what cannot be merged (deleting): the page must be at that very revision.
    pub(super) fn check_exact(self, page: &PageInfo) -> Result<(), Error> {
        match self {
            Self::None | Self::Present => Ok(()),
            Self::Edited(revision) if revision == page.head => Ok(()),
            Self::Edited(_) => Err(Error::new(Kind::Precondition)
                .saying("The page has been changed since that revision.")),
            Self::Absent => Err(Kind::Precondition.into()),
            Self::Foreign => Err(Kind::UnknownRevision.into()),
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Condition {
    type Error = Kind;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Kind> {
        let headers = request.headers();
        let one = |name| headers.get(name).collect::<Vec<_>>().join(",");
        let (if_match, if_none_match) = (one("If-Match"), one("If-None-Match"));
        let given = |text: &'_ str| (!text.trim().is_empty()).then_some(text.to_owned());
        match Self::parse(given(&if_match).as_deref(), given(&if_none_match).as_deref()) {
            Ok(condition) => Outcome::Success(condition),
            Err(error) => fail(request, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_names_one_revision_or_says_why_not() {
        let check = |if_match, none_match, expected: Result<Condition, Kind>| {
            let found = Condition::parse(if_match, none_match).map_err(|e| e.kind());
            assert_eq!(found, expected, "{if_match:?} {none_match:?}");
        };
        check(None, None, Ok(Condition::None));
        check(Some("\"7\""), None, Ok(Condition::Edited(Revision(7))));
        check(Some(" W/\"7\" "), None, Ok(Condition::Edited(Revision(7))));
        check(Some("*"), None, Ok(Condition::Present));
        check(None, Some("*"), Ok(Condition::Absent));
        for foreign in ["7", "\"\"", "\"abc\"", "\"-1\"", "\"99999999999999999999999\"", "\"7"] {
            check(Some(foreign), None, Ok(Condition::Foreign));
        }
        check(Some("\"1\", \"2\""), None, Err(Kind::BadRequest));
        check(None, Some("\"1\""), Err(Kind::BadRequest));
        check(Some("\"1\""), Some("*"), Err(Kind::BadRequest));
    }
}
