//! Where a link or an image may point.

/// What a link's address turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An address of this site: a path, a query or a `#fragment`.
    Internal(String),
    /// `http:`, `https:`, `mailto:` or `//host`.
    External(String),
    /// Any other scheme. The text stays, the link goes.
    Refused,
}

/// Prefix of every `id` in page content, so that none can shadow a name of the application.
pub(super) const ID_PREFIX: &str = "user-";

/// Value of `rel` on links that leave the site.
pub(super) const EXTERNAL_REL: &str = "noopener noreferrer nofollow";

/// Longest address, in bytes. Percent-encoded it still passes the sanitiser.
const MAX_URL_BYTES: usize = 2_500;

/// Judges an address the way a browser reads it.
///
/// Browsers drop tabs and line ends anywhere, controls and spaces at the ends, and take `\` for
/// `/`, so those spellings are undone before looking (WHATWG URL, section 4.4).
pub(super) fn classify(url: &str) -> Target {
    if url.len() > MAX_URL_BYTES {
        return Target::Refused;
    }
    let url: String =
        url.trim_matches(|c| c <= ' ').chars().filter(|c| !c.is_ascii_control()).collect();
    if let Some(fragment) = url.strip_prefix('#') {
        let fragment = fragment.strip_prefix(ID_PREFIX).unwrap_or(fragment);
        return Target::Internal(match fragment {
            "" => "#".to_owned(),
            _ => format!("#{ID_PREFIX}{fragment}"),
        });
    }
    let bytes = url.as_bytes();
    let slash = |i: usize| matches!(bytes.get(i), Some(b'/' | b'\\'));
    if slash(0) && slash(1) {
        return Target::External(url);
    }
    let head = url.find(['/', '?', '#']).map_or(url.as_str(), |end| &url[..end]);
    match head.split_once(':') {
        None => Target::Internal(url),
        Some((scheme, _)) => {
            if ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                Target::External(url)
            } else {
                Target::Refused
            }
        }
    }
}

/// Writes `url` as the value of a double-quoted attribute, percent-encoding what URLs may not hold.
pub(super) fn push_href(out: &mut String, url: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in url.bytes() {
        match byte {
            b'&' => out.push_str("&amp;"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-_.+!*'(),%#@?=;:/$~[]".contains(&byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

/// Writes text with the characters escaped that mean something in HTML text and in
/// double-quoted attributes.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => "&quot;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_schemes_and_addresses_of_the_site_pass() {
        let refused = [
            "javascript:alert(1)",
            " jAvAsCrIpT:alert(1)",
            "java\nscript:alert(1)",
            "\u{1}javascript:x",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:x",
            "Team: plan",
        ];
        for url in refused {
            assert_eq!(classify(url), Target::Refused, "{url:?}");
        }
        for url in ["https://a.b", "HTTP://a.b", "mailto:a@b", "//a.b", "/\\a.b", "\\\\a.b"] {
            assert!(matches!(classify(url), Target::External(_)), "{url:?}");
        }
        for url in ["/wiki/Home", "./x", "Other page", "?q=a:b", "a/b:c", ""] {
            assert_eq!(classify(url), Target::Internal(url.to_owned()), "{url:?}");
        }
        assert_eq!(classify("#Top"), Target::Internal("#user-Top".into()));
        assert_eq!(classify("#user-Top"), Target::Internal("#user-Top".into()));
    }
}
