//! Bodies of requests: bounded in size and time, and text only when they are.

use std::time::Duration;

use rocket::data::{ByteUnit, Data, FromData, Outcome, ToByteUnit};
use rocket::http::ContentType;
use rocket::request::Request;
use rocket::tokio::io::{AsyncReadExt, copy, sink};
use rocket::tokio::time::timeout;

use crate::config::Config;
use crate::error::{Error, Kind, fail};

/// How much of a body that is too large is still taken in and thrown away: a client that is
/// still sending does not read the answer, and sees a broken connection instead of the reason.
const DRAIN: u64 = 16 * 1024 * 1024;

/// What Rocket has read of a body before any route is asked, to see whether it is `_method=`.
const LOOKED_AT: usize = "_method=delete".len();

/// Reads a whole body of at most `limit` bytes.
///
/// Rocket has waited for the first [`LOOKED_AT`] bytes by then; what a client does before that is
/// bounded by the number of connections only. A connection that ends during this look is told to
/// nobody, and what had come until then would pass for the whole: a page would lose its text to
/// a client that died behind the headers of its request. So the end is checked here.
///
/// # Errors
/// `too_large`, `timed_out` after the setting `body_secs`, `bad_request` when it breaks off.
pub async fn read_body(
    request: &Request<'_>,
    data: Data<'_>,
    limit: ByteUnit,
) -> Result<Vec<u8>, Error> {
    let time =
        request.rocket().state::<Config>().map_or(Duration::from_secs(30), Config::body_timeout);
    let too_large =
        || Error::new(Kind::TooLarge).saying(format!("What was sent is larger than {limit}."));
    let announced: Option<u64> =
        request.headers().get_one("Content-Length").and_then(|text| text.trim().parse().ok());
    let was_seen_to_end = data.peek_complete();
    let reading =
        async {
            if announced.is_some_and(|length| length > limit.as_u64() + DRAIN) {
                return Err(too_large());
            }
            let mut stream = data.open(limit + DRAIN.bytes());
            let mut body = Vec::new();
            (&mut stream).take(limit.as_u64() + 1).read_to_end(&mut body).await.map_err(|e| {
                Error::new(Kind::BadRequest).saying("The body broke off.").because(e)
            })?;
            if body.len() as u64 > limit.as_u64() {
                // What the client does meanwhile changes nothing about the answer.
                let _ = copy(&mut stream, &mut sink()).await;
                return Err(too_large());
            }
            let is_cut = (body.len() < LOOKED_AT && !was_seen_to_end)
                || announced.is_some_and(|length| length != body.len() as u64);
            if is_cut {
                return Err(Error::new(Kind::BadRequest).saying("The body broke off."));
            }
            Ok(body)
        };
    timeout(time, reading).await.unwrap_or_else(|_| Err(Kind::TimedOut.into()))
}

/// Reads a whole body of text, at most `limit` bytes.
///
/// # Errors
/// As [`read_body`], and `not_utf8`.
pub async fn read_text(
    request: &Request<'_>,
    data: Data<'_>,
    limit: ByteUnit,
) -> Result<String, Error> {
    let body = read_body(request, data, limit).await?;
    String::from_utf8(body).map_err(|_| Kind::NotText.into())
}

/// A form as a browser sends it (`application/x-www-form-urlencoded`, WHATWG URL, 5.1), of at
/// most the setting `form_bytes`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FormBody(Vec<(String, String)>);

impl FormBody {
    /// The first value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a field, or the error for a form without it.
    ///
    /// # Errors
    /// `bad_input`
    pub fn need(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| {
            Error::new(Kind::BadInput).saying(format!("The form lacks the field “{name}”."))
        })
    }

    /// True when each field has one of these names, and none comes twice.
    #[must_use]
    pub fn has_only(&self, names: &[&str]) -> bool {
        let before = |n: usize, name: &String| self.0[..n].iter().any(|(other, _)| other == name);
        self.0
            .iter()
            .enumerate()
            .all(|(n, (name, _))| names.contains(&name.as_str()) && !before(n, name))
    }

    /// Reads the encoded form.
    ///
    /// # Errors
    /// `not_utf8`
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let pairs = body.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            Ok((decode(&pair[..at])?, decode(value)?))
        });
        fields.collect::<Result<_, _>>().map(Self)
    }
}

/// Undoes form encoding: `+` is a space, `%41` a byte; a `%` without two digits stays.
fn decode(encoded: &[u8]) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match (digit(0), digit(1)) {
                (Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                    rest = &tail[2..];
                }
                _ => bytes.push(b'%'),
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| Kind::NotText.into())
}

#[rocket::async_trait]
impl<'r> FromData<'r> for FormBody {
    type Error = Kind;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let ended = |error: Error| match fail::<Self>(request, error) {
            rocket::request::Outcome::Error(why) => Outcome::Error(why),
            _ => Outcome::Error((Kind::Internal.status(), Kind::Internal)),
        };
        if request.content_type().is_none_or(|t| t.media_type() != ContentType::Form.media_type()) {
            return ended(
                Error::new(Kind::WrongType)
                    .saying("A form must be sent as application/x-www-form-urlencoded."),
            );
        }
        let limit = request.rocket().state::<Config>().map_or(4.mebibytes(), |c| c.form_bytes);
        let parsed = read_body(request, data, limit).await.and_then(|body| Self::parse(&body));
        match parsed {
            Ok(form) => Outcome::Success(form),
            Err(error) => ended(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let form =
            FormBody::parse(b"a=1+2&text=caf%C3%A9%0D%0A%25&a=2&empty=&flag&x=100%").unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("text"), Some("café\r\n%"));
        assert_eq!(form.get("empty"), Some(""));
        assert_eq!(form.get("flag"), Some(""));
        assert_eq!(form.get("x"), Some("100%"));
        assert_eq!(form.get("none"), None);
    }

    #[test]
    fn a_form_that_is_not_utf_8_is_refused() {
        for body in [&b"text=%FF"[..], b"text=\xff", b"text=%ED%A0%80"] {
            assert_eq!(FormBody::parse(body).unwrap_err().kind(), Kind::NotText);
        }
    }
}
