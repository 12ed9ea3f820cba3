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

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(builder);

/// Classes of elements that stand on one side of a comparison only.
const COMPARED: [&str; 2] = ["diff-gone", "diff-came"];

/// For [`clean_compared`].
static COMPARED_CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = builder();
    builder.rm_generic_attributes(["id"]).rm_tag_attributes("input", ["data-task"]);
    for tag in TAGS {
        builder.add_allowed_classes(*tag, COMPARED);
    }
    builder
});

fn builder() -> Builder<'static> {
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
}

/// Longest value of an attribute, in bytes.
const MAX_VALUE: usize = 8 * 1024;

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
    .filter(|value| value.len() <= MAX_VALUE)
}

fn keep(value: &str, url: String) -> Cow<'_, str> {
    if value == url { Cow::Borrowed(value) } else { Cow::Owned(url) }
}

/// Longest run of text that goes to the serialiser as one, once there is `&` or the like in it.
const TEXT_RUN: usize = 2_048;

/// Sanitises a fragment. What comes out is complete in itself: every element is closed.
pub(super) fn clean(html: &str) -> String {
    CLEANER.clean(&split_texts(html)).to_string()
}

/// Sanitises a block of a comparison: like a page's, without ids and what else means something to
/// scripts, and with the classes of what is gone and what came.
pub(super) fn clean_compared(html: &str) -> String {
    COMPARED_CLEANER.clean(&split_texts(html)).to_string()
}

/// Breaks long texts by empty comments, which the sanitiser takes out again.
///
/// html5ever 0.40 looks from each `&` (and each character from U+0080 to U+00BF) to the end of its
/// text for the next `<` (`serialize/mod.rs`, `write_escaped`), so that a text of n bytes with many
/// of them costs n²: 32 s for 1 MiB. In HTML as it is written here, `<` and `>` stand only around
/// tags.
fn split_texts(html: &str) -> Cow<'_, str> {
    let bytes = html.as_bytes();
    // Most blocks are short or have neither.
    if bytes.len() <= TEXT_RUN || !(bytes.contains(&b'&') || bytes.contains(&0xC2)) {
        return Cow::Borrowed(html);
    }
    let mut split = String::new();
    let (mut done, mut since) = (0, 0);
    let mut in_tag = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' => in_tag = true,
            b'>' => {
                in_tag = false;
                since = at;
            }
            b'&' | 0xC2 if !in_tag && at - since > TEXT_RUN => {
                split.push_str(&html[done..at]);
                split.push_str("<!---->");
                (done, since) = (at, at);
            }
            _ => {}
        }
    }
    if done == 0 {
        return Cow::Borrowed(html);
    }
    split.push_str(&html[done..]);
    Cow::Owned(split)
}

/// Sanitises a fragment that people wrote tags in, until sanitising changes nothing more.
///
/// A fragment that reads differently each time it is parsed is how filters are fooled (mutation
/// XSS), so one that does not settle is refused (`None`).
pub(super) fn clean_until_stable(html: &str) -> Option<String> {
    let mut last = Cow::Borrowed(html);
    for _ in 0..5 {
        let next = clean(&last);
        if next == last {
            return Some(next);
        }
        last = Cow::Owned(next);
    }
    None
}
