//! Sources that would cost the parser more than their length.
//!
//! pulldown-cmark 0.13.6 is linear in everything tried (`tests/markdown_bounds.rs`) except the
//! depth of containers: each line is matched against every quote and list item that is open. So
//! the depth one line can open is bounded here.

use std::borrow::Cow;

/// Most quotes and list items that one line may open. What renders is cut at
/// [`super::write::MAX_DEPTH`] anyway.
const MAX_MARKERS: usize = 100;

/// Most columns of white space at the start of a line that are kept: each two may stand for one
/// more open list item.
const MAX_INDENT: usize = 400;

/// The text as the parser gets it. Lines stay where they are; only lines that nobody writes by
/// hand are changed, by a backslash before the marker that is one too many.
pub(super) fn tame(text: &str) -> Cow<'_, str> {
    let text: Cow<'_, str> = match text.contains('\0') {
        // As CommonMark 0.31, section 2.3 says.
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    };
    let mut cuts = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        match excess(line.as_bytes()) {
            Some(Excess::Marker(at)) => cuts.push((start + at, start + at)),
            Some(Excess::Indent(from, to)) => cuts.push((start + from, start + to)),
            None => {}
        }
        start += line.len();
    }
    if cuts.is_empty() {
        return text;
    }
    let mut tamed = String::with_capacity(text.len() + cuts.len());
    let mut done = 0;
    for (from, to) in cuts {
        tamed.push_str(&text[done..from]);
        if from == to {
            tamed.push('\\');
        }
        done = to;
    }
    tamed.push_str(&text[done..]);
    Cow::Owned(tamed)
}

/// What is too much about a line.
enum Excess {
    /// Where the first marker too many stands.
    Marker(usize),
    /// White space to be left out.
    Indent(usize, usize),
}

fn excess(line: &[u8]) -> Option<Excess> {
    let mut at = 0;
    let mut markers = 0;
    let mut before = 0;
    loop {
        let blank = at;
        let mut columns = 0;
        while let Some(byte @ (b' ' | b'\t')) = line.get(at) {
            columns += if *byte == b'\t' { 4 } else { 1 };
            at += 1;
            if columns == MAX_INDENT {
                let end = line[at..].iter().position(|b| !matches!(b, b' ' | b'\t'));
                return Some(Excess::Indent(at, at + end.unwrap_or(line.len() - at)))
                    .filter(|_| end != Some(0));
            }
        }
        if at == line.len() || (markers > 0 && at - blank > MAX_INDENT) {
            return None;
        }
        let marker = at;
        match line[at] {
            b'>' => at += 1,
            byte @ (b'-' | b'+' | b'*') => {
                // `- - -` is a rule, not three lists.
                if before != byte
                    && line[at..].iter().all(|b| *b == byte || b.is_ascii_whitespace())
                {
                    return None;
                }
                at += 1;
                if !line.get(at).is_none_or(u8::is_ascii_whitespace) {
                    return None;
                }
            }
            b'0'..=b'9' => {
                let digits = line[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                at += digits;
                if digits > 9 || !matches!(line.get(at), Some(b'.' | b')')) {
                    return None;
                }
                at += 1;
                if !line.get(at).is_none_or(u8::is_ascii_whitespace) {
                    return None;
                }
            }
            _ => return None,
        }
        markers += 1;
        before = line[marker];
        if markers > MAX_MARKERS {
            // Before the bullet or quote sign; of `12.` before the dot.
            let sign = if line[marker].is_ascii_digit() { at - 1 } else { marker };
            return Some(Excess::Marker(sign));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_beyond_all_reason_are_changed() {
        for text in ["", "> a\n", &"> ".repeat(100), &"- ".repeat(5_000), &"*".repeat(500), "a\nb"]
        {
            assert_eq!(tame(text), *text);
        }
        assert_eq!(tame(&">".repeat(150)), ">".repeat(100) + "\\" + &">".repeat(50));
        assert_eq!(tame(&"1. ".repeat(150)), "1. ".repeat(100) + "1\\. " + &"1. ".repeat(49));
        assert_eq!(
            tame(&("\n".to_owned() + &" ".repeat(900) + "x")),
            "\n".to_owned() + &" ".repeat(400) + "x"
        );
        assert_eq!(tame("a\0b"), "a\u{fffd}b");
    }
}
