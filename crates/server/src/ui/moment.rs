//! Instants for people. A page without JavaScript does not know the reader's time zone: near ones are told
//! relative to now, far ones by their day in UTC, and the exact instant is in the `datetime` attribute.

use jotgate_domain::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A point in time on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for `datetime`.
    pub iso: String,
    /// What is read.
    pub text: String,
    /// To the minute, in UTC, for `title`.
    pub exact: String,
}

impl Moment {
    /// "3 minutes ago", or the day where it is long past.
    #[must_use]
    pub fn ago(at: Timestamp, now: Timestamp) -> Self {
        let seconds = now.since(at).as_secs();
        let text = match seconds {
            0..MINUTE => "just now".to_owned(),
            MINUTE..HOUR => counted(seconds / MINUTE, "minute"),
            HOUR..DAY => counted(seconds / HOUR, "hour"),
            _ if seconds < 30 * DAY => counted(seconds / DAY, "day"),
            _ => print(at, "on %-d %B %Y"),
        };
        Self { text, ..Self::day(at) }
    }

    /// "2 November 2026"
    #[must_use]
    pub fn day(at: Timestamp) -> Self {
        Self {
            iso: print(at, "%Y-%m-%dT%H:%M:%SZ"),
            text: print(at, "%-d %B %Y"),
            exact: print(at, "%-d %B %Y, %H:%M UTC"),
        }
    }
}

fn counted(count: u64, unit: &str) -> String {
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

fn print(at: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_person_would_say_it() {
        let now = Timestamp::from_secs(1_793_800_000);
        for (seconds, text) in [
            (-5, "just now"), // a clock that went back
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3_599, "59 minutes ago"),
            (3_600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (29 * 86_400, "29 days ago"),
            (30 * 86_400, "on 5 October 2026"),
        ] {
            let at = Timestamp::from_secs(now.secs() - seconds);
            assert_eq!(Moment::ago(at, now).text, text, "{seconds}");
        }
        let day = Moment::day(now);
        assert_eq!(day.text, "4 November 2026");
        assert_eq!(day.iso, "2026-11-04T13:46:40Z");
        assert_eq!(day.exact, "4 November 2026, 13:46 UTC");
        assert_eq!(Moment::day(Timestamp(i64::MAX)).text, "unknown");
    }
}
