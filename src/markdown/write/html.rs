//! Tags that people wrote, written again in a plain form.
//!
//! What a browser would close by itself is closed here first (a paragraph before a block, a cell
//! before the next), so that its tree is the one this writer counts on: no formatting is ever
//! opened again behind its back, and depth is what [`super::MAX_DEPTH`] says.

use std::fmt::Write as _;

use super::super::clean::CLASSES;
use super::super::raw::{self, Kind, Token};
use super::super::url::{EXTERNAL_REL, Target, classify};
use super::links::MAX_ATTRIBUTE;
use super::{MAX_DEPTH, Open, SPARE, Writer};

impl Writer<'_, '_> {
    /// Writes raw HTML again: known elements, nested properly, closed where their container ends.
    pub(super) fn html(&mut self, html: &str) {
        for token in raw::tokens(html) {
            match token {
                Token::Text(text) => {
                    if self.mute.is_none() {
                        // Entities stay entities; only what could be taken for a tag is escaped.
                        push_replaced(&mut self.out, text, &[('<', "&lt;"), ('>', "&gt;")]);
                    }
                }
                Token::Open { name, attributes } => self.raw_open(name, &attributes),
                Token::Close { name } => self.raw_close(name),
            }
        }
    }

    fn raw_open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        if self.mute.is_some() {
            return;
        }
        let Some((name, kind)) = raw::element(name) else { return };
        match kind {
            Kind::Mute => {
                self.mute = Some((name, self.stack.len()));
                return;
            }
            Kind::TablePart if !self.fit_table_part(name) => return,
            Kind::TablePart => {}
            // Between a table's cells nothing but its parts has a place.
            _ if self.stack.last().is_some_and(|open| is_table_frame(open.name)) => return,
            Kind::Block | Kind::Rule if !self.fit_block(name) => return,
            Kind::Inline if name == "a" && !self.fit("a", &["td", "th", "caption"]) => return,
            _ => {}
        }
        if name == "tr" && self.stack.last().is_some_and(|open| open.name == "table") {
            // The parser would add it unseen, and one level of depth with it.
            self.out.push_str("<tbody>");
            self.stack.push(Open { name: "tbody", raw: true });
        }
        if name == "img" {
            return self.raw_image(attributes);
        }
        let void = matches!(kind, Kind::Void | Kind::Rule) || name == "col";
        if !void && self.stack.len() + SPARE >= MAX_DEPTH {
            return;
        }
        self.out.push('<');
        self.out.push_str(name);
        self.raw_attributes(attributes);
        if name == "a" {
            let _ = write!(self.out, " rel=\"{EXTERNAL_REL}\"");
        }
        self.out.push('>');
        if !void {
            self.stack.push(Open { name, raw: true });
        }
    }

    fn raw_attributes(&mut self, attributes: &[(&str, &str)]) {
        for (index, (name, value)) in attributes.iter().enumerate() {
            let plain = name.len() <= 16
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && name.starts_with(|c: char| c.is_ascii_alphabetic());
            let again =
                attributes[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            if !plain || again || value.len() > MAX_ATTRIBUTE || name.eq_ignore_ascii_case("rel") {
                continue;
            }
            if name.eq_ignore_ascii_case("class") && !has_own_class(value) {
                continue;
            }
            let _ = write!(self.out, " {}=\"", name.to_ascii_lowercase());
            push_replaced(&mut self.out, value, &[('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;")]);
            self.out.push('"');
        }
    }

    fn raw_image(&mut self, attributes: &[(&str, &str)]) {
        let value = |wanted: &str| {
            let found = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map_or("", |(_, value)| *value)
        };
        let url = value("src").replace("&amp;", "&");
        match classify(&url) {
            Target::Internal(url) if !url.is_empty() => {
                self.out.push_str("<img");
                self.raw_attributes(attributes);
                self.out.push('>');
            }
            target => self.external_image(&target, value("alt")),
        }
    }

    fn raw_close(&mut self, name: &str) {
        let Some((name, kind)) = raw::element(name) else { return };
        if let Some((muted, _)) = self.mute {
            if muted == name {
                self.mute = None;
            }
            return;
        }
        for at in (0..self.stack.len()).rev() {
            let open = &self.stack[at];
            if !open.raw {
                return;
            }
            if open.name == name {
                return self.close_to(at);
            }
            if kind != Kind::TablePart && name != "table" && is_cell(open.name) {
                return;
            }
        }
    }

    /// Makes room for a block: ends what a browser would end. False if there is no room.
    fn fit_block(&mut self, name: &'static str) -> bool {
        if !self.fit("p", &["td", "th", "caption"]) {
            return false;
        }
        match name {
            "li" => self.has_near(&["ul", "ol"], "li") && self.fit("li", &["ul", "ol"]),
            "dt" | "dd" => {
                self.has_near(&["dl"], "")
                    && self.fit("dt", &["dl", "div"])
                    && self.fit("dd", &["dl", "div"])
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => ["h1", "h2", "h3", "h4", "h5", "h6"]
                .into_iter()
                .all(|heading| self.fit(heading, &["td", "th", "caption"])),
            _ => !self.stack.iter().any(|open| {
                !open.raw && matches!(open.name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
            }),
        }
    }

    /// Closes an open `name`, looking no further than a `limit`. False if it is Markdown's own,
    /// which no tag may close.
    fn fit(&mut self, name: &str, limits: &[&str]) -> bool {
        for at in (0..self.stack.len()).rev() {
            let open = &self.stack[at];
            if open.name == name {
                if open.raw && self.stack[at..].iter().all(|open| open.raw) {
                    self.close_to(at);
                    return true;
                }
                return false;
            }
            if limits.contains(&open.name) {
                return true;
            }
        }
        true
    }

    /// Whether one of `names` is open and nearer than Markdown's own `stop`.
    fn has_near(&self, names: &[&str], stop: &str) -> bool {
        for open in self.stack.iter().rev() {
            if names.contains(&open.name) {
                return open.raw;
            }
            if open.name == stop && !open.raw {
                return false;
            }
        }
        false
    }

    /// Goes up to the part of a table that may hold a `name`. False if there is none.
    fn fit_table_part(&mut self, name: &str) -> bool {
        let parents: &[&str] = match name {
            "td" | "th" => &["tr"],
            "tr" => &["tbody", "thead", "tfoot", "table"],
            "col" => &["colgroup", "table"],
            _ => &["table"],
        };
        for at in (0..self.stack.len()).rev() {
            let open = &self.stack[at];
            if !open.raw {
                return false;
            }
            if parents.contains(&open.name) {
                self.close_to(at + 1);
                return true;
            }
            if open.name == "table" {
                return false;
            }
        }
        false
    }
}

/// Whether one of the renderer's own classes is among those of a tag that somebody wrote.
fn has_own_class(value: &str) -> bool {
    let own = |class| CLASSES.iter().any(|(_, names)| names.contains(&class));
    value.split_ascii_whitespace().any(own)
}

fn is_cell(name: &str) -> bool {
    matches!(name, "td" | "th" | "caption")
}

fn is_table_frame(name: &str) -> bool {
    matches!(name, "table" | "thead" | "tbody" | "tfoot" | "tr" | "colgroup")
}

/// Writes `text` with some characters replaced.
fn push_replaced(out: &mut String, text: &str, replacements: &[(char, &str)]) {
    for c in text.chars() {
        match replacements.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
    }
}
