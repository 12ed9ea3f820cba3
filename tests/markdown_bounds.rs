//! Cost: no source of 1 MiB costs many times what plain text of 1 MiB costs.

use std::sync::LazyLock;
use std::time::Duration;

use halley::markdown::Renderer;
use rustix::time::{ClockId, clock_gettime};

/// Length of each source: 128 KiB, or the limit of a page (1 MiB) with `TEST_LONG=1`.
static SIZE: LazyLock<usize> =
    LazyLock::new(|| if std::env::var_os("TEST_LONG").is_some() { 1 << 20 } else { 1 << 17 });

/// How many times the cost of plain text a source may cost. What is quadratic costs hundreds.
const RATIO: u32 = 6;

/// Colouring code has its own bounds, in time; see `highlight.rs`.
const CODE: Duration = Duration::from_millis(1_500);

fn fill(unit: &str) -> String {
    unit.repeat(*SIZE / unit.len())
}

fn half(first: &str, second: &str) -> String {
    first.repeat(*SIZE / 2 / first.len()) + &second.repeat(*SIZE / 2 / second.len())
}

/// Sources in which parsers and sanitisers are known or suspected to do more than linear work.
fn hostile() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let units = [
        "[",
        "]",
        "[]",
        "[[",
        "]]",
        "[[a]]",
        "[[a",
        "![",
        "![[",
        "[a](",
        "[a](b",
        "[a](<b",
        "[a][",
        "[a]",
        "[^a]",
        "[^a]: b\n",
        "[^a]\n\n[^a]: b\n\n",
        "[a]: b\n",
        "[a]: b '",
        "`",
        "`` ` ",
        "``a",
        "*",
        "**a",
        "*a_ ",
        "_",
        "_a",
        "~",
        "~~a",
        "a**b",
        "***a*",
        "*a **a ",
        "|",
        "|a|b\n",
        "|-",
        "|\n",
        "<",
        "<a",
        "<a ",
        "<a b",
        "<a b=",
        "<a b=\"",
        "<!--",
        "<!-- a -->",
        "<?",
        "<![CDATA[",
        "<!A",
        "</",
        "</a>",
        "<b>",
        "<div>",
        "<div>\n\n",
        "<p>x</p>",
        "<b><p>",
        "<table><tr><td>",
        "<p>x",
        "<a href=x>",
        "<details>\n\n",
        "</details><details>\n\n",
        "<svg>",
        "<script>",
        "<x@y.z>",
        "<http://a>",
        ">",
        "> ",
        "> a\n",
        ">\n\n",
        "- ",
        "- a\n",
        "1. ",
        "1) a\n",
        "+ - * ",
        "* *\n",
        "\t",
        " ",
        "\n",
        "\r",
        "\0",
        "&",
        "&amp;",
        "&#x",
        "\\",
        "\\\n",
        "\\[",
        "# \n",
        "# a\n",
        "a\n=\n",
        "a\n-\n",
        "---\n",
        "```\n",
        "~~~\n\n",
        "```rust\n",
        "    a\n\n",
        "a\n",
        "a\n\n",
        "a  \n",
        "- [ ] a\n",
        "http://",
        "https://a.b ",
        "www.a.",
        "(http://a))",
        "mailto:",
        "h",
        "a@b.c ",
        "> [!NOTE]\n",
        "$",
        "$$",
        "'",
        "\"",
        ":",
        "{",
        "}",
        "^",
        "[a]: <",
        "[a]: b (",
        "[a\\]",
        "![a](b)",
        "[x](y \"",
        "[![a](b)](c) ",
        "\u{202e}",
        "é",
        "日本語 ",
        "𝄞",
        "<br>",
        "<img src=x>",
        "<img>",
        "<li>",
        "<ul><li>",
        "<hr>",
        "a | b\n",
        "|a\n|-\n",
        "\u{a0}",
        "\u{c}",
        "\u{b}",
        "<a><b><i>",
        "</b></i>",
    ];
    for unit in units {
        sources.push((format!("{unit:?}*"), fill(unit)));
        sources.push((format!("({unit:?} newline)*"), fill(&format!("{unit}\n"))));
    }
    let pairs = [
        ("- ", "\n"),
        ("- ", "\na"),
        ("- ", "\n  a"),
        ("> ", "\n"),
        ("> ", "a\n"),
        ("> ", "\n> "),
        ("> - ", "\n\n"),
        ("1. ", "\n\n a"),
        ("[", "]"),
        ("[[", "]]"),
        ("![", "]"),
        ("[", "](a)"),
        ("![[", "]]"),
        ("[^a]", "\n[^a]: b"),
        ("*", "a*"),
        ("*a ", "a* "),
        ("**a ", "_b "),
        ("<div>", "</div>"),
        ("<b>", "<p>"),
        ("<b>", "</b>"),
        ("<div>\n\n", "</div>\n\n"),
        ("[a", "][b]"),
        ("`", "\n`"),
        ("|a", "\n|-|\n|"),
        ("<!-- ", "-->"),
        ("<a b='", "<a b=\""),
        ("(", ")"),
        ("[a](", ")"),
        ("&", ";"),
        ("\\", "["),
        ("\t", "\n"),
        ("<p>", "</p>"),
        ("<details>\n\n", "</details>\n\n"),
        ("- - - - a\n", "\n"),
        ("<script>", "</script>"),
        ("*_", "_*"),
        ("~", "~~"),
    ];
    for (first, second) in pairs {
        sources.push((format!("{first:?}* {second:?}*"), half(first, second)));
    }
    let labels: String = (0..*SIZE / 24).map(|i| format!("[^{i}] [^{i}]: note\n\n")).collect();
    sources.push(("different footnotes, inline".into(), labels));
    let notes: String = (0..*SIZE / 32).map(|i| format!("x[^{i}]\n\n[^{i}]: note\n\n")).collect();
    sources.push(("different footnotes".into(), notes));
    let notes: String = "x[^a] ".repeat(*SIZE / 12) + "\n\n" + &"[^a]: b\n\n".repeat(*SIZE / 18);
    sources.push(("one footnote, many references and definitions".into(), notes));
    let nested: String = (0..1400).map(|i| " ".repeat(i) + "- a\n").collect::<String>();
    sources.push(("list as deep as it is long".into(), nested.clone()));
    let nested: String = (0..1000).map(|i| "  ".repeat(i / 2) + "- a\n").collect::<String>();
    let blank = SIZE.saturating_sub(nested.len());
    sources.push(("deep list, then blank lines".into(), nested.clone() + &"\n".repeat(blank)));
    sources.push(("deep list, then text".into(), nested.clone() + &"a\n".repeat(blank / 2)));
    let tabs: String = (0..700).map(|i| "\t".repeat(i / 2) + "- a\n").collect::<String>();
    let blank = SIZE.saturating_sub(tabs.len());
    sources.push(("deep list by tabs, then blank lines".into(), tabs + &"\n".repeat(blank)));
    let quotes = ">".repeat(1000) + "\n";
    sources.push(("quotes of 1,000".into(), quotes.repeat(*SIZE / quotes.len())));
    let quotes = "> ".repeat(20_000);
    sources.push(("20,000 quotes".into(), quotes.clone()));
    sources.push((
        "20,000 quotes, then lazy lines".into(),
        quotes + "a\n" + &"a\n".repeat(SIZE.saturating_sub(44_000) / 2),
    ));
    let defs: String = (0..*SIZE / 20).map(|i| format!("[{i}]: /x\n")).collect();
    sources.push(("link definitions".into(), defs));
    let defs: String = format!("[a]: /{}\n\n", "x".repeat(50_000)) + &"[a] ".repeat(*SIZE / 5);
    sources.push(("long definition, many uses".into(), defs));
    let columns = 2_000;
    let table = "|a".repeat(columns)
        + "\n"
        + &"|-".repeat(columns)
        + "\n"
        + &"|\n".repeat(SIZE.saturating_sub(4 * columns) / 2);
    sources.push(("wide table, short rows".into(), table));
    let ticks: String = (1..1400).map(|i| "`".repeat(i) + " ").collect();
    sources.push(("runs of backticks, all lengths".into(), ticks));
    let stars: String = (1..1400).map(|i| "*".repeat(i) + "a ").collect();
    sources.push(("runs of asterisks, all lengths".into(), stars));
    let attrs = format!("<a {}>\n", "b=c ".repeat(*SIZE / 4 - 8));
    sources.push(("one tag of many attributes".into(), attrs));
    let mut formatting: String = (0..100).map(|i| format!("<b id=x{i}>")).collect();
    formatting.push_str(&"<p>x</p>".repeat(SIZE.saturating_sub(formatting.len()) / 8));
    sources.push(("formatting opened again".into(), formatting));
    let mut formatting: String =
        "<table>".to_owned() + &(0..90).map(|i| format!("<b id=x{i}>")).collect::<String>();
    formatting.push_str(&"<tr></tr>x".repeat(SIZE.saturating_sub(formatting.len()) / 10));
    sources.push(("formatting in a table".into(), formatting));
    let mut formatting: String = (0..100).map(|i| format!("<b id=x{i}>")).collect();
    formatting.push_str(&"\n\n> x".repeat(SIZE.saturating_sub(formatting.len()) / 5));
    sources.push(("formatting, then quotes".into(), formatting));
    for (language, unit) in [
        ("rust", "/*"),
        ("js", "a=b=>{`${"),
        ("html", "<a b=\""),
        ("md", "[a](*"),
        ("c", "((("),
        ("py", "f'{"),
        ("perl", "s/a/"),
        ("yaml", "- a: "),
        ("php", "<?php "),
        ("r", "a<-"),
        ("tex", "\\a{"),
        ("regex", "(a|"),
        ("bash", "$(("),
        ("sql", "select '"),
        ("cpp", "template<a<"),
    ] {
        let line = unit.repeat(1_900 / unit.len()) + "\n";
        sources.push((
            format!("code, {language}, long lines"),
            format!("```{language}\n{}", line.repeat(*SIZE / line.len())),
        ));
        let short = format!("```{language}\n{}\n```\n\n", (unit.repeat(10) + "\n").repeat(60));
        sources.push((format!("code, {language}, short lines"), short.repeat(*SIZE / short.len())));
    }
    sources
}

/// Processor time of this thread: other processes do not count.
fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn time(text: &str) -> Duration {
    let start = now();
    let page = Renderer::default().render(text, &|_| false);
    std::hint::black_box(&page);
    now() - start
}

/// 1 MiB of the prose that pages are made of.
fn plain() -> String {
    fill(
        "A line of *plain* text with a [link](/x) and `code` in it, as people write.\nAnother line.\n\n## A heading\n\n- an item\n- another\n\n",
    )
}

#[test]
fn no_source_costs_many_times_what_plain_text_costs() {
    // Grammars are loaded once for all; that is not part of the comparison.
    let mut holder = Renderer::default();
    let _ = holder.render("```rust\nx\n```", &|_| false);
    let plain = plain();
    let base = (0..3).map(|_| time(&plain)).min().unwrap_or_default();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut slow = Vec::new();
    let mut all = Vec::new();
    for (name, mut text) in hostile().into_iter().filter(|(name, _)| name.contains(&only)) {
        text.truncate(text.floor_char_boundary(*SIZE));
        let more = if name.starts_with("code") { CODE } else { Duration::ZERO };
        let mut took = time(&text);
        let mut is_slow = took > base * RATIO + more;
        // The speed of a shared machine changes by half from one moment to the next: what is really
        // slow is slow three times, each beside a plain text of the same moment.
        for _ in 0..2 {
            if is_slow {
                let beside = time(&plain);
                took = time(&text);
                is_slow = took > beside.max(base) * RATIO + more;
            }
        }
        if is_slow {
            slow.push(format!("{took:?} {name}"));
        }
        all.push((took, name));
    }
    all.sort();
    println!("plain: {base:?}");
    for (took, name) in all.iter().rev().take(20) {
        println!("{took:>10.2?} {name}");
    }
    drop(holder);
    assert!(slow.is_empty(), "plain text costs {base:?}, but:\n{}", slow.join("\n"));
}
