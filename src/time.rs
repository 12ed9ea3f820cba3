//! Times as people and machines write them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970. A clock before 1970 counts as 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time as RFC 3339 in UTC with whole seconds, for `<time datetime>`.
///
/// ```
/// assert_eq!(halley::time::iso(1_700_000_000_000), "2023-11-14T22:13:20Z");
/// ```
#[must_use]
pub fn iso(ms: u64) -> String {
    let (year, month, day) = date(ms / 86_400_000);
    let seconds = ms / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How long ago something was, in words: “just now”, “5 minutes ago”, and the date after a week.
///
/// ```
/// use halley::time::ago;
/// assert_eq!(ago(0, 30_000), "just now");
/// assert_eq!(ago(0, 3_600_000), "1 hour ago");
/// assert_eq!(ago(1_700_000_000_000, 1_800_000_000_000), "14 November 2023");
/// ```
#[must_use]
pub fn ago(ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(ms) / 60_000;
    let words = |n: u64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match minutes {
        0 => "just now".to_owned(),
        1..60 => words(minutes, "minute"),
        60..1440 => words(minutes / 60, "hour"),
        1440..10_080 => words(minutes / 1440, "day"),
        _ => day(ms),
    }
}

/// When somebody was there last, in words that go on a sentence: “5 minutes ago”, “on Tuesday”, and
/// the date after a week.
///
/// ```
/// use halley::time::since;
/// assert_eq!(since(0, 30_000), "a moment ago");
/// assert_eq!(since(1_700_000_000_000, 1_700_200_000_000), "on Tuesday");
/// assert_eq!(since(1_700_000_000_000, 1_800_000_000_000), "on 14 November 2023");
/// ```
#[must_use]
pub fn since(ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(ms) / 60_000 {
        0 => "a moment ago".to_owned(),
        1..1440 => ago(ms, now_ms),
        // 1 January 1970 was a Thursday.
        1440..10_080 => format!("on {}", WEEKDAYS[(ms / 86_400_000 + 3) as usize % 7]),
        _ => format!("on {}", day(ms)),
    }
}

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The day of a time in UTC: “14 November 2023”.
#[must_use]
pub fn day(ms: u64) -> String {
    let (year, month, day) = date(ms / 86_400_000);
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    format!("{day} {name} {year}")
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month (1..=12) and day (1..=31) of a day counted from 1970-01-01, in the proleptic
/// Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`, for days after 1970 only).
fn date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_century_ends_are_right() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(iso(4_107_542_399_000), "2100-02-28T23:59:59Z");
        assert_eq!(iso(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_time_in_the_future_is_just_now() {
        assert_eq!(ago(5_000_000, 0), "just now");
    }
}
