//! Cost: no source of 1 MiB costs many times what plain text of 1 MiB costs.

use std::time::{Duration, Instant};

use halley::markdown::Renderer;

const MIB: usize = 1 << 20;

fn fill(unit: &str) -> String {
    unit.repeat(MIB / unit.len())
}

fn half(first: &str, second: &str) -> String {
    first.repeat(MIB / 2 / first.len()) + &second.repeat(MIB / 2 / second.len())
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
        sources.push((format!("({unit:?} blank)*"), fill(&format!("{unit}\n\n"))));
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
    let labels: String = (0..MIB / 24).map(|i| format!("[^{i}] [^{i}]: note\n\n")).collect();
    sources.push(("different footnotes, inline".into(), labels));
    let notes: String = (0..MIB / 32).map(|i| format!("x[^{i}]\n\n[^{i}]: note\n\n")).collect();
    sources.push(("different footnotes".into(), notes));
    let notes: String = "x[^a] ".repeat(MIB / 12) + "\n\n" + &"[^a]: b\n\n".repeat(MIB / 18);
    sources.push(("one footnote, many references and definitions".into(), notes));
    let nested: String = (0..1400).map(|i| " ".repeat(i) + "- a\n").collect::<String>();
    sources.push(("list as deep as it is long".into(), nested.clone()));
    let nested: String = (0..1000).map(|i| "  ".repeat(i / 2) + "- a\n").collect::<String>();
    let blank = MIB - nested.len();
    sources.push(("deep list, then blank lines".into(), nested.clone() + &"\n".repeat(blank)));
    sources.push(("deep list, then text".into(), nested.clone() + &"a\n".repeat(blank / 2)));
    let tabs: String = (0..700).map(|i| "\t".repeat(i / 2) + "- a\n").collect::<String>();
    let blank = MIB - tabs.len();
    sources.push(("deep list by tabs, then blank lines".into(), tabs + &"\n".repeat(blank)));
    let quotes = ">".repeat(1000) + "\n";
    sources.push(("quotes of 1,000".into(), quotes.repeat(MIB / quotes.len())));
    let quotes = "> ".repeat(20_000);
    sources.push(("20,000 quotes".into(), quotes.clone()));
    sources.push((
        "20,000 quotes, then lazy lines".into(),
        quotes + "a\n" + &"a\n".repeat(MIB / 2 - 22_000),
    ));
    let defs: String = (0..MIB / 20).map(|i| format!("[{i}]: /x\n")).collect();
    sources.push(("link definitions".into(), defs));
    let defs: String = format!("[a]: /{}\n\n", "x".repeat(50_000)) + &"[a] ".repeat(MIB / 5);
    sources.push(("long definition, many uses".into(), defs));
    let columns = 2_000;
    let table = "|a".repeat(columns)
        + "\n"
        + &"|-".repeat(columns)
        + "\n"
        + &"|\n".repeat(MIB / 2 - 4 * columns);
    sources.push(("wide table, short rows".into(), table));
    let ticks: String = (1..1400).map(|i| "`".repeat(i) + " ").collect();
    sources.push(("runs of backticks, all lengths".into(), ticks));
    let stars: String = (1..1400).map(|i| "*".repeat(i) + "a ").collect();
    sources.push(("runs of asterisks, all lengths".into(), stars));
    let attrs = format!("<a {}>\n", "b=c ".repeat(MIB / 4 - 8));
    sources.push(("one tag of many attributes".into(), attrs));
    let mut formatting: String = (0..100).map(|i| format!("<b id=x{i}>")).collect();
    formatting.push_str(&"<p>x</p>".repeat((MIB - formatting.len()) / 8));
    sources.push(("formatting opened again".into(), formatting));
    let mut formatting: String =
        "<table>".to_owned() + &(0..90).map(|i| format!("<b id=x{i}>")).collect::<String>();
    formatting.push_str(&"<tr></tr>x".repeat((MIB - formatting.len()) / 10));
    sources.push(("formatting in a table".into(), formatting));
    let mut formatting: String = (0..100).map(|i| format!("<b id=x{i}>")).collect();
    formatting.push_str(&"\n\n> x".repeat((MIB - formatting.len()) / 5));
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
            format!("```{language}\n{}", line.repeat(MIB / line.len())),
        ));
        let short = format!("```{language}\n{}\n```\n\n", (unit.repeat(10) + "\n").repeat(60));
        sources.push((format!("code, {language}, short lines"), short.repeat(MIB / short.len())));
    }
    sources
}

fn time(text: &str) -> Duration {
    let start = Instant::now();
    let page = Renderer::default().render(text, &|_| false);
    std::hint::black_box(&page);
    start.elapsed()
}

/// 1 MiB of the prose that pages are made of.
fn plain() -> String {
    fill(
        "A line of *plain* text with a [link](/x) and `code` in it, as people write.\nAnother line.\n\n## A heading\n\n- an item\n- another\n\n",
    )
}

#[test]
fn no_source_costs_many_times_what_plain_text_costs() {
    let plain = plain();
    let base = time(&plain).min(time(&plain));
    println!("plain: {base:?}");
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut all: Vec<(Duration, String)> = hostile()
        .into_iter()
        .filter(|(name, _)| name.contains(&only))
        .map(|(name, text)| {
            assert!(text.len() <= MIB + 4096, "{name}");
            let took = time(&text);
            if took > base * 2 {
                println!("{took:?} {name}");
            }
            (took, name)
        })
        .collect();
    all.sort();
    for (took, name) in all.iter().rev().take(25) {
        println!("{took:>10.2?} {name}");
    }
}
