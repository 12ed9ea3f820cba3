//! Golden files: every `tests/golden/markdown/*.md` beside the `.html` it becomes.
//!
//! `UPDATE_GOLDEN=1 cargo test --test markdown_golden` writes them again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use halley::markdown::Renderer;

/// What a golden file shows: everything a rendering answers, in a form that reads in a diff.
fn show(text: &str) -> String {
    let page = Renderer::default().render(text, &|path| path.key() == "home");
    let mut shown = String::new();
    let _ = writeln!(shown, "title: {:?}\nlinks: {:?}", page.title, page.links);
    for block in &page.blocks {
        let _ =
            writeln!(shown, "\n<!-- block of {} lines -->\n{}", block.lines, block.html.trim_end());
    }
    shown
}

fn sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/markdown");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of golden files is readable")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_golden_file_is_what_its_source_renders_to() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut stale = Vec::new();
    for source in sources().iter().filter(|file| file.extension().is_some_and(|e| e == "md")) {
        let golden = source.with_extension("html");
        let shown = show(&std::fs::read_to_string(source).expect("UTF-8"));
        if update {
            std::fs::write(&golden, shown).expect("writable");
        } else if std::fs::read_to_string(&golden).ok().as_deref() != Some(&shown) {
            stale.push(format!("{}:\n{shown}", golden.display()));
        }
    }
    assert!(stale.is_empty(), "stale golden files (UPDATE_GOLDEN=1):\n{}", stale.join("\n"));
}

#[test]
fn no_golden_file_is_without_its_source() {
    for file in sources().iter().filter(|file| file.extension().is_some_and(|e| e == "html")) {
        assert!(file.with_extension("md").exists(), "{} has no source", file.display());
    }
}
