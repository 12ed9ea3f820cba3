//! Colours for fenced code, as a dozen classes.
//!
//! Grammars come with syntect. They are loaded when the first block of a known language is
//! written, and dropped with the last [`Highlighter`] that used them: a server that shows no code
//! holds none.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxSet};

use super::url::push_escaped;

/// Largest code block that is coloured, in bytes.
pub(super) const MAX_CODE_BYTES: usize = 64 * 1024;

/// Most code of one page that is coloured, in bytes; blocks are served from the top down.
pub(super) const MAX_PAGE_CODE_BYTES: usize = 128 * 1024;

/// A block with a longer line stays plain: grammars may take time quadratic in a line's length.
const MAX_LINE_BYTES: usize = 2_000;

/// Longest time one block may take, and all blocks of one rendering together. Real code needs a
/// fraction; grammars are regular expressions, and somebody will find a text that they stumble
/// over. What is left then stays plain.
const MAX_BLOCK_TIME: Duration = Duration::from_millis(400);
/// See [`MAX_BLOCK_TIME`].
const MAX_RENDER_TIME: Duration = Duration::from_millis(1_000);

/// What people write after the fence, and the grammar's token. Sorted.
#[rustfmt::skip]
const LANGUAGES: &[(&str, &str)] = &[
    ("applescript", "applescript"), ("bash", "bash"), ("bat", "bat"), ("batch", "bat"),
    ("bibtex", "bib"), ("c", "c"), ("c#", "cs"), ("c++", "cpp"), ("cc", "cpp"), ("cjs", "js"),
    ("clj", "clj"), ("clojure", "clj"), ("cmd", "bat"), ("console", "bash"), ("cpp", "cpp"),
    ("cs", "cs"), ("csharp", "cs"), ("css", "css"), ("cxx", "cpp"), ("d", "d"), ("diff", "diff"),
    ("dot", "dot"), ("erl", "erl"), ("erlang", "erl"), ("go", "go"), ("golang", "go"),
    ("gradle", "groovy"), ("graphviz", "dot"), ("groovy", "groovy"), ("h", "c"), ("haskell", "hs"),
    ("hpp", "cpp"), ("hs", "hs"), ("htm", "html"), ("html", "html"), ("ini", "properties"),
    ("java", "java"), ("javascript", "js"), ("js", "js"), ("json", "json"), ("json5", "js"),
    ("jsonc", "json"), ("jsx", "js"), ("latex", "tex"), ("lisp", "lisp"), ("lua", "lua"),
    ("make", "makefile"), ("makefile", "makefile"), ("markdown", "md"), ("matlab", "matlab"),
    ("md", "md"), ("mjs", "js"), ("ml", "ml"), ("objc", "m"), ("objective-c", "m"),
    ("ocaml", "ml"), ("pascal", "pas"), ("patch", "diff"), ("perl", "pl"), ("php", "php"),
    ("pl", "pl"), ("properties", "properties"), ("py", "py"), ("python", "py"), ("python3", "py"),
    ("r", "r"), ("rb", "rb"), ("regex", "re"), ("rs", "rs"), ("rst", "rst"), ("ruby", "rb"),
    ("rust", "rs"), ("scala", "scala"), ("scss", "css"), ("sh", "bash"), ("shell", "bash"),
    ("sql", "sql"), ("svg", "xml"), ("tcl", "tcl"), ("tex", "tex"), ("toml", "properties"),
    ("ts", "js"), ("tsx", "js"), ("typescript", "js"), ("xhtml", "html"), ("xml", "xml"),
    ("yaml", "yaml"), ("yml", "yaml"), ("zsh", "bash"),
];

/// Scopes that mean a class; the deepest scope with a match decides, and for it the longest.
#[rustfmt::skip]
const SCOPES: &[(&str, &str)] = &[
    ("comment", "comment"),
    ("string", "string"),
    ("constant.character.escape", "constant"),
    ("constant.numeric", "number"),
    ("constant.other.symbol", "string"),
    ("constant", "constant"),
    ("entity.name.function", "function"),
    ("entity.name.tag", "tag"),
    ("entity.name.section", "heading"),
    ("entity.name.type", "type"),
    ("entity.name.class", "type"),
    ("entity.name.struct", "type"),
    ("entity.name.enum", "type"),
    ("entity.name.trait", "type"),
    ("entity.name.impl", "type"),
    ("entity.name.namespace", "type"),
    ("entity.name.macro", "function"),
    ("entity.name.constant", "constant"),
    ("entity.other.attribute-name", "attribute"),
    ("entity.other.inherited-class", "type"),
    ("keyword", "keyword"),
    ("markup.deleted", "deleted"),
    ("markup.heading", "heading"),
    ("markup.inserted", "inserted"),
    ("markup.raw", "string"),
    ("meta.annotation", "attribute"),
    ("meta.attribute", "attribute"),
    ("meta.diff.header", "heading"),
    ("meta.diff.range", "number"),
    ("punctuation.definition.comment", "comment"),
    ("punctuation.definition.string", "string"),
    ("punctuation.definition.inserted", "inserted"),
    ("punctuation.definition.deleted", "deleted"),
    ("punctuation", "punctuation"),
    ("storage.type.function", "keyword"),
    ("storage", "keyword"),
    ("support.function", "function"),
    ("support.macro", "function"),
    ("support.type.property-name", "attribute"),
    ("support.type", "type"),
    ("support.class", "type"),
    ("support.constant", "constant"),
    ("variable.function", "function"),
    ("variable.language", "keyword"),
    ("variable.annotation", "attribute"),
    ("variable.other.readwrite", "variable"),
    ("variable.parameter", "variable"),
];

static CLASSES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    let mut classes: Vec<_> = SCOPES
        .iter()
        .filter_map(|(scope, class)| Some((Scope::new(scope).ok()?, *class)))
        .collect();
    classes.sort_by_key(|(scope, _)| std::cmp::Reverse(scope.len()));
    classes
});

/// The grammars in use, if anybody uses them.
static LOADED: Mutex<Weak<SyntaxSet>> = Mutex::new(Weak::new());

/// The grammar's token for what stands after a fence, without loading anything.
pub(super) fn language(info: &str) -> Option<&'static str> {
    let name = label(info);
    if name.is_empty() || name.len() > 16 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let at = LANGUAGES.binary_search_by(|(known, _)| (*known).cmp(name.as_str())).ok()?;
    Some(LANGUAGES[at].1)
}

/// The language's name as written, to be shown. Empty when there is none.
pub(super) fn label(info: &str) -> &str {
    let word = info.split([' ', '\t', ',', '{', ':']).next().unwrap_or_default();
    match word.char_indices().nth(24) {
        Some((end, _)) => &word[..end],
        None => word,
    }
}

/// Colours code; holds the grammars once it needed them.
#[derive(Default)]
pub(super) struct Highlighter {
    grammars: Option<Arc<SyntaxSet>>,
    spent: Duration,
}

impl Highlighter {
    /// Lets go of the grammars; they leave memory with their last user.
    pub fn rest(&mut self) {
        self.grammars = None;
    }

    /// Starts a new rendering.
    pub fn restart(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Writes `code` with a `<span class="hl-…">` around each part that means something.
    pub fn write(&mut self, out: &mut String, token: &str, code: &str) {
        let start = out.len();
        if code.lines().any(|line| line.len() > MAX_LINE_BYTES)
            || self.spent >= MAX_RENDER_TIME
            || self.colour(out, token, code).is_none()
        {
            out.truncate(start);
            push_escaped(out, code);
        }
    }

    fn colour(&mut self, out: &mut String, token: &str, code: &str) -> Option<()> {
        let grammars = self.grammars.get_or_insert_with(load);
        let grammar = grammars.find_syntax_by_token(token)?;
        let began = Instant::now();
        let mut state = ParseState::new(grammar);
        let mut scopes = ScopeStack::new();
        let mut open = None;
        let mut rest = code;
        while !rest.is_empty() {
            let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            let steps = state.parse_line(line, grammars).ok()?;
            let mut at = 0;
            for (place, step) in steps {
                if place > at {
                    push_part(out, &mut open, class(&scopes), line.get(at..place)?);
                    at = place;
                }
                scopes.apply(&step).ok()?;
            }
            push_part(out, &mut open, class(&scopes), line.get(at..)?);
            rest = after;
            if began.elapsed() > MAX_BLOCK_TIME {
                push_part(out, &mut open, None, rest);
                break;
            }
        }
        if open.is_some() {
            out.push_str("</span>");
        }
        self.spent += began.elapsed();
        Some(())
    }
}

fn load() -> Arc<SyntaxSet> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.upgrade().unwrap_or_else(|| {
        let grammars = Arc::new(SyntaxSet::load_defaults_newlines());
        *loaded = Arc::downgrade(&grammars);
        grammars
    })
}

/// The class of the deepest scope that has one.
fn class(scopes: &ScopeStack) -> Option<&'static str> {
    scopes.as_slice().iter().rev().find_map(|scope| {
        CLASSES.iter().find(|(known, _)| known.is_prefix_of(*scope)).map(|(_, class)| *class)
    })
}

/// Writes a part, going on with the open span when the class is the same. White space goes into
/// whatever is open.
fn push_part(
    out: &mut String,
    open: &mut Option<&'static str>,
    class: Option<&'static str>,
    part: &str,
) {
    if part.is_empty() {
        return;
    }
    if *open != class && !part.trim().is_empty() {
        if open.is_some() {
            out.push_str("</span>");
        }
        if let Some(class) = class {
            out.push_str("<span class=\"hl-");
            out.push_str(class);
            out.push_str("\">");
        }
        *open = class;
    }
    push_escaped(out, part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_grammar() {
        assert!(LANGUAGES.is_sorted());
        let grammars = load();
        for (name, token) in LANGUAGES {
            assert!(grammars.find_syntax_by_token(token).is_some(), "{name} -> {token}");
            assert_eq!(language(name), Some(*token));
        }
    }

    #[test]
    fn every_class_is_let_through_by_the_sanitiser() {
        let spans = super::super::clean::CLASSES.iter().find(|(tag, _)| *tag == "span");
        for (scope, class) in SCOPES {
            assert!(Scope::new(scope).is_ok());
            let class = format!("hl-{class}");
            assert!(spans.is_some_and(|(_, names)| names.contains(&class.as_str())), "{class}");
        }
    }

    #[test]
    fn code_is_coloured_by_few_classes_and_keeps_its_text() {
        let mut out = String::new();
        Highlighter::default().write(&mut out, "rs", "fn main() { let x = \"<b>\"; } // é\n");
        assert!(out.contains("<span class=\"hl-comment\">// é\n</span>"), "{out}");
        assert!(out.contains("<span class=\"hl-string\">&quot;&lt;b&gt;&quot;</span>"), "{out}");
        assert!(out.contains("hl-function\">main"), "{out}");
    }
}
