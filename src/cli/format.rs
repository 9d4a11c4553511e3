//! Times, durations and counts in words.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use stargate::{clock::UnixMillis, run::Answer};
use stargate_sdk::{ActionError, FailureKind};

/// `12:03:04`, local time.
pub(crate) fn time_of_day(at: UnixMillis) -> String {
    local(at, "%H:%M:%S")
}

/// `2026-11-24 12:03:04`, local time.
pub(crate) fn date_and_time(at: UnixMillis) -> String {
    local(at, "%Y-%m-%d %H:%M:%S")
}

fn local(at: UnixMillis, format: &str) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(timestamp) => timestamp.to_zoned(TimeZone::system()).strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

/// `850ms`, `2.4s`, `1m 03s` or `2h 05m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `text` with the ids of Azure's resources cut down to what people call them by: type and name.
pub(crate) fn shorten_resource_ids(text: &str) -> String {
    let short = |word: &str| match word.rsplit('/').take(2).collect::<Vec<_>>().as_slice() {
        [name, kind] if word.starts_with("/subscriptions/") => format!("…/{kind}/{name}"),
        _ => word.to_owned(),
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// What to say of the changes of a step that failed with this error.
pub(crate) fn change_verb(error: &ActionError) -> &'static str {
    if error.kind == FailureKind::Unknown { "may have changed" } else { "changed" }
}

/// What a person has said of a step.
pub(crate) fn answer_text(by: &str, answer: &Answer) -> String {
    match answer {
        Answer::Approved => format!("approved by {by}"),
        Answer::Refused { error } => format!("refused by {by}: {error}"),
        Answer::Done { .. } => format!("took effect, says {by}"),
        Answer::NotDone => format!("did not take effect, says {by}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_called_by_its_type_and_name() {
        let id = "/subscriptions/4465/resourceGroups/g/providers/Microsoft.Network/routeTables/rt";
        assert_eq!(shorten_resource_ids(&format!("+ route table: {id}")), "+ route table: …/routeTables/rt");
        assert_eq!(shorten_resource_ids("a  b/c"), "a  b/c");
    }

    #[test]
    fn durations_have_two_figures_that_matter() {
        let cases = [(0, "0ms"), (850, "850ms"), (2_449, "2.4s"), (63_000, "1m 03s"), (7_500_000, "2h 05m")];
        for (millis, expected) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn one_of_a_thing_has_no_plural() {
        assert_eq!((plural(1, "step"), plural(0, "step")), ("1 step".into(), "0 steps".into()));
    }
}
