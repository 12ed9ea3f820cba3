use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::markdown::Renderer;

fn blocks(text: &str) -> Vec<Block> {
    Renderer::default().render(text, &|_| true).blocks
}

fn compared(old: &str, new: &str) -> RenderedDiff {
    let (before, after) = (blocks(old), blocks(new));
    compare(Side { text: old, blocks: &before }, Side { text: new, blocks: &after }, Layout::Merged)
}

/// One row after the other: `=` same, `~` changed, `-` gone, `+` came, `@` skipped.
fn drawn(old: &str, new: &str) -> Vec<String> {
    let moved = |moved: &Option<Moved>| match moved {
        Some(Moved { number, is_down: true }) => format!(" (down {number})"),
        Some(Moved { number, is_down: false }) => format!(" (up {number})"),
        None => String::new(),
    };
    let rows = compared(old, new).rows;
    let drawn = rows.iter().map(|row| match row {
        Row::Same { html } => format!("= {html}"),
        Row::Changed { html, .. } => format!("~ {html}"),
        Row::Gone { html, moved: to } => format!("- {html}{}", moved(to)),
        Row::Came { html, moved: from } => format!("+ {html}{}", moved(from)),
        Row::Skipped(count) => format!("@ {count}"),
    });
    drawn.collect()
}

/// The only block that changed.
fn changed(old: &str, new: &str) -> String {
    let rows = drawn(old, new);
    let found: Vec<_> = rows.iter().filter(|row| !row.starts_with(['=', '@'])).collect();
    assert_eq!(found.len(), 1, "{rows:#?}");
    found[0].strip_prefix("~ ").unwrap_or_else(|| panic!("{rows:#?}")).to_owned()
}

#[test]
fn words_that_changed_are_marked_within_the_block() {
    let check = |old, new, expected: &str| assert_eq!(changed(old, new), expected);
    check(
        "One two three four.",
        "One 2 three four.",
        "<p>One <del>two</del><ins>2</ins> three four.</p>",
    );
    check("One two three.", "One three.", "<p>One <del>two </del>three.</p>");
    check("One three.", "One two three.", "<p>One <ins>two </ins>three.</p>");
    check(
        "# A title of five words\n",
        "# Another title of five words\n",
        "<h1><del>A</del><ins>Another</ins> title of five words</h1>",
    );
    // Two words that changed side by side are one change.
    check(
        "Keep all of this, one two, and this.",
        "Keep all of this, ONE TWO, and this.",
        "<p>Keep all of this, <del>one two</del><ins>ONE TWO</ins>, and this.</p>",
    );
    check("a b c &lt; d", "a b c &gt; d", "<p>a b c <del>&lt;</del><ins>&gt;</ins> d</p>");
}

#[test]
fn what_became_bold_or_a_link_to_elsewhere_is_a_change_although_the_words_are_the_same() {
    let check = |old, new, expected: &str| assert_eq!(changed(old, new), expected);
    check(
        "One two three four.",
        "One **two** three four.",
        "<p>One <del>two</del><strong><ins>two</ins></strong> three four.</p>",
    );
    check(
        "Here is [a link](/x) to it.",
        "Here is [a link](/y) to it.",
        "<p>Here is <a href=\"/x\"><del>a link</del></a><a href=\"/y\"><ins>a link</ins></a> to it.</p>",
    );
    // Within a link that stays, the link stays one.
    check(
        "See [the first page of all](/x).",
        "See [the last page of all](/x).",
        "<p>See <a href=\"/x\">the <del>first</del><ins>last</ins> page of all</a>.</p>",
    );
    check(
        "A picture: ![one](/a.png) and words.",
        "A picture: ![one](/b.png) and words.",
        "<p>A picture: <del><img src=\"/a.png\" alt=\"one\"></del>\
         <ins><img src=\"/b.png\" alt=\"one\"></ins> and words.</p>",
    );
}

#[test]
fn items_rows_and_cells_come_and_go_as_such() {
    let check = |old, new, expected: &str| {
        assert_eq!(changed(old, new).replace('\n', ""), expected);
    };
    check(
        "- one thing\n- two things\n",
        "- one thing\n- another matter\n- two things\n",
        "<ul><li>one thing</li><li class=\"diff-came\"><ins>another matter</ins></li>\
         <li>two things</li></ul>",
    );
    check(
        "- one thing here\n- two things here\n- three things here\n",
        "- one thing here\n- 2 things here\n",
        "<ul><li>one thing here</li><li><del>two</del><ins>2</ins> things here</li>\
         <li class=\"diff-gone\"><del>three things here</del></li></ul>",
    );
    check(
        "- [ ] write the text\n- [ ] read the text\n",
        "- [x] write the text\n- [ ] read the text\n",
        "<ul><li class=\"task done\"><del><input type=\"checkbox\" disabled=\"\" aria-label=\"Not done\"></del>\
         <ins><input type=\"checkbox\" disabled=\"\" checked=\"\" aria-label=\"Done\"></ins> write the text</li>\
         <li class=\"task\"><input type=\"checkbox\" disabled=\"\" aria-label=\"Not done\"> read the text</li></ul>",
    );
    check(
        "| a | b |\n|---|---|\n| one | 5 |\n| two | 6 |\n",
        "| a | b |\n|---|---|\n| one | 7 |\n| two | 6 |\n| three | 8 |\n",
        "<div class=\"table-wrap\"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>\
         <tr><td>one</td><td><del>5</del><ins>7</ins></td></tr><tr><td>two</td><td>6</td></tr>\
         <tr class=\"diff-came\"><td><ins>three</ins></td><td><ins>8</ins></td></tr></tbody></table></div>",
    );
    check(
        "> Some words that are quoted.\n>\n> More of them.\n",
        "> Some words that were quoted.\n>\n> More of them.\n",
        "<blockquote><p>Some words that <del>are</del><ins>were</ins> quoted.</p><p>More of them.</p></blockquote>",
    );
}

#[test]
fn code_is_compared_line_by_line_and_its_colours_are_no_change() {
    let old = "```rust\nlet a = 1;\nlet b = 2;\n```\n";
    let code = changed(old, &old.replace("let b = 2;", "let b = 3;"));
    assert!(code.contains("<del>2</del>") && code.contains("<ins>3</ins>"), "{code}");
    assert_eq!(code.matches("<ins>").count(), 1, "{code}");
    // From the quote on everything has another colour.
    let code = changed(old, &old.replace("let a = 1;", "let a = \"1;"));
    assert!(!code.contains("<del>let") && code.matches("<ins>").count() == 1, "{code}");
    let code = changed("```\none\n  two\n```\n", "```\none\n    two\n```\n");
    assert!(code.contains("<del>  </del><ins>    </ins>two"), "{code}");
}

#[test]
fn side_by_side_each_side_has_its_own_elements_and_marks() {
    let check = |old, new, expected: (&str, &str)| {
        let (before, after) = (blocks(old), blocks(new));
        let sides = (Side { text: old, blocks: &before }, Side { text: new, blocks: &after });
        let diff = compare(sides.0, sides.1, Layout::SideBySide);
        let [Row::Changed { html, before: Some(before) }] = &diff.rows[..] else {
            panic!("{:#?}", diff.rows)
        };
        assert_eq!((&*before.replace('\n', ""), &*html.replace('\n', "")), expected);
    };
    check(
        "One two **three** four.",
        "One 2 **three** four five.",
        (
            "<p>One <del>two</del> <strong>three</strong> four.</p>",
            "<p>One <ins>2</ins> <strong>three</strong> four<ins> five</ins>.</p>",
        ),
    );
    check(
        "- [ ] write the text\n- gone for good\n",
        "- [x] write the text\n",
        (
            "<ul><li class=\"task\"><del><input type=\"checkbox\" disabled=\"\" aria-label=\"Not done\"></del> \
             write the text</li><li class=\"diff-gone\"><del>gone for good</del></li></ul>",
            "<ul><li class=\"task done\"><ins><input type=\"checkbox\" disabled=\"\" checked=\"\" aria-label=\"Done\"></ins> \
             write the text</li></ul>",
        ),
    );
    // Colours of each side are its own.
    let (before, after) =
        (blocks("```rust\nlet a = 1;\n```\n"), blocks("```rust\nlet a = \"1;\n```\n"));
    let sides = (Side { text: "", blocks: &before }, Side { text: "x", blocks: &after });
    let diff = compare(sides.0, sides.1, Layout::SideBySide);
    let [Row::Changed { html, before: Some(before) }] = &diff.rows[..] else {
        panic!("{:#?}", diff.rows)
    };
    assert!(before.contains("hl-number") && !before.contains("hl-string"), "{before}");
    assert!(html.contains("hl-string") && !html.contains("hl-number"), "{html}");
}

#[test]
fn words_that_alternate_between_deep_and_long_elements_do_not_multiply_what_is_shown() {
    let cite = "c".repeat(500);
    let deep = |words: &str| {
        let (open, close) = (format!("<q cite=\"/{cite}\">").repeat(20), "</q>".repeat(20));
        format!("{open}{words}{close}")
    };
    let words = |word: &str| (0..50).map(|n| format!("same{n} {word}{n} ")).collect::<String>();
    let one = deep(&words("old"));
    let each: String = (0..50).map(|n| format!("{} new{n} ", deep(&format!("same{n}")))).collect();
    for (old, new) in [(&one, &each), (&each, &one), (&one, &deep(&words("new")))] {
        let mut diff = compared(old, new);
        let bytes: usize = diff.rows.iter_mut().flat_map(Row::html_mut).map(|h| h.len()).sum();
        let both = blocks(old)[0].html.len() + blocks(new)[0].html.len();
        assert!(bytes > 0 && bytes <= 3 * both, "{bytes} bytes of {both}");
    }
}

#[test]
fn blocks_that_have_little_in_common_are_shown_whole() {
    assert_eq!(
        drawn("Completely different.\n", "Nothing of it stays\n"),
        ["- <p>Completely different.</p>", "+ <p>Nothing of it stays</p>"]
    );
    // A heading is no paragraph, whatever it says.
    assert_eq!(
        drawn("Words and more words\n", "## Words and more words\n"),
        ["- <p>Words and more words</p>", "+ <h2>Words and more words</h2>"]
    );
}

#[test]
fn what_is_the_same_is_shown_beside_a_change_only() {
    let old: String = (1..=9).map(|n| format!("Paragraph {n} of nine.\n\n")).collect();
    let rows = drawn(&old, &old.replace("5 of", "five of"));
    assert_eq!(
        rows,
        [
            "@ 3",
            "= <p>Paragraph 4 of nine.</p>",
            "~ <p>Paragraph <del>5</del><ins>five</ins> of nine.</p>",
            "= <p>Paragraph 6 of nine.</p>",
            "@ 3",
        ]
    );
    // One block in between takes no more room than to say so.
    let rows = drawn(&old, &old.replace("2 of", "two of").replace("6 of", "six of"));
    assert_eq!(rows.iter().filter(|row| row.starts_with('@')).count(), 1, "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.starts_with('=')).count(), 5, "{rows:#?}");
}

#[test]
fn a_block_that_was_moved_is_found_again() {
    let (a, b) = ("A paragraph that goes elsewhere.\n\n", "One.\n\nTwo.\n\nThree.\n\n");
    let rows = drawn(&format!("{a}{b}"), &format!("{b}{a}"));
    assert_eq!(rows[0], "- <p>A paragraph that goes elsewhere.</p> (down 1)");
    assert_eq!(rows[rows.len() - 1], "+ <p>A paragraph that goes elsewhere.</p> (down 1)");
    let rows = drawn(&format!("{b}{a}"), &format!("{a}{b}"));
    assert_eq!(rows[0], "+ <p>A paragraph that goes elsewhere.</p> (up 1)");
    let diff = compared(&format!("{a}{b}"), &format!("{b}{a}"));
    assert_eq!((diff.moved, diff.added, diff.removed, diff.changed), (1, 0, 0, 0));
}

#[test]
fn what_was_moved_is_the_smaller_part() {
    let (heading, line) = ("## A heading of its own\n\n", "A short line below it.\n\n");
    let code = "```\nlet one = 1;\nlet two = 2;\nlet three = 3;\n```\n\n";
    let list = "- one of the items\n- another one of them\n- and a third\n\n";
    let old = format!("{heading}{line}{code}{list}");
    let new = format!("{code}{list}{heading}{line}").replace("two = 2", "two = 4");
    let rows = drawn(&old, &new);
    assert!(rows[0].starts_with("- <h2>A heading of its own</h2> (down 1)"), "{rows:#?}");
    assert!(rows[2].starts_with("~ <pre"), "{rows:#?}");
    let diff = compared(&old, &new);
    assert_eq!((diff.moved, diff.added, diff.removed, diff.changed), (2, 0, 0, 1), "{rows:#?}");
}

#[test]
fn a_source_that_reads_the_same_is_told_apart_from_the_same_source() {
    let told = |old, new| {
        let diff = compared(old, new);
        (diff.rows.len(), diff.only_source)
    };
    assert_eq!(told("*a* b\nc\n", "_a_ b c\n"), (0, true));
    assert_eq!(told("a\n", "a\n"), (0, false));
    assert_eq!(told("", ""), (0, false));
    // And what reads otherwise is a change, although its own source is the same.
    let rows = drawn("See [it].\n\n[it]: /a\n", "See [it].\n\n[it]: /b\n");
    assert!(rows[0].starts_with("~ ") && rows[0].contains("href=\"/b\""), "{rows:?}");
}

#[test]
fn a_page_that_begins_or_ends_is_shown_whole() {
    assert_eq!(drawn("", "One.\n"), ["+ <p>One.</p>"]);
    assert_eq!(drawn("One.\n\nTwo.\n", ""), ["- <p>One.</p>", "- <p>Two.</p>"]);
}

#[test]
fn nothing_in_a_comparison_is_taken_for_the_page_or_for_a_mark() {
    let old = "# Title\n\n- [ ] a task to do[^1]\n\n~~struck~~ out, <ins>put in</ins> <del>or out</del> words\n\n\
               [^1]: a note\n\n<p class=\"diff-came\" id=\"x\">raw <a id=\"y\" href=\"#x\">words</a> here</p>\n";
    let new = old.replace("out,", "OUT,").replace("to do", "to be done").replace("here", "there");
    let rows = drawn(old, &new);
    let all = rows.join("\n");
    for bad in
        [" id=", "data-task", "href=\"#", "<p class=\"diff-came\"", "user-", "class=\"anchor\""]
    {
        assert!(!all.contains(bad), "{bad} in {all}");
    }
    assert!(all.contains("<s>struck</s>") && all.contains("<u>put in</u>"), "{all}");
    let marks = |tag: &str| all.matches(tag).count();
    assert_eq!((marks("<ins>"), marks("<del>")), (3, 3), "{all}");
}

/// What one reads of HTML, without white space; `None` stands for both sides.
fn text(html: &str, side: Option<&str>) -> String {
    let (mut out, mut hidden) = (String::new(), Vec::new());
    let other = match side {
        Some("old") => ["<ins", "diff-came"],
        Some(_) => ["<del", "diff-gone"],
        None => ["<none", "none"],
    };
    for part in html.split('<') {
        let (tag, text) = part.split_once('>').unwrap_or(("", part));
        let name = tag.split([' ', '>']).next().unwrap_or_default();
        let is_void = ["br", "hr", "img", "input", "wbr", "col", ""].contains(&name);
        if tag.starts_with('/') {
            hidden.pop();
        } else if !is_void {
            let is_other = format!("<{name}") == other[0]
                || (tag.contains(other[1]) && tag.contains("class=\""));
            let above = hidden.last().copied().unwrap_or(false);
            hidden.push(is_other || above);
        }
        if !hidden.last().copied().unwrap_or(false) {
            if is_void && !name.is_empty() && name != "hr" && name != "col" {
                let _ = write!(out, "<{tag}>");
            }
            out.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
        }
    }
    out
}

/// The shown text of each node of a page.
fn plain(blocks: &[Block]) -> Vec<String> {
    let mut arena = Arena::new();
    let nodes = read(&mut arena, blocks);
    let merger = Merger::new(&arena, Instant::now());
    let one = |node: &Node<'_>| {
        let mut html = String::new();
        merger.plain(node, &mut html);
        text(&html, None)
    };
    nodes.iter().map(one).collect()
}

/// That a comparison says the truth about both sides, and is as the sanitiser would write it.
fn check(old: &str, new: &str, about: &str) {
    let (before, after) = (blocks(old), blocks(new));
    let sides = (Side { text: old, blocks: &before }, Side { text: new, blocks: &after });
    let (was, is) = (plain(&before), plain(&after));
    let mut shapes = Vec::new();
    for layout in [Layout::Merged, Layout::SideBySide] {
        let mut diff = compare(sides.0, sides.1, layout);
        shapes.push((diff.changed, diff.added, diff.removed, diff.moved, diff.rows.len()));
        if diff.rows.is_empty() || diff.is_cut {
            continue;
        }
        let (mut was, mut is) = (was.iter(), is.iter());
        for row in &diff.rows {
            match row {
                Row::Skipped(count) => {
                    for _ in 0..*count {
                        assert_eq!(was.next(), is.next(), "{about}");
                    }
                }
                Row::Changed { html, before: Some(before) } => {
                    assert_eq!(Some(&text(before, None)), was.next(), "{about}: {before}");
                    assert_eq!(Some(&text(html, None)), is.next(), "{about}: {html}");
                    assert!(!before.contains("<ins") && !before.contains("diff-came"), "{before}");
                    assert!(!html.contains("<del") && !html.contains("diff-gone"), "{html}");
                }
                Row::Same { html } | Row::Changed { html, .. } => {
                    assert_eq!(Some(&text(html, Some("old"))), was.next(), "{about}: {html}");
                    assert_eq!(Some(&text(html, Some("new"))), is.next(), "{about}: {html}");
                }
                Row::Gone { html, .. } => {
                    assert_eq!(Some(&text(html, None)), was.next(), "{about}");
                }
                Row::Came { html, .. } => {
                    assert_eq!(Some(&text(html, None)), is.next(), "{about}");
                }
            }
        }
        assert_eq!((was.next(), is.next()), (None, None), "{about}");
        for html in diff.rows.iter_mut().flat_map(Row::html_mut) {
            assert_eq!(clean_compared(html), *html, "{about}");
            assert!(!html.contains(" id=\""), "{about}: {html}");
        }
    }
    assert_eq!(shapes[0], shapes[1], "{about}");
}

const GOLDEN: &[&str] = &[
    include_str!("../../../tests/golden/markdown/alerts.md"),
    include_str!("../../../tests/golden/markdown/basics.md"),
    include_str!("../../../tests/golden/markdown/code.md"),
    include_str!("../../../tests/golden/markdown/front-matter.md"),
    include_str!("../../../tests/golden/markdown/half-typed.md"),
    include_str!("../../../tests/golden/markdown/headings.md"),
    include_str!("../../../tests/golden/markdown/html.md"),
    include_str!("../../../tests/golden/markdown/links.md"),
    include_str!("../../../tests/golden/markdown/tasks.md"),
];

#[test]
fn every_block_that_the_renderer_writes_is_read() {
    for source in GOLDEN {
        for block in blocks(source) {
            assert!(Arena::new().read(&block.html).is_some(), "{}", block.html);
        }
    }
}

/// Takes lines out, doubles, moves, joins and cuts them, and puts other words in.
fn edited(text: &str, random: &mut StdRng) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for _ in 0..random.random_range(1..8) {
        if lines.is_empty() {
            break;
        }
        let at = random.random_range(0..lines.len());
        match random.random_range(0..7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let line = lines.remove(at);
                lines.insert(random.random_range(0..=lines.len()), line);
            }
            3 => lines.insert(at, String::new()),
            4 => lines[at].push_str(" *more* words"),
            5 => {
                let cut = lines[at].char_indices().nth(random.random_range(0..20));
                let cut = cut.map_or(lines[at].len(), |(cut, _)| cut);
                lines[at].truncate(cut);
            }
            _ => lines[at] = lines[at].replacen("e", "<b>E", 1),
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_comparison_of_any_two_texts_has_all_of_both_and_is_safe() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..60 {
        let old = GOLDEN[round % GOLDEN.len()];
        let once = edited(old, &mut random);
        let new = edited(&once, &mut random);
        check(old, &new, &format!("TEST_SEED={seed} round {round}"));
    }
    for pair in GOLDEN.windows(2) {
        check(pair[0], pair[1], "two golden files");
    }
}

#[test]
fn unrelated_texts_of_any_size_take_a_bounded_time() {
    // Many short paragraphs in another order are the worst case for blocks, one long paragraph for
    // words.
    let many = |step: usize| -> String {
        (0..20_000).map(|n| format!("{} {}\n\n", n * step % 7_919, n * step % 101)).collect()
    };
    let long = |step: usize| -> String {
        (0..100_000).map(|n| format!("{} ", n * step % 7_919)).collect()
    };
    let (merged, apart) = (Layout::Merged, Layout::SideBySide);
    for (old, new, layout) in [
        (many(17), many(4_001), merged),
        (long(17), long(4_001), merged),
        (long(17), long(4_001), apart),
        (many(17), long(17), merged),
    ] {
        let (before, after) = (blocks(&old), blocks(&new));
        let begun = Instant::now();
        let sides = (Side { text: &old, blocks: &before }, Side { text: &new, blocks: &after });
        let mut diff = compare(sides.0, sides.1, layout);
        println!("{:?}, coarse: {}, cut: {}", begun.elapsed(), diff.is_coarse, diff.is_cut);
        assert!(diff.rows.len() <= MAX_ROWS);
        let bytes: usize = diff.rows.iter_mut().flat_map(Row::html_mut).map(|h| h.len()).sum();
        assert!(bytes < 8 << 20, "{bytes}");
        assert!(begun.elapsed() < Duration::from_secs(30), "without a limit it takes minutes");
    }
}

#[test]
fn without_time_a_comparison_is_coarse_and_right_all_the_same() {
    let (old, new) = ("One two.\n\nThree four.\n", "One two!\n\nThree four.\n\nFive.\n");
    let (before, after) = (blocks(old), blocks(new));
    let sides = (Side { text: old, blocks: &before }, Side { text: new, blocks: &after });
    let limits = (Duration::ZERO, Duration::ZERO);
    let diff = compare_within(limits, sides.0, sides.1, Layout::Merged);
    assert!(diff.is_coarse);
    let now = diff.rows.iter().filter_map(|row| match row {
        Row::Same { html } | Row::Changed { html, .. } | Row::Came { html, .. } => Some(html),
        Row::Gone { .. } | Row::Skipped(_) => None,
    });
    let now: Vec<_> = now.map(|html| text(html, Some("new"))).collect();
    assert_eq!(now, ["Onetwo!", "Threefour.", "Five."]);
}

#[test]
fn the_sanitiser_has_the_last_word_whatever_was_put_together() {
    let html = "<p id=\"user-a\" class=\"diff-came site-header\" onclick=\"x()\">a<script>b</script>\
                <a href=\"javascript:x\">c</a><input type=\"text\" data-task=\"1\"><form>d</form></p>";
    let clean =
        "<p class=\"diff-came\">a<a>c</a><input type=\"checkbox\" disabled=\"\"></p>d<p></p>";
    assert_eq!(clean_compared(html), clean);
    // No author can make a block look like one that came.
    let page = blocks("<p class=\"diff-came\">a</p>\n");
    assert!(!page[0].html.contains("diff-came"), "{}", page[0].html);
}
