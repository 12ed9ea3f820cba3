//! What is a word to people, in any script, so that a change is shown as narrow as it is.

/// Bytes of the first word, sign or white space of a text that is not empty, and whether it is
/// white space. Line by line, that ends with a line, and a line's end stands for itself.
pub(super) fn token_length(text: &str, by_line: bool) -> (usize, bool) {
    let mut chars = text.char_indices();
    let first = chars.next().map_or(' ', |(_, c)| c);
    let length = |goes_on: &dyn Fn(char) -> bool| {
        let after = first.len_utf8();
        text[after..].find(|c: char| !goes_on(c)).map_or(text.len(), |at| after + at)
    };
    if first.is_ascii_whitespace() {
        if !by_line {
            return (length(&|c| c.is_ascii_whitespace()), true);
        }
        // Line by line, so that lines that came or went are found.
        return match first {
            '\n' => (1, true),
            _ => (length(&|c| c.is_ascii_whitespace() && c != '\n'), true),
        };
    }
    let is_word =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || (!c.is_ascii() && !is_alone(c));
    let end = match is_word(first) {
        true => length(&|c| is_word(c) || joins(c)),
        false => length(&joins),
    };
    (end, false)
}

/// Characters that are a word each: signs, space that is shown, and those of scripts without spaces.
/// Not those that emoji are joined of.
fn is_alone(c: char) -> bool {
    matches!(
        c,
        '\u{a1}'..='\u{a9}' | '\u{ab}'..='\u{b4}' | '\u{b6}'..='\u{b9}' | '\u{bb}'..='\u{bf}'
            | '\u{2000}'..='\u{200a}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
            | '\u{20a0}'..='\u{20cf}' | '\u{2200}'..='\u{25ff}' | '\u{2e80}'..='\u{303f}'
            | '\u{3041}'..='\u{3098}' | '\u{309b}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff65}' | '\u{20000}'..='\u{3ffff}'
    )
}

/// Characters that belong to the one before them: accents, variants, joined emoji.
fn joins(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}'
            | '\u{3099}'..='\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
            | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0100}'..='\u{e01ef}'
    )
}
