//! Who calls, as the live routes need it.

use std::net::IpAddr;

use rocket::request::{FromRequest, Outcome, Request};

use crate::address::subscriber;
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::rate::Rate;
use crate::live::topic::Topic;
use crate::live::{Author, Live, PageInfo};
use crate::origin::ClientAddr;
use crate::page::PageId;
use crate::rights::{self, Action};

/// Shortest and longest tab id.
const CLIENT_CHARS: std::ops::RangeInclusive<usize> = 8..=32;

/// Longest operation id and nonce.
const OP_CHARS: usize = 64;

/// Who calls: a guest, and whether the browser is known by a cookie.
pub struct Caller {
    pub guest: Guest,
    /// The login if it came by cookie; a caller without one is new with each request.
    pub browser: Option<String>,
    pub address: IpAddr,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::new(Guest::of(request).clone(), ClientAddr::of(request).0))
    }
}

impl Caller {
    /// A guest at an address.
    pub fn new(guest: Guest, address: IpAddr) -> Self {
        let browser = guest.is_known().then(|| guest.id.clone());
        Self { guest, browser, address }
    }

    /// As the author of an edit.
    pub fn author(&self) -> Author {
        let Guest { id, name, colour, .. } = &self.guest;
        Author { id: id.clone(), name: name.clone(), colour: *colour }
    }

    /// Takes `amount` from what this caller may do, or says when to come back.
    pub fn spend(&self, live: &Live, rate: Rate, amount: usize) -> Result<(), Error> {
        let login = self.browser.clone().unwrap_or_else(|| subscriber(self.address).to_string());
        live.rates()
            .take(rate, &login, amount)
            .map_err(|wait| Error::new(Kind::TooMany).retry_after_secs(wait.as_secs() + 1))
    }

    /// The page, if it is there and the caller may do this to it.
    ///
    /// What is no number at all is no page either, rather than a bad request.
    pub fn page(
        &self,
        live: &Live,
        id: impl Into<Option<u64>>,
        action: Action,
    ) -> Result<PageId, Error> {
        let page = id.into().and_then(|id| live.pages().get(PageId(id))).ok_or(Kind::NoPage)?;
        rights::require(&self.guest, action, Some(&page))?;
        Ok(page.id)
    }
}

/// Whether a guest may follow a topic. Asked when it is opened and for each batch.
pub fn may_follow(live: &Live, guest: &Guest, topic: Topic) -> bool {
    match topic.page() {
        None => rights::may(guest, Action::List, None),
        // A deleted page has no changes of text; who has it open is told when it comes back.
        Some(id) => {
            let may = |page: &PageInfo| rights::may(guest, Action::ReadHistory, Some(page));
            live.pages().look(id, may) == Some(true)
        }
    }
}

/// Checks a tab id.
pub fn client_id(text: &str) -> Result<&str, Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if CLIENT_CHARS.contains(&text.len()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(Error::new(Kind::BadRequest)
            .saying("A client id is 8 to 32 characters of a-z and 0-9."))
    }
}

/// Checks an operation id or a nonce.
pub fn op_id(text: &str) -> Result<&str, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if (1..=OP_CHARS).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(Error::new(Kind::BadRequest)
            .saying("An op or nonce is 1 to 64 characters of a-z, A-Z, 0-9, - and _."))
    }
}
