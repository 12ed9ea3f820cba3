//! How figures are written.

/// A number with three digits that count.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let places = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.01.. => 4,
        _ => 5,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    // Thousands apart, so that they can be read.
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |d| ("-", d));
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

/// A time given in ms.
pub fn milliseconds(ms: f64) -> String {
    if ms >= 1_000.0 { format!("{} s", number(ms / 1e3)) } else { format!("{} ms", number(ms)) }
}

/// Keeps numbers and their units on one line.
pub fn unbroken(text: &str) -> String {
    const UNITS: [&str; 9] = ["s", "ms", "B", "KB", "MB", "%", "×", "min", "times"];
    let mut words = text.split(' ').peekable();
    let mut joined = String::with_capacity(text.len() + 8);
    while let Some(word) = words.next() {
        joined.push_str(word);
        if let Some(next) = words.peek() {
            let unit = next.trim_end_matches([',', '.', ';', ')', ':']);
            let number = word.ends_with(|c: char| c.is_ascii_digit());
            joined.push(if number && UNITS.contains(&unit) { '\u{a0}' } else { ' ' });
        }
    }
    joined
}

/// A size in bytes.
pub fn bytes(size: f64) -> String {
    match size {
        1e6.. => format!("{} MB", number(size / 1e6)),
        1e4.. => format!("{} KB", number(size / 1e3)),
        _ => format!("{} B", number(size.round())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let all = [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (0.5, "0.5"),
            (1.0, "1"),
            (12.345, "12.3"),
            (1_234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
        ];
        for (value, text) in all {
            assert_eq!(number(value), text);
        }
        assert_eq!(
            (milliseconds(2_512.0), milliseconds(0.73)),
            ("2.51 s".into(), "0.73 ms".into())
        );
        assert_eq!((bytes(311.2), bytes(16_400.0)), ("311 B".into(), "16.4 KB".into()));
    }

    #[test]
    fn a_number_stays_with_its_unit() {
        let text = unbroken("each 5 s (3 to 4 KB), and 2 streams");
        assert_eq!(text, "each 5\u{a0}s (3 to 4\u{a0}KB), and 2 streams");
    }
}
