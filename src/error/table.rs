//! The one table of errors: status, code, heading, sentence.

use rocket::http::Status;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $status:literal $code:literal $heading:literal $sentence:literal;)+) => {
        /// Which error. Each has a status and a code that does not change between versions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Kind {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> Status {
                match self { $(Self::$kind => Status { code: $status },)+ }
            }

            /// The code in `{"error":{"code"}}`: snake case, for programs.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)+ }
            }

            /// The headline of the error page.
            #[must_use]
            pub fn heading(self) -> &'static str {
                match self { $(Self::$kind => $heading,)+ }
            }

            /// The sentence when there is no better one.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$kind => $sentence,)+ }
            }
        }
    };
}

kinds! {
    /// Not an HTTP request that can be read.
    BadRequest = 400 "bad_request" "This request makes no sense" "The request could not be understood.";
    /// Not a page's name.
    BadPath = 400 "bad_path" "That is not a page's name" "The address does not name a page.";
    /// Not a cursor.
    BadCursor = 400 "bad_cursor" "This request makes no sense" "The cursor is malformed.";
    /// Not a topic, or too many.
    BadTopic = 400 "bad_topic" "This request makes no sense" "A topic is malformed or unknown.";
    /// Not a revision number.
    BadRevision = 400 "bad_revision" "That is not a revision" "A revision is a whole number.";
    /// A write from another site, or one that cannot show it is not.
    ForeignOrigin = 403 "foreign_origin" "This came from another site" "Writing is only possible from this wiki's own pages, or by a program that sends no cookie.";
    /// The tab's id belongs to another login.
    NotYours = 403 "not_yours" "This is another's tab" "The tab's id belongs to another login.";
    /// No right to do this.
    Forbidden = 403 "forbidden" "You may not do this" "You do not have the right to do this.";
    /// No route.
    NotFound = 404 "not_found" "There is nothing here" "There is nothing at this address.";
    /// No such page.
    NoPage = 404 "no_page" "This page does not exist" "There is no page with this name.";
    /// The page has no such revision.
    NoRevision = 404 "no_revision" "This page has no such revision" "The page has never been at this revision.";
    /// Known route, other method.
    MethodNotAllowed = 405 "method_not_allowed" "This cannot be done here" "This address does not take that method.";
    /// Only types that are not offered were asked for.
    NotAcceptable = 406 "not_acceptable" "That form is not offered" "The answer is not available in the form that was asked for.";
    /// The body did not arrive in time.
    TimedOut = 408 "timed_out" "That took too long" "The request did not arrive in time. Please try again.";
    /// There is a page with this name.
    PageExists = 409 "page_exists" "This page exists already" "There is a page with this name already.";
    /// An update under somebody else's client id.
    Forged = 409 "forged" "This edit cannot be taken" "The edit was made under an identity that is not yours here.";
    /// An update that starts before or after what is known.
    Behind = 409 "behind" "This edit cannot be taken" "The edit does not continue from what the server knows.";
    /// An update that depends on something unknown.
    Missing = 409 "missing" "This edit cannot be taken" "The edit depends on something the server does not know.";
    /// The page was deleted.
    PageDeleted = 410 "page_deleted" "This page was deleted" "The page was deleted; restore it first.";
    /// A body without a length.
    LengthRequired = 411 "length_required" "This request makes no sense" "The request must say how long it is.";
    /// `If-Match` or `If-None-Match` does not hold.
    Precondition = 412 "precondition_failed" "The page is not what you expect" "The condition sent with the request does not hold.";
    /// `If-Match` names a revision that never was.
    UnknownRevision = 412 "unknown_revision" "The page is not what you expect" "The page has never been at the revision this edit starts from.";
    /// The body is over its limit.
    TooLarge = 413 "too_large" "That is too large" "What was sent is larger than the limit.";
    /// The page would be over its limit.
    PageFull = 413 "page_full" "The page is full" "A page holds at most 1 MiB of text.";
    /// The address is over its limit.
    AddressTooLong = 414 "address_too_long" "That is too long" "The address is too long.";
    /// A body of another type.
    WrongType = 415 "wrong_type" "That form is not accepted" "The body is of a type that is not accepted here.";
    /// Bytes that are not UTF-8.
    NotText = 422 "not_utf8" "That is not text" "The text is not valid UTF-8.";
    /// A form or JSON body that cannot be used.
    BadInput = 422 "bad_input" "That cannot be used" "What was sent is incomplete or malformed.";
    /// A page's name in a form that is not one.
    BadName = 422 "bad_name" "That name cannot be used" "This name cannot be used.";
    /// An update that does not decode.
    BrokenUpdate = 422 "broken_update" "This edit cannot be taken" "The edit could not be read.";
    /// More edits than can be taken apart at once.
    HistoryTooLong = 422 "history_too_long" "This page has too long a history" "The page has been edited so often that who wrote what cannot be worked out.";
    /// Not by way of the front door.
    Misdirected = 421 "misdirected" "Not this way" "This is an inner part of the server. Please use its public address.";
    /// An edit of an existing page that does not say what it starts from.
    ConditionRequired = 428 "condition_required" "Which text did you edit?" "The page exists: send If-Match with the revision your edit starts from.";
    /// Too much in too little time.
    TooMany = 429 "too_many_requests" "Slow down a little" "There were too many requests in a short time.";
    /// Headers over their limit.
    HeadersTooLarge = 431 "headers_too_large" "That is too large" "The headers of the request are too large.";
    /// A bug or broken storage.
    Internal = 500 "internal" "Something went wrong here" "Something went wrong on the server. The request id helps to find out what.";
    /// Another process must finish first, or this one is ending.
    Busy = 503 "busy" "Please try again in a moment" "The server cannot do this right now. Please try again in a moment.";
    /// The disk is full.
    DiskFull = 507 "disk_full" "The disk is full" "The server's disk is full: nothing can be saved, reading goes on.";
}

impl Kind {
    /// The kind that stands for a status when nothing better is known.
    #[must_use]
    pub fn of_status(status: Status) -> Self {
        let same = |kind: &&Self| kind.status().code == status.code;
        let fallback = if status.code < 500 { Self::BadRequest } else { Self::Internal };
        match status.code {
            // Several kinds share these; what the framework means by them is the plain one.
            403 => Self::Forbidden,
            409 => Self::PageExists,
            422 => Self::BadInput,
            _ => Self::ALL.iter().find(same).copied().unwrap_or(fallback),
        }
    }

    /// When to come back, for kinds that pass by themselves.
    pub(super) fn retry_after_secs(self) -> Option<u64> {
        match self {
            Self::TooMany => Some(1),
            Self::Busy => Some(2),
            Self::DiskFull => Some(60),
            _ => None,
        }
    }

    /// One more sentence on the error page: what to do now.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::ForeignOrigin => {
                "Open the page here and try again. If this wiki is behind a proxy, its setting public_origin must be the address in your browser."
            }
            Self::NotFound | Self::NoPage => "Perhaps the list of all pages has what you look for.",
            Self::TooLarge | Self::PageFull => "Go back: your text is still in the form.",
            Self::TimedOut | Self::Busy | Self::TooMany | Self::DiskFull => {
                "Go back and try again later: your text is still in the form."
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_every_kind_speaks_in_sentences() {
        let mut seen = std::collections::HashSet::new();
        for kind in Kind::ALL {
            let code = kind.code();
            assert!(seen.insert(code), "{code} is used twice");
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(kind.sentence().ends_with('.') && !kind.heading().ends_with('.'), "{code}");
            assert!((400..=507).contains(&kind.status().code), "{code}");
        }
    }

    #[test]
    fn a_status_that_the_framework_makes_has_a_kind_of_that_class() {
        for code in 400..=511 {
            let kind = Kind::of_status(Status { code });
            assert_eq!(kind.status().code / 100, code / 100, "{code}");
        }
        assert_eq!(Kind::of_status(Status::NotFound), Kind::NotFound);
        assert_eq!(Kind::of_status(Status::UnprocessableEntity), Kind::BadInput);
    }
}
