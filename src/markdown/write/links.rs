//! Links and images of a block.

use std::fmt::Write as _;

use pulldown_cmark::{LinkType, Tag};

use super::{INVALID, Writer};
use crate::markdown::collect::Piece;
use crate::markdown::context::WikiLink;
use crate::markdown::url::{EXTERNAL_REL, ID_PREFIX, Target, classify, push_escaped, push_href};

/// Longest title or description, in bytes.
pub(super) const MAX_ATTRIBUTE: usize = 1_000;

impl Writer<'_, '_> {
    pub(super) fn link(&mut self, link_type: LinkType, url: &str, title: &str) {
        if self.within("a") {
            return;
        }
        let target = match link_type {
            LinkType::Email => Target::External(format!("mailto:{url}")),
            _ => classify(url),
        };
        if let Some(attributes) = link_attributes(&target, title) {
            self.open("a", &attributes);
        }
    }

    pub(super) fn wikilink(&mut self, has_label: bool, name: &str) {
        let link = self.decisions.wikilinks.get(self.next_wikilink);
        self.next_wikilink += 1;
        match link {
            Some(link) if !matches!(link, WikiLink::Invalid) => {
                if !self.within("a") {
                    let attributes = wikilink_attributes(link);
                    self.open("a", &attributes);
                }
            }
            _ => {
                // Not a page's name: what was written is shown as it was written.
                if let Some(frame) = self.frames.last_mut() {
                    *frame = INVALID;
                }
                if self.mute.is_none() {
                    self.out.push_str("[[");
                    if has_label {
                        push_escaped(&mut self.out, name);
                        self.out.push('|');
                    }
                }
            }
        }
    }

    pub(super) fn image(
        &mut self,
        link_type: LinkType,
        url: &str,
        title: &str,
        content: std::ops::Range<usize>,
    ) {
        let wikilink = matches!(link_type, LinkType::WikiLink { .. }).then(|| {
            self.next_wikilink += 1;
            self.decisions.wikilinks.get(self.next_wikilink - 1)
        });
        // Links inside the description were decided as well, and are passed over.
        let inner = self.block.pieces.get(content.clone()).unwrap_or_default();
        for piece in inner {
            if let Piece::Start(
                Tag::Link { link_type: LinkType::WikiLink { .. }, .. }
                | Tag::Image { link_type: LinkType::WikiLink { .. }, .. },
            ) = piece
            {
                self.next_wikilink += 1;
            }
        }
        if self.mute.is_some() {
            return;
        }
        let alt = self.plain(content);
        if let Some(link) = wikilink {
            self.frame();
            if let Some(link) = link
                && !matches!(link, WikiLink::Invalid)
                && !self.within("a")
            {
                let attributes = wikilink_attributes(link);
                self.open("a", &attributes);
            }
            push_escaped(&mut self.out, &alt);
            self.end_frame();
            return;
        }
        let target = classify(url);
        match &target {
            Target::Internal(url) if !url.starts_with('#') && !url.is_empty() => {
                self.out.push_str("<img src=\"");
                push_href(&mut self.out, url);
                self.out.push_str("\" alt=\"");
                push_escaped(&mut self.out, short(&alt));
                if !title.is_empty() {
                    self.out.push_str("\" title=\"");
                    push_escaped(&mut self.out, short(title));
                }
                self.out.push_str("\">");
            }
            _ => self.external_image(&target, &alt),
        }
    }

    /// An image from elsewhere is not loaded (that would tell strangers who reads here): a link
    /// to it stands in its place.
    pub(super) fn external_image(&mut self, target: &Target, alt: &str) {
        let alt = if alt.trim().is_empty() { "External image" } else { alt };
        self.frame();
        match link_attributes(target, "External image") {
            Some(attributes) if !self.within("a") => {
                self.open("a", &format!(" class=\"external-image\"{attributes}"));
            }
            _ => self.open("span", " class=\"external-image\""),
        }
        push_escaped(&mut self.out, alt);
        self.end_frame();
    }
}

/// `href`, `title` and `rel` of a link; `None` when it may not be one.
pub(super) fn link_attributes(target: &Target, title: &str) -> Option<String> {
    let mut attributes = " href=\"".to_owned();
    match target {
        Target::Internal(url) => push_href(&mut attributes, url),
        Target::External(url) => {
            push_href(&mut attributes, url);
            let _ = write!(attributes, "\" rel=\"{EXTERNAL_REL}");
        }
        Target::Refused => return None,
    }
    if !title.is_empty() {
        attributes.push_str("\" title=\"");
        push_escaped(&mut attributes, short(title));
    }
    attributes.push('"');
    Some(attributes)
}

fn wikilink_attributes(link: &WikiLink) -> String {
    let (url, slug, title) = match link {
        WikiLink::Invalid => return String::new(),
        WikiLink::Here { slug } => (String::new(), Some(slug), None),
        WikiLink::Page { path, slug, exists } => {
            let title = (!exists).then(|| format!("{path} does not exist yet"));
            (format!("/wiki/{}", path.to_url()), slug.as_ref(), title)
        }
    };
    let missing = if title.is_some() { " missing" } else { "" };
    let mut attributes = format!(" class=\"wikilink{missing}\" href=\"");
    push_href(&mut attributes, &url);
    if let Some(slug) = slug {
        let _ = write!(attributes, "#{ID_PREFIX}");
        push_href(&mut attributes, slug);
    }
    if let Some(title) = title {
        attributes.push_str("\" title=\"");
        push_escaped(&mut attributes, &title);
    }
    attributes.push('"');
    attributes
}

/// The beginning of a text that goes into an attribute.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ATTRIBUTE)]
}
