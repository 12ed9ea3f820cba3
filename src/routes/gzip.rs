//! Answers that are compressed for those who take it.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rocket::request::Request;

/// Less is not worth it, in bytes: it is one packet in any case.
const LEAST: usize = 1_400;

/// A copy that is smaller, made quickly: for what is made anew with each answer. `None` when there
/// is none. Blocks.
pub(super) fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < LEAST {
        return None;
    }
    // A third of the size of JSON in a third of the time that the usual level takes.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().filter(|copy| copy.len() < bytes.len())
}

/// True when the client takes gzip (RFC 9110, 12.5.3).
pub(super) struct Gzip(pub(super) bool);

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Gzip {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        let takes = request.headers().get("Accept-Encoding").any(takes_gzip);
        rocket::request::Outcome::Success(Self(takes))
    }
}

fn takes_gzip(header: &str) -> bool {
    header.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|p| {
            p.strip_prefix("q=")
                .and_then(|q| q.trim().parse::<f32>().ok())
                .is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_when_it_is_named_and_not_refused() {
        for (header, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("br", false),
            ("", false),
            ("identity, x-gzipped", false),
        ] {
            assert_eq!(takes_gzip(header), expected, "{header}");
        }
    }
}
