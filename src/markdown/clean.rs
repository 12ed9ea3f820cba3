//! The last step: an allow-list over the finished HTML of a block.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

use super::url::{EXTERNAL_REL, ID_PREFIX, Target, classify};

/// Elements that page content may consist of. No scripts, styles, frames, forms, SVG or MathML.
#[rustfmt::skip]
const TAGS: &[&str] = &[
    "a", "abbr", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption", "center",
    "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em",
    "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i",
    "img", "input", "ins", "kbd", "li", "mark", "nav", "ol", "p", "pre", "q", "rp", "rt", "ruby",
    "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table",
    "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
];

/// Classes that the renderer itself gives. Any other class is removed.
#[rustfmt::skip]
pub(super) const CLASSES: &[(&str, &[&str])] = &[
    ("a", &["wikilink", "missing", "anchor", "footnote-back", "external-image"]),
    ("span", &[
        "external-image", "footnote-number", "hl-attribute", "hl-comment", "hl-constant",
        "hl-deleted", "hl-function", "hl-heading", "hl-inserted", "hl-keyword", "hl-number",
        "hl-punctuation", "hl-string", "hl-tag", "hl-type", "hl-variable",
    ]),
    ("div", &["alert", "alert-note", "alert-tip", "alert-important", "alert-warning", "alert-caution",
        "footnote", "table-wrap"]),
    ("p", &["alert-title"]),
    ("sup", &["footnote-ref"]),
    ("li", &["task", "done"]),
    ("pre", &["code", "source"]),
    ("th", &["align-left", "align-center", "align-right"]),
    ("td", &["align-left", "align-center", "align-right"]),
    ("details", &["front-matter"]),
];

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let attributes: HashMap<&str, HashSet<&str>> = [
        ("a", &["href", "rel", "aria-label"][..]),
        ("bdo", &[]),
        ("blockquote", &["cite"]),
        ("col", &["align", "span"]),
        ("colgroup", &["align", "span"]),
        ("del", &["cite", "datetime"]),
        ("ins", &["cite", "datetime"]),
        ("details", &["open"]),
        ("div", &["align"]),
        ("p", &["align"]),
        ("h1", &["align"]),
        ("h2", &["align"]),
        ("h3", &["align"]),
        ("h4", &["align"]),
        ("h5", &["align"]),
        ("h6", &["align"]),
        ("img", &["align", "alt", "height", "src", "width"]),
        ("input", &["type", "disabled", "checked", "data-task", "aria-label"]),
        ("li", &["value"]),
        ("ol", &["start", "reversed", "type"]),
        ("pre", &["data-language"]),
        ("q", &["cite"]),
        ("table", &["align"]),
        ("td", &["align", "colspan", "rowspan"]),
        ("th", &["align", "colspan", "rowspan", "scope"]),
        ("time", &["datetime"]),
        ("tr", &["align"]),
    ]
    .into_iter()
    .map(|(tag, names)| (tag, names.iter().copied().collect()))
    .collect();
    let mut builder = Builder::default();
    builder
        .tags(TAGS.iter().copied().collect())
        .clean_content_tags(
            ["script", "style", "svg", "math", "iframe", "object", "template", "noscript"].into(),
        )
        .generic_attributes(["lang", "title", "dir", "id"].into())
        .tag_attributes(attributes)
        .allowed_classes(
            CLASSES.iter().map(|(tag, names)| (*tag, names.iter().copied().collect())).collect(),
        )
        .url_schemes(["http", "https", "mailto"].into())
        .link_rel(None)
        .id_prefix(Some(ID_PREFIX))
        .set_tag_attribute_value("input", "type", "checkbox")
        .set_tag_attribute_value("input", "disabled", "")
        .attribute_filter(filter);
    builder
});

/// Narrows values that are allowed by name.
fn filter<'v>(tag: &str, name: &str, value: &'v str) -> Option<Cow<'v, str>> {
    match (tag, name) {
        ("img", "src") => match classify(value) {
            Target::Internal(url) if !url.starts_with('#') => Some(keep(value, url)),
            _ => None,
        },
        (_, "href" | "cite") => match classify(value) {
            Target::Internal(url) | Target::External(url) => Some(keep(value, url)),
            Target::Refused => None,
        },
        (_, "rel") => Some(EXTERNAL_REL.into()),
        (_, "dir") => ["ltr", "rtl", "auto"].contains(&value).then(|| value.into()),
        (_, "data-task" | "width" | "height" | "colspan" | "rowspan" | "span" | "start") => {
            let digits = value.strip_suffix('%').filter(|_| tag == "img").unwrap_or(value);
            let number = digits.parse::<u32>().is_ok_and(|n| n <= 1_000_000 || name == "start");
            // A cell over thousands of rows and columns costs browsers seconds of layout.
            let small = !matches!(name, "colspan" | "rowspan" | "span") || value.len() <= 2;
            (number && small && digits.bytes().all(|b| b.is_ascii_digit())).then(|| value.into())
        }
        _ => Some(value.into()),
    }
}

fn keep(value: &str, url: String) -> Cow<'_, str> {
    if value == url { Cow::Borrowed(value) } else { Cow::Owned(url) }
}

/// Sanitises a fragment. What comes out is complete in itself: every element is closed.
pub(super) fn clean(html: &str) -> String {
    CLEANER.clean(html).to_string()
}

/// Sanitises a fragment that people wrote tags in, until sanitising changes nothing more.
///
/// A fragment that reads differently each time it is parsed is how filters are fooled (mutation
/// XSS), so one that does not settle is refused (`None`).
pub(super) fn clean_until_stable(html: &str) -> Option<String> {
    let mut last = clean(html);
    for _ in 0..4 {
        let next = clean(&last);
        if next == last {
            return Some(last);
        }
        last = next;
    }
    None
}
