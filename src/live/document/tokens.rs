//! Text cut into the pieces that a merge compares.

/// Cuts `text` into words, runs of blanks, line ends (`\r\n` is one) and single signs. What
/// belongs to the sign before it (accents, emoji modifiers, joiners) stays with it. Ideographs
/// and kana, which are written without blanks, are cut one by one.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    let mut start = 0;
    let mut previous = Kind::Sign;
    let mut joined = false;
    for (at, character) in text.char_indices() {
        let kind = kind_of(character);
        let goes_on = match (previous, kind) {
            (Kind::CarriageReturn, Kind::NewLine) => true,
            (Kind::CarriageReturn | Kind::NewLine, _) => false,
            (_, Kind::Extender) => true,
            (Kind::Word, Kind::Word) | (Kind::Blank, Kind::Blank) => true,
            _ => joined && kind == Kind::Sign,
        };
        if at > 0 && !goes_on {
            tokens.push(&text[start..at]);
            start = at;
        }
        joined = character == '\u{200d}';
        // An extender leaves the kind of what it extends.
        if kind != Kind::Extender || at == start {
            previous = kind;
        }
    }
    if start < text.len() {
        tokens.push(&text[start..]);
    }
    tokens
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Blank,
    CarriageReturn,
    NewLine,
    Extender,
    Sign,
}

fn kind_of(character: char) -> Kind {
    match character {
        '\r' => Kind::CarriageReturn,
        '\n' => Kind::NewLine,
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0020}'..='\u{e007f}' => Kind::Extender,
        '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => Kind::Sign,
        _ if character.is_alphanumeric() || character == '_' => Kind::Word,
        _ if character.is_whitespace() => Kind::Blank,
        _ => Kind::Sign,
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn words_blanks_signs_and_line_ends_are_cut_apart() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(tokens(text), expected);
            assert_eq!(tokens(text).concat(), text);
        };
        check("", &[]);
        check("Ab_c 12,  x", &["Ab_c", " ", "12", ",", "  ", "x"]);
        check("a\r\nb\r\r\n\n c", &["a", "\r\n", "b", "\r", "\r\n", "\n", " ", "c"]);
        check("e\u{301}a \u{301}b", &["e\u{301}a", " \u{301}", "b"]);
        check("👍🏽👩\u{200d}👧x", &["👍🏽", "👩\u{200d}👧", "x"]);
        check("維基 ok한국", &["維", "基", " ", "ok한국"]);
        check("\u{301}\n\u{301}", &["\u{301}", "\n", "\u{301}"]);
    }
}
