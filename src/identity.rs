//! Who is asking: until accounts come, a guest with a friendly name and a signed cookie.
//!
//! The cookie holds everything, so that a visit writes nothing to the store:
//! `<id>.<colour>.<day>.<name in base64url>.<tag in base64url>`, where the tag is a keyed BLAKE3
//! hash of what stands before it. The key is `secret.key` in the data directory.

mod key;
mod words;

pub use key::{KeyError, SigningKey};

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::{Cookie, SameSite};
use rocket::request::{FromRequest, Outcome};
use rocket::{Request, Response};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::config::Config;
use crate::live::Author;
use crate::origin;
use crate::random::Random;
use crate::time;

/// Name of the cookie.
pub const COOKIE: &str = "halley_guest";

/// Longest name of a person, in characters.
pub const MAX_NAME_CHARS: usize = 40;

/// Colours there are for carets and avatars: `c0` to `c11` in the style sheets.
pub const COLOURS: u8 = 12;

/// How long a browser keeps the cookie.
const MAX_AGE_DAYS: i64 = 365;

/// Age at which the cookie is given again, so that a regular visitor keeps the name for ever.
const RENEW_DAYS: u64 = 30;

/// Somebody without an account.
///
/// As a request guard it never fails: without a valid cookie it is a new guest, whose cookie is
/// set only if [`KnownGuest`] or a page asked for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guest {
    /// `g` and 16 characters `a-z2-7`.
    pub id: String,
    /// 1 to [`MAX_NAME_CHARS`] characters without controls or direction marks.
    pub name: String,
    /// Below [`COLOURS`].
    pub colour: u8,
    /// Day (since 1970) on which the cookie was given; `None` when there is none yet.
    #[serde(skip)]
    given_day: Option<u64>,
}

/// Why a text is not a person's name. `Display` is a sentence for whoever typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing that can be seen.
    #[error("Please enter a name.")]
    Empty,
    /// More than [`MAX_NAME_CHARS`] characters.
    #[error("A name has at most {MAX_NAME_CHARS} characters.")]
    TooLong,
    /// Controls, direction marks and the like.
    #[error("A name cannot contain invisible characters.")]
    Invisible,
}

impl Guest {
    /// A new guest with a random name and colour.
    #[must_use]
    pub fn random(random: &Random) -> Self {
        let dice = random.bytes();
        let pick = |i: usize, n: usize| usize::from(u16::from_le_bytes([dice[i], dice[i + 1]])) % n;
        let adjective = words::ADJECTIVES[pick(0, words::ADJECTIVES.len())];
        let animal = words::ANIMALS[pick(2, words::ANIMALS.len())];
        Self {
            id: format!("g{}", random.base32(16)),
            name: format!("{adjective} {animal}"),
            colour: dice[4] % COLOURS,
            given_day: None,
        }
    }

    /// The guest of a request: from the cookie, or new.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(|| {
            let rocket = request.rocket();
            let cookie = request.cookies().get(COOKIE).map(|cookie| cookie.value());
            match (rocket.state::<SigningKey>(), rocket.state::<Random>()) {
                (Some(key), Some(random)) => Self::known_or_new(cookie, key, random),
                _ => Self {
                    id: "gaaaaaaaaaaaaaaaa".to_owned(),
                    name: "Guest".to_owned(),
                    colour: 0,
                    given_day: None,
                },
            }
        })
    }

    /// The guest of a cookie's value, or a new one.
    #[must_use]
    pub fn known_or_new(cookie: Option<&str>, key: &SigningKey, random: &Random) -> Self {
        cookie
            .and_then(|value| Self::from_cookie(value, key))
            .unwrap_or_else(|| Self::random(random))
    }

    /// True when the guest came with a valid cookie, and so is the same one at each request.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.given_day.is_some()
    }

    /// The same guest under another name.
    ///
    /// # Errors
    /// When the text cannot be a name.
    pub fn renamed(&self, name: &str) -> Result<Self, NameError> {
        Ok(Self { name: clean_name(name)?, given_day: None, ..self.clone() })
    }

    /// The value of the cookie, signed.
    #[must_use]
    pub fn to_cookie_value(&self, key: &SigningKey, today: u64) -> String {
        let name = URL_SAFE_NO_PAD.encode(&self.name);
        let signed = format!("{}.{}.{today}.{name}", self.id, self.colour);
        let tag = key.tag(&signed);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_bytes()))
    }

    /// Reads a cookie's value; `None` when it was not signed with this key.
    #[must_use]
    pub fn from_cookie(value: &str, key: &SigningKey) -> Option<Self> {
        let (signed, tag) = value.rsplit_once('.')?;
        let tag: [u8; 32] = URL_SAFE_NO_PAD.decode(tag).ok()?.try_into().ok()?;
        // `blake3::Hash` compares in constant time.
        if key.tag(signed) != blake3::Hash::from_bytes(tag) {
            return None;
        }
        let mut fields = signed.split('.');
        let guest = Self {
            id: fields.next()?.to_owned(),
            colour: fields.next()?.parse().ok().filter(|c| *c < COLOURS)?,
            given_day: Some(fields.next()?.parse().ok()?),
            name: clean_name(
                std::str::from_utf8(&URL_SAFE_NO_PAD.decode(fields.next()?).ok()?).ok()?,
            )
            .ok()?,
        };
        Some(guest)
    }

    fn cookie(&self, key: &SigningKey, today: u64, secure: bool) -> Cookie<'static> {
        Cookie::build((COOKIE, self.to_cookie_value(key, today)))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(secure)
            .max_age(rocket::time::Duration::days(MAX_AGE_DAYS))
            .build()
    }
}

impl From<&Guest> for Author {
    fn from(guest: &Guest) -> Self {
        Self { id: guest.id.clone(), name: guest.name.clone(), colour: guest.colour }
    }
}

/// A person's name in its one form: Unicode normal form C, single spaces.
///
/// # Errors
/// When nothing can be seen of it, too much, or when it holds characters that mislead.
pub fn clean_name(text: &str) -> Result<String, NameError> {
    if text.len() > 16 * MAX_NAME_CHARS {
        return Err(NameError::TooLong);
    }
    let name = text.nfc().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().any(is_invisible) {
        return Err(NameError::Invisible);
    }
    match name.chars().count() {
        0 => Err(NameError::Empty),
        1..=MAX_NAME_CHARS => Ok(name),
        _ => Err(NameError::TooLong),
    }
}

/// Controls, and formatting characters that hide or turn text around. The zero width joiner
/// and variation selectors stay: emoji and several scripts need them.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}'
            | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFD}' | '\u{E0000}'..='\u{E0FFF}')
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Guest {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::of(request).clone())
    }
}

/// A guest whose cookie will be set by this answer if there is none yet, for requests after which
/// the browser must be the same guest again.
#[derive(Clone, Debug)]
pub struct KnownGuest(pub Guest);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for KnownGuest {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        remember(request);
        Outcome::Success(Self(Guest::of(request).clone()))
    }
}

#[derive(Default)]
struct Wish {
    remember: AtomicBool,
    renamed: std::sync::Mutex<Option<Guest>>,
}

/// Sets the guest's cookie with this answer, if it is new or old.
pub fn remember(request: &Request<'_>) {
    request.local_cache(Wish::default).remember.store(true, Ordering::Relaxed);
}

/// Sets a changed guest's cookie with this answer.
pub fn replace(request: &Request<'_>, guest: Guest) {
    let wish = request.local_cache(Wish::default);
    *wish.renamed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(guest);
}

/// Puts the cookie on answers that need it, whatever their status.
pub struct GuestCookie;

#[rocket::async_trait]
impl Fairing for GuestCookie {
    fn info(&self) -> Info {
        Info { name: "Guest cookie", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let wish = request.local_cache(Wish::default);
        let renamed = wish.renamed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let today = time::now_ms() / 86_400_000;
        let wanted = renamed.or_else(|| {
            // A form that another site sends here comes without the cookie: answering with a new
            // one would make the visitor somebody else.
            if origin::is_foreign(request) {
                return None;
            }
            let guest = Guest::of(request);
            let due = guest.given_day.is_none_or(|day| day + RENEW_DAYS <= today);
            (wish.remember.load(Ordering::Relaxed) && due).then(|| guest.clone())
        });
        let rocket = request.rocket();
        if let (Some(guest), Some(key)) = (wanted, rocket.state::<SigningKey>()) {
            let secure = rocket.state::<Config>().is_some_and(Config::is_https);
            response.adjoin_header(guest.cookie(key, today, secure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_gives_back_the_guest_and_no_changed_one_does() {
        let random = Random::from_system().unwrap();
        let key = SigningKey::new([7; 32]);
        let guest = Guest::random(&random).renamed("  Zoë  🦊 ").unwrap();
        assert_eq!(guest.name, "Zoë 🦊");
        let value = guest.to_cookie_value(&key, 20_000);
        let back = Guest::from_cookie(&value, &key).expect("valid");
        assert_eq!((&back.id, &back.name, back.colour), (&guest.id, &guest.name, guest.colour));

        assert_eq!(Guest::from_cookie(&value, &SigningKey::new([8; 32])), None);
        for i in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[i] = if bytes[i] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            let read = Guest::from_cookie(&changed, &key);
            assert!(read.is_none_or(|g| g == back), "byte {i}: {changed}");
        }
        for garbage in ["", ".", "....", "a.b.c.d.e", "\u{0}"] {
            assert_eq!(Guest::from_cookie(garbage, &key), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_name_is_what_can_be_seen() {
        assert_eq!(clean_name("\t Quiet \u{a0} Heron \n"), Ok("Quiet Heron".into()));
        assert_eq!(clean_name(" \u{3000} "), Err(NameError::Empty));
        assert_eq!(clean_name("a\u{202e}b"), Err(NameError::Invisible));
        assert_eq!(clean_name("a\u{0}b"), Err(NameError::Invisible));
        assert_eq!(clean_name("\u{200b}"), Err(NameError::Invisible));
        assert_eq!(clean_name(&"é".repeat(40)), Ok("é".repeat(40)));
        assert_eq!(clean_name(&"é".repeat(41)), Err(NameError::TooLong));
        assert_eq!(clean_name(&"x".repeat(1 << 20)), Err(NameError::TooLong));
        assert_eq!(clean_name("<script>"), Ok("<script>".into()), "harmless: it is escaped");
    }

    #[test]
    fn there_are_at_least_1600_friendly_names_and_all_are_valid() {
        assert!(words::ADJECTIVES.len() >= 40 && words::ANIMALS.len() >= 40);
        for list in [words::ADJECTIVES, words::ANIMALS] {
            let unique: std::collections::HashSet<_> = list.iter().collect();
            assert_eq!(unique.len(), list.len());
            assert!(list.iter().all(|w| w.len() <= 19 && clean_name(w).as_deref() == Ok(*w)));
        }
    }
}
