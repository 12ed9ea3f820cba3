//! Rendering again after an edit is rendering from scratch, only sooner.

use halley::markdown::{Rendered, Renderer};
use halley::page::PagePath;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Pieces of Markdown whose meaning reaches across blocks, and pieces that break others.
const PIECES: &[&str] = &[
    "\n\n",
    "\n",
    "# Title\n",
    "## Title\n",
    "text ",
    "[[Home]] ",
    "[[Missing|m]] ",
    "[a] ",
    "\n\n[a]: /x\n\n",
    "\n\n[a]: https://y 'z'\n\n",
    "[^1] ",
    "\n\n[^1]: note [^2]\n\n",
    "\n\n[^2]: other\n\n",
    "\n- [ ] task\n",
    "\n- [x] done\n",
    "- item\n",
    "  - nested\n",
    "> quote\n",
    "> [!NOTE]\n",
    "```rust\nfn x() {}\n```\n",
    "```\n",
    "<details>\n\n",
    "\n\n</details>\n\n",
    "<div>",
    "</div>",
    "<b>",
    "</b>",
    "*",
    "**",
    "`",
    "|a|b|\n|-|-|\n|c|d|\n",
    "https://a.b ",
    "---\n",
    "é",
    "𝄞",
    "<!--",
    "-->",
    "![x](/y)",
    "    code\n",
    "1. one\n",
    "\r\n",
    "\t",
];

fn exists(path: &PagePath) -> bool {
    path.key() == "home"
}

fn check_lines(page: &Rendered, text: &str, seed: u64) {
    let lines: usize = page.blocks.iter().map(|block| block.lines).sum();
    if !page.blocks.is_empty() {
        assert_eq!(lines, text.lines().count(), "seed {seed}: {text:?}");
    }
    for block in &page.blocks {
        assert_eq!(block.hash, blake3::hash(block.html.as_bytes()).to_hex()[..16], "seed {seed}");
    }
}

#[test]
fn rendering_after_edits_equals_rendering_afresh() {
    let start: u64 =
        std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={start}");
    for seed in (0..60).map(|i| start.wrapping_add(i)) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut text = String::new();
        let mut renderer = Renderer::default();
        for _ in 0..60 {
            let boundaries: Vec<usize> =
                (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            let at = *boundaries.choose(&mut random).expect("0 is one");
            if random.random_bool(0.3) {
                let end = *boundaries.choose(&mut random).expect("0 is one");
                let end = end.clamp(at, (at + 40).min(text.len()));
                let end = text.floor_char_boundary(end).max(at);
                text.replace_range(at..end, "");
            } else {
                text.insert_str(at, PIECES.choose(&mut random).expect("not empty"));
            }
            let again = renderer.render(&text, &exists);
            let fresh = Renderer::default().render(&text, &exists);
            assert_eq!(again, fresh, "seed {seed}: {text:?}");
            check_lines(&again, &text, seed);
        }
    }
}

#[test]
fn any_text_renders_and_its_lines_add_up() {
    let start: u64 =
        std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={start}");
    for seed in (0..400).map(|i| start.wrapping_add(i)) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut text = String::new();
        for _ in 0..random.random_range(0..80) {
            match random.random_range(0..6) {
                0 => text.push(random.random()),
                1 | 2 => text.push(char::from(random.random_range(0..128_u8))),
                3 => text
                    .push(*b"[]()<>!*_`~#|-:&\\\n\r\t \"'^=+>".choose(&mut random).expect("some")
                        as char),
                _ => text.push_str(PIECES.choose(&mut random).expect("some")),
            }
        }
        let page = Renderer::default().render(&text, &exists);
        check_lines(&page, &text, seed);
    }
}

#[test]
fn an_edit_elsewhere_leaves_blocks_as_they_are() {
    let mut renderer = Renderer::default();
    let before =
        renderer.render("# A\n\nfirst\n\n```rust\nfn x() {}\n```\n\nlast [^1]\n\n[^1]: n", &exists);
    let after = renderer
        .render("# A\n\nfirst!\n\n```rust\nfn x() {}\n```\n\nlast [^1]\n\n[^1]: n", &exists);
    let changed: Vec<usize> = (0..after.blocks.len())
        .filter(|at| !std::sync::Arc::ptr_eq(&before.blocks[*at].html, &after.blocks[*at].html))
        .collect();
    assert_eq!(changed, [1], "only the edited paragraph was written again");
}

#[test]
fn a_page_that_comes_into_being_changes_the_links_to_it() {
    let mut renderer = Renderer::default();
    let text = "see [[New]]\n\nother";
    let before = renderer.render(text, &|_| false);
    let after = renderer.render(text, &|_| true);
    assert!(before.blocks[0].html.contains("wikilink missing"));
    assert!(!after.blocks[0].html.contains("missing"));
    assert!(std::sync::Arc::ptr_eq(&before.blocks[1].html, &after.blocks[1].html));
}

#[test]
fn a_task_knows_its_line_in_its_block() {
    let page =
        Renderer::default().render("\n\n- [ ] a\n- [x] b\n\ntext\n\n1. x\n   - [ ] c\n", &exists);
    assert!(
        page.blocks[0].html.contains("data-task=\"2\"")
            && page.blocks[0].html.contains("data-task=\"3\"")
    );
    assert!(page.blocks[2].html.contains("data-task=\"1\""));
    assert_eq!(page.blocks.iter().map(|block| block.lines).collect::<Vec<_>>(), [5, 2, 2]);
}
