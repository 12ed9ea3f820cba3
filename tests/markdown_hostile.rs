//! Safety: whatever a page says, what it renders to is inert.
//!
//! Every result is parsed once more by html5ever, with a sanitiser that lets everything harmless
//! through that the renderer may write, and must come back unchanged: nothing in it is read
//! differently the second time, and nothing in it is forbidden.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::Builder;
use halley::diff::rendered::{self, Layout, Row, Side};
use halley::markdown::{Block, Renderer};

/// An independent statement of what a page may hold.
static JUDGE: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut judge = Builder::default();
    #[rustfmt::skip]
    let tags = [
        "a", "abbr", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption", "center",
        "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em",
        "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i",
        "img", "input", "ins", "kbd", "li", "mark", "nav", "ol", "p", "pre", "q", "rp", "rt", "ruby",
        "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table",
        "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
    ];
    #[rustfmt::skip]
    let attributes = [
        "align", "alt", "aria-label", "checked", "cite", "class", "colspan", "data-language",
        "data-task", "datetime", "dir", "disabled", "height", "href", "id", "lang", "open", "rel",
        "reversed", "rowspan", "scope", "span", "src", "start", "title", "type", "value", "width",
    ];
    judge
        .tags(HashSet::from(tags))
        .clean_content_tags(HashSet::new())
        .tag_attributes(Default::default())
        .generic_attributes(HashSet::from(attributes))
        .url_schemes(["http", "https", "mailto"].into())
        .link_rel(None)
        .attribute_filter(|tag, name, value| {
            let low = value.to_lowercase();
            let harmless = match name {
                "id" => value.starts_with("user-"),
                "src" => {
                    let head = low.split(['/', '?', '#']).next().unwrap_or_default();
                    tag == "img" && !head.contains(':') && !low.starts_with("//")
                }
                "type" => tag != "input" || value == "checkbox",
                "class" => !value.contains("block") && !value.contains("site-header"),
                _ => true,
            };
            harmless.then(|| value.into())
        });
    judge
});

/// Judges HTML that is shown as a whole.
fn judge(html: &str, shown: &str) {
    // The one known cost of the serialiser is not this test's business.
    if html.len() < 200_000 {
        assert_eq!(JUDGE.clean(html).to_string(), html, "{shown:?}");
    }
    assert!(depth(html) <= 100, "{shown:?}");
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default().to_lowercase();
        let name = tag.trim_start_matches('/');
        for bad in [
            "script", "style", "iframe", "svg", "math", "form", "base", "meta", "link", "object",
            "embed", "textarea", "select", "button", "video", "audio",
        ] {
            assert!(!name.starts_with(&format!("{bad} ")) && name != bad, "{shown:?}: {tag}");
        }
        if name.starts_with("input") {
            assert!(tag.contains("type=\"checkbox\"") && tag.contains("disabled"), "{tag}");
        }
    }
}

/// Renders and judges, also compared with what the text could have been before; answers the HTML of
/// all blocks.
fn check(text: &str) -> String {
    let page = Renderer::default().render(text, &|_| true);
    let shown: String = text.chars().take(120).collect();
    for block in &page.blocks {
        judge(&block.html, &shown);
    }
    if text.len() < 20_000 {
        check_compared(text, &page.blocks, &shown);
    }
    let lines: usize = page.blocks.iter().map(|block| block.lines).sum();
    if !page.blocks.is_empty() {
        assert_eq!(lines, text.lines().count(), "{shown:?}");
    }
    page.blocks.iter().map(|block| &*block.html).collect()
}

/// Compares with texts that have much, little and nothing in common with this one, and judges what
/// a comparison shows: no more than a page may hold, and nothing that belongs to a page alone.
fn check_compared(text: &str, blocks: &[Block], shown: &str) {
    let more = format!("{text} more\n");
    let words = text.replace(' ', " other ");
    let tags = text.replacen("alert", "<b>ALERT", 1).replacen("<p", "<p title=\"<x\"", 1);
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    let lines = text.lines().rev().collect::<Vec<_>>().join("\n");
    for other in [&more, &words, &tags, &half, &lines, "Words.\n"] {
        let before = Renderer::default().render(other, &|_| false).blocks;
        let was = Side { text: other, blocks: &before };
        let is = Side { text, blocks };
        for (old, new) in [(was, is), (is, was)] {
            for layout in [Layout::Merged, Layout::SideBySide] {
                for row in rendered::compare(old, new, layout).rows {
                    let (html, before) = match row {
                        Row::Changed { html, before } => (html, before.unwrap_or_default()),
                        Row::Same { html } | Row::Gone { html, .. } | Row::Came { html, .. } => {
                            (html, String::new())
                        }
                        Row::Skipped(_) => continue,
                    };
                    for html in [html, before] {
                        judge(&html, shown);
                        for bad in [" id=\"", " data-task=\""] {
                            assert!(!html.contains(bad), "{bad} in {html}");
                        }
                    }
                }
            }
        }
    }
}

/// How deep elements nest in HTML that a serialiser wrote.
fn depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        let name = tag.split(['>', ' ']).next().unwrap_or_default();
        if name.starts_with('/') {
            depth -= 1;
        } else if !["br", "hr", "img", "input", "wbr", "col"].contains(&name) {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    assert_eq!(depth, 0, "every element is closed in its block");
    deepest
}

#[test]
fn nothing_that_could_run_survives() {
    let attacks = [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "a <script>alert(1)</script> b",
        "<img src=x onerror=alert(1)>",
        "<img src=\"x\" onerror=\"alert(1)\" / / onload=alert(1)>",
        "<a href=x onclick=alert(1) ONMOUSEOVER='alert(1)'>x</a>",
        "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<math href='javascript:alert(1)'>x</math>",
        "<style>body{display:none}</style>",
        "<p style='position:fixed;inset:0'>x</p>",
        "<base href='https://evil.example/'>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>",
        "<link rel=stylesheet href=//evil.example/x.css>",
        "<form action=//evil.example><input name=x><button>go</button></form>",
        "<input type=image src=x onerror=alert(1)><input type=text autofocus>",
        "<iframe src='javascript:alert(1)'></iframe><iframe srcdoc='<script>alert(1)</script>'>",
        "<object data='data:text/html,x'></object><embed src=x>",
        "<video><source onerror=alert(1)></video><audio src=x onerror=alert(1)>",
        "<details ontoggle=alert(1) open><summary>x</summary></details>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
        "<template><script>alert(1)</script></template>",
        "<textarea><img src=x onerror=alert(1)></textarea>",
        "<title><img src=x onerror=alert(1)></title>",
        "<xmp><img src=x onerror=alert(1)></xmp>",
        "<plaintext><img src=x onerror=alert(1)>",
        "<a id=page name=body class='site-header block' href=#x>x</a>",
        "<img name=cookie id=defaultView src=x>",
        "<!--><img src=x onerror=alert(1)>-->",
        "<![CDATA[<img src=x onerror=alert(1)>]]>",
        "<?php <img src=x onerror=alert(1)> ?>",
        "<a\u{0}href='javascript:alert(1)'>x</a>",
        "<a/href='javascript:alert(1)'>x</a>",
        "<x onclick=alert(1)>x</x>",
        "<table background='javascript:alert(1)'><tr><td background=x>x",
        "<img srcset='https://evil.example/x 1x' src=/x>",
        "<q cite='javascript:alert(1)'>x</q>",
        "<table><a href=x><form><tr><input type=hidden><td>x</table>",
        "<p><div><p></b></p></div><b><p>x</b></p>",
        "<pre>\n\n\nx</pre>",
        "<ruby>x<rt>y<rp>z<rt></ruby>",
        "<select><option><img src=x onerror=alert(1)>",
        "<li><dd><dt><td><tr><tbody><caption>",
        "<h1><h2>x</h1></h2>",
        "<a href=a><a href=b>x</a></a>",
        "<nobr><nobr><b><i></nobr>",
        "```\"><script>\n</code><script>alert(1)</script>\n```",
        "```<img/src=x/onerror=alert(1)>\nx\n```",
        "# <img src=x onerror=alert(1)> \" onclick=\"alert(1)",
        "[x](y \"\\\" onclick=\\\"alert(1)\")",
        "[x](<y\" onclick=\"alert(1)>)",
        "![\" onerror=\"alert(1)](/x \"\\\" onerror=\\\"alert(1)\")",
        "[[x\" onclick=\"alert(1)]] [[a|<img src=x onerror=alert(1)>]] [[Home#\" onclick=\"x]]",
        "[^<script>]\n\n[^<script>]: <script>alert(1)</script>",
        "- [x] <input name=y>\n- [ ] <b>",
        "---\n</code></pre><script>alert(1)</script>\n---\n",
        "https://evil.example/\"onclick=alert(1) www.x.y/<script> mailto:a@b\"><b>",
        "\u{202e}gpj.exe\u{202c} <bdo dir=rtl>x</bdo> <p dir='rtl\" onclick=\"x'>y</p>",
        "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
        "| <script> | `|` |\n|---|:-:|\n| <td onclick=x> | </table><script>alert(1)</script> |",
        "> <div>\n> <p>\n\n</div></blockquote></div></article>",
        "</div></article><script>",
    ];
    for attack in attacks {
        for text in [
            attack.to_owned(),
            format!("before {attack} after"),
            format!("> - {attack}\n>\n>   more"),
            format!("<div>\n{attack}\n</div>"),
            format!("<details>\n\n{attack}\n\n</details>\n"),
            format!("<b><table><tr><td>{attack}"),
        ] {
            let html = check(&text).to_lowercase();
            let tags: String =
                html.split('<').skip(1).filter_map(|part| part.split('>').next()).collect();
            let unquoted: String = tags.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            assert!(!unquoted.contains(" on"), "{text:?}: {html}");
            assert!(
                !unquoted.contains("style=") && !unquoted.contains("name="),
                "{text:?}: {html}"
            );
        }
    }
}

#[test]
fn no_link_leads_to_a_scheme_that_runs() {
    let schemes = [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "\u{1}javascript:alert(1)",
        "java\tscript:alert(1)",
        "java&#10;script:alert(1)",
        "&#106;avascript:alert(1)",
        "&#x6A;avascript:alert(1)",
        "&#0000106avascript:alert(1)",
        "javascript&colon;alert(1)",
        "java&Tab;script:alert(1)",
        "java&NewLine;script:alert(1)",
        "javascript\u{0}:alert(1)",
        "\u{a0}javascript:alert(1)",
        "javascript://%0aalert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "DATA:image/svg+xml,<svg onload=alert(1)>",
        "file:///etc/passwd",
        "blob:https://x/y",
        "view-source:x",
        "about:blank",
        "ftp://x",
        "intent:x",
        "jav\\ascript:alert(1)",
        "x:y",
    ];
    for scheme in schemes {
        for text in [
            format!("[x]({scheme})"),
            format!("[x](<{scheme}>)"),
            format!("<{scheme}>"),
            format!("[x]\n\n[x]: {scheme}"),
            format!("[x]\n\n[x]: <{scheme}>"),
            format!("![x]({scheme})"),
            format!("![x](<{scheme}>)"),
            format!("<a href=\"{scheme}\">x</a>"),
            format!("<a href='{scheme}'>x</a>"),
            format!("<a href={scheme}>x</a>"),
            format!("<img src=\"{scheme}\">"),
            format!("<img src={scheme}>"),
            format!("<q cite=\"{scheme}\">x</q>"),
            format!("[[{scheme}]]"),
        ] {
            let html = check(&text);
            for part in html.split(['"']).filter(|part| part.contains(':')) {
                let value = part.trim_start().to_lowercase();
                let head = value.split(['/', '?', '#', ' ', '<']).next().unwrap_or_default();
                let bad = [
                    "javascript:",
                    "vbscript:",
                    "data:",
                    "file:",
                    "blob:",
                    "about:",
                    "ftp:",
                    "intent:",
                    "x:",
                ];
                let attribute = html.contains(&format!("href=\"{part}\""))
                    || html.contains(&format!("src=\"{part}\""));
                assert!(
                    !attribute || !bad.iter().any(|bad| head.starts_with(bad)),
                    "{text:?}: {html}"
                );
            }
        }
    }
}

#[test]
fn a_block_left_open_does_not_swallow_the_next() {
    for open in [
        "<div>",
        "<b>",
        "<table><tr><td>",
        "<!-- ",
        "<details><summary>",
        "<svg>",
        "<a href=x>",
        "<div class=\"",
        "<ul><li>",
        "<pre>",
        "<select>",
        "<plaintext>",
        "<math>",
    ] {
        let page = Renderer::default().render(&format!("{open}\n\nnext\n\n# last"), &|_| true);
        let last = page.blocks.last().expect("there are blocks");
        if !["<!-- ", "<pre>"].contains(&open) {
            assert!(last.html.starts_with("<h1"), "{open}: {}", last.html);
        }
        check(&format!("{open}\n\nnext\n\n# last"));
    }
}

#[test]
fn depth_is_cut_before_it_costs() {
    for text in [
        "> ".repeat(20_000) + "x",
        ">".repeat(20_000),
        "<div>".repeat(48_000),
        "<div>\n\n".repeat(5_000),
        "<b>".repeat(48_000) + "x",
        "- ".repeat(5_000) + "x",
        "*".repeat(10_000) + "x" + &"*".repeat(10_000),
        "[".repeat(1 << 20),
        "![".repeat(10_000) + "x" + &"](y)".repeat(10_000),
        "<ul><li>".repeat(10_000),
        "<table><tr><td>".repeat(10_000),
        "> <div>".repeat(5_000),
        (0..400).map(|i| " ".repeat(2 * i) + "- a\n").collect::<String>(),
    ] {
        check(&text);
    }
}

#[test]
fn sources_of_nothing_render_to_nothing() {
    for text in ["", "\n", "\n\n \n", "[a]: b\n", "\r\r", "\u{feff}"] {
        let page = Renderer::default().render(text, &|_| true);
        assert!(page.blocks.len() <= 1, "{text:?}");
        assert_eq!(page.title, None);
    }
}
