//! Tags that people write inside Markdown, taken apart.
//!
//! The sanitiser parses HTML as browsers do, and so inherits its costs: work per tag grows with
//! the depth of nesting, and some unclosed tags are opened again for every paragraph that follows.
//! So raw HTML is read here first and written again by [`super::write`] in a plain form: known
//! elements only, properly nested, at most so deep. What is safe is still decided by
//! [`super::clean`] alone; this step decides what is affordable.

/// One piece of raw HTML.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text between tags; entities are left as written.
    Text(&'a str),
    /// `<name attributes>`. `self_closing` means nothing in HTML, and is ignored.
    Open { name: &'a str, attributes: Vec<(&'a str, &'a str)> },
    /// `</name>`.
    Close { name: &'a str },
}

/// How an element behaves when tags around it are left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Has no content.
    Void,
    /// Part of a line of text.
    Inline,
    /// Ends a paragraph.
    Block,
    /// Ends a paragraph and has no content.
    Rule,
    /// `td`, `tr` and the like: only inside a table.
    TablePart,
    /// Vanishes with all that is in it.
    Mute,
}

/// Most attributes of one tag that are kept.
const MAX_ATTRIBUTES: usize = 16;

/// Elements that raw HTML may open, by lower-case name.
pub(super) fn element(name: &str) -> Option<(&'static str, Kind)> {
    const ELEMENTS: &[(&str, Kind)] = {
        use Kind::{Block, Inline, Mute, Rule, TablePart, Void};
        &[
            ("a", Inline),
            ("abbr", Inline),
            ("article", Block),
            ("aside", Block),
            ("b", Inline),
            ("bdi", Inline),
            ("bdo", Inline),
            ("blockquote", Block),
            ("br", Void),
            ("caption", TablePart),
            ("center", Block),
            ("cite", Inline),
            ("code", Inline),
            ("col", TablePart),
            ("colgroup", TablePart),
            ("dd", Block),
            ("del", Inline),
            ("details", Block),
            ("dfn", Inline),
            ("div", Block),
            ("dl", Block),
            ("dt", Block),
            ("em", Inline),
            ("figcaption", Block),
            ("figure", Block),
            ("footer", Block),
            ("h1", Block),
            ("h2", Block),
            ("h3", Block),
            ("h4", Block),
            ("h5", Block),
            ("h6", Block),
            ("header", Block),
            ("hr", Rule),
            ("i", Inline),
            ("iframe", Mute),
            ("img", Void),
            ("ins", Inline),
            ("kbd", Inline),
            ("li", Block),
            ("mark", Inline),
            ("math", Mute),
            ("nav", Block),
            ("noembed", Mute),
            ("noframes", Mute),
            ("noscript", Mute),
            ("object", Mute),
            ("ol", Block),
            ("p", Block),
            ("pre", Block),
            ("q", Inline),
            ("rp", Inline),
            ("rt", Inline),
            ("ruby", Inline),
            ("s", Inline),
            ("samp", Inline),
            ("script", Mute),
            ("section", Block),
            ("select", Mute),
            ("small", Inline),
            ("span", Inline),
            ("strike", Inline),
            ("strong", Inline),
            ("style", Mute),
            ("sub", Inline),
            ("summary", Block),
            ("sup", Inline),
            ("svg", Mute),
            ("table", Block),
            ("tbody", TablePart),
            ("td", TablePart),
            ("template", Mute),
            ("textarea", Mute),
            ("tfoot", TablePart),
            ("th", TablePart),
            ("thead", TablePart),
            ("time", Inline),
            ("title", Mute),
            ("tr", TablePart),
            ("tt", Inline),
            ("u", Inline),
            ("ul", Block),
            ("var", Inline),
            ("wbr", Void),
            ("xmp", Mute),
        ]
    };
    if name.len() > 10 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let at = ELEMENTS.binary_search_by(|(known, _)| (*known).cmp(name.as_str())).ok()?;
    Some(ELEMENTS[at])
}

/// Splits raw HTML into tokens, in one pass over `html` whatever it holds.
///
/// Comments, declarations and processing instructions disappear. A tag that never ends is text,
/// as it is while somebody types it.
pub(super) fn tokens(html: &str) -> Tokens<'_> {
    Tokens { html, at: 0, broken: false }
}

/// Iterator of [`tokens`].
pub(super) struct Tokens<'a> {
    html: &'a str,
    at: usize,
    /// A tag ran to the end of the input: no later one is tried, or this would be quadratic.
    broken: bool,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.html.as_bytes();
        loop {
            let start = self.at;
            if start >= bytes.len() {
                return None;
            }
            if self.broken || bytes[start] != b'<' {
                let end = match self.html[start..].find('<') {
                    Some(offset) if !self.broken => start + offset,
                    _ => bytes.len(),
                };
                self.at = end;
                return Some(Token::Text(&self.html[start..end]));
            }
            match bytes.get(start + 1) {
                Some(b'!' | b'?') => self.at = self.comment_end(start),
                Some(b'/') if bytes.get(start + 2).is_some_and(u8::is_ascii_alphabetic) => {
                    let name_end = name_end(bytes, start + 2);
                    if let Some(end) = find(bytes, b'>', name_end) {
                        self.at = end + 1;
                        return Some(Token::Close { name: &self.html[start + 2..name_end] });
                    }
                    self.broken = true;
                }
                Some(byte) if byte.is_ascii_alphabetic() => {
                    let name_end = name_end(bytes, start + 1);
                    if let Some((attributes, end)) = attributes(self.html, name_end) {
                        self.at = end;
                        return Some(Token::Open {
                            name: &self.html[start + 1..name_end],
                            attributes,
                        });
                    }
                    self.broken = true;
                }
                _ => {
                    self.at = start + 1;
                    return Some(Token::Text("<"));
                }
            }
        }
    }
}

impl Tokens<'_> {
    /// Past a comment, a declaration or a processing instruction; one without an end goes on to
    /// the end of the input, as in browsers.
    fn comment_end(&self, start: usize) -> usize {
        let rest = &self.html[start..];
        let end = if let Some(body) = rest.strip_prefix("<!--") {
            if body.starts_with('>') {
                Some(5)
            } else if body.starts_with("->") {
                Some(6)
            } else {
                let end = body.find("-->").map(|at| 4 + at + 3);
                end.or_else(|| body.find("--!>").map(|at| 4 + at + 4))
            }
        } else if rest.starts_with("<![CDATA[") {
            rest.find("]]>").map(|at| at + 3)
        } else {
            rest.find('>').map(|at| at + 1)
        };
        start + end.unwrap_or(rest.len())
    }
}

fn name_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'>')) {
        at += 1;
    }
    at
}

fn find(bytes: &[u8], byte: u8, from: usize) -> Option<usize> {
    bytes.get(from..)?.iter().position(|b| *b == byte).map(|at| from + at)
}

/// Attributes from `at` on, and the place after the closing `>`; `None` when it never comes.
fn attributes(html: &str, mut at: usize) -> Option<(Vec<(&str, &str)>, usize)> {
    let bytes = html.as_bytes();
    let mut list = Vec::new();
    loop {
        while bytes.get(at).is_some_and(|b| b.is_ascii_whitespace() || *b == b'/') {
            at += 1;
        }
        if *bytes.get(at)? == b'>' {
            return Some((list, at + 1));
        }
        let name_start = at;
        at += 1;
        while bytes
            .get(at)
            .is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'>' | b'='))
        {
            at += 1;
        }
        let name = html.get(name_start..at)?;
        let mut look = at;
        while bytes.get(look).is_some_and(u8::is_ascii_whitespace) {
            look += 1;
        }
        let mut value = "";
        if bytes.get(look) == Some(&b'=') {
            at = look + 1;
            while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            match *bytes.get(at)? {
                quote @ (b'"' | b'\'') => {
                    let end = find(bytes, quote, at + 1)?;
                    value = html.get(at + 1..end)?;
                    at = end + 1;
                }
                b'>' => {}
                _ => {
                    let start = at;
                    while bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace() && *b != b'>') {
                        at += 1;
                    }
                    value = html.get(start..at)?;
                }
            }
        }
        if list.len() < MAX_ATTRIBUTES {
            list.push((name, value));
        }
    }
}

/// Elements opened and not closed by `html`, and those it closes that it did not open, in order.
/// This finds `<details>` and its `</details>` when Markdown stands between them.
pub(super) fn balance(html: &str, open: &mut Vec<&'static str>, closed: &mut Vec<&'static str>) {
    let mut mute: Option<&'static str> = None;
    for token in tokens(html) {
        match token {
            Token::Text(_) => {}
            Token::Open { name, .. } => match element(name) {
                Some((name, Kind::Mute)) if mute.is_none() => mute = Some(name),
                Some((name, Kind::Block)) if mute.is_none() => open.push(name),
                _ => {}
            },
            Token::Close { name } => match element(name) {
                Some((name, Kind::Mute)) if mute == Some(name) => mute = None,
                Some((name, Kind::Block)) if mute.is_none() => {
                    match open.iter().rposition(|other| *other == name) {
                        Some(at) => open.truncate(at),
                        None => closed.push(name),
                    }
                }
                _ => {}
            },
        }
        // Deeper than anything that will be rendered: no use in following it.
        if open.len() > 64 || closed.len() > 64 {
            open.clear();
            closed.clear();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &str) {
        let shown: Vec<String> = tokens(html)
            .map(|token| match token {
                Token::Text(text) => format!("[{text}]"),
                Token::Open { name, attributes } => format!("<{name} {attributes:?}>"),
                Token::Close { name } => format!("</{name}>"),
            })
            .collect();
        assert_eq!(shown.concat(), expected, "{html:?}");
    }

    #[test]
    fn tags_are_read_as_browsers_read_them() {
        check("a<b>c</b >d", "[a]<b []>[c]</b>[d]");
        check("<a href='x>y' b=c/d e>", r#"<a [("href", "x>y"), ("b", "c/d"), ("e", "")]>"#);
        check("<img/src=x/onerror=y>", r#"<img [("src", "x/onerror=y")]>"#);
        check("<!-- <b> -->x<!doctype html><?php ?>", "[x]");
        check("<!-->x<!--->y<!-- z", "[x][y]");
        check("1 < 2 <div cla", "[1 ][<][ 2 ][<div cla]");
        check(
            "<a b=\"c <a d=\"",
            r#"<a b="c "#.replace(r#"<a b="c "#, "[<a b=\"c <a d=\"]").as_str(),
        );
    }

    #[test]
    fn the_element_table_is_sorted() {
        for name in ["a", "wbr", "xmp", "h3", "details", "DIV", "td"] {
            assert!(element(name).is_some(), "{name}");
        }
        assert_eq!(element("form"), None);
    }
}
