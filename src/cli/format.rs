//! Text for times, durations, counts and changes, the same in each command.

use std::time::Duration;

use jiff::Timestamp;
use stargate::{clock::UnixMillis, run::Answer};
use stargate_sdk::{ActionError, FailureKind};

use super::time_zone;

/// Formats a point in time as `12:03:04`, in local time.
pub(crate) fn time_of_day(at: UnixMillis) -> String {
    local(at, "%H:%M:%S")
}

/// Formats a point in time as `2026-11-24 12:03:04`, in local time.
pub(crate) fn date_and_time(at: UnixMillis) -> String {
    local(at, "%Y-%m-%d %H:%M:%S")
}

/// Formats a point in time as `2026-11-24 12:03:04 Europe/Berlin`, in local time with its zone, or
/// the offset from UTC if the zone has no name.
pub(crate) fn date_time_and_zone(at: UnixMillis) -> String {
    local(at, "%Y-%m-%d %H:%M:%S %:Q")
}

/// Formats in the system's time zone; a time out of range as milliseconds.
fn local(at: UnixMillis, format: &str) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(timestamp) => timestamp.to_zoned(time_zone::system()).strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

/// Formats a duration as `850ms`, `2.4s`, `1m 03s` or `2h 05m`. Fractions are cut off.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Formats a count with its noun: `1 step`, `2 steps`. Only for nouns whose plural ends in `s`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Shortens the ids of Azure resources in `text` to type and name: `…/routeTables/rt`.
pub(crate) fn shorten_resource_ids(text: &str) -> String {
    let short = |word: &str| match word.rsplit('/').take(2).collect::<Vec<_>>().as_slice() {
        [name, kind] if word.starts_with("/subscriptions/") => format!("…/{kind}/{name}"),
        _ => word.to_owned(),
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// Returns the verb for the changes of a step that ended with this error: `changed`, or `may have
/// changed` if the effect of the failed call is unknown.
pub(crate) fn change_verb(error: &ActionError) -> &'static str {
    if error.kind == FailureKind::Unknown { "may have changed" } else { "changed" }
}

/// Describes an operator's answer, with the process that recorded it.
pub(crate) fn answer_text(by: &str, answer: &Answer) -> String {
    match answer {
        Answer::Approved => format!("approved by {by}"),
        Answer::Refused { error } => format!("refused by {by}: {error}"),
        Answer::Done { .. } => format!("resolved by {by}: took effect"),
        Answer::NotDone => format!("resolved by {by}: did not take effect"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_id_is_shortened_to_type_and_name() {
        let id = "/subscriptions/4465/resourceGroups/g/providers/Microsoft.Network/routeTables/rt";
        assert_eq!(shorten_resource_ids(&format!("+ route table: {id}")), "+ route table: …/routeTables/rt");
        assert_eq!(shorten_resource_ids("a  b/c"), "a  b/c");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [(0, "0ms"), (850, "850ms"), (2_449, "2.4s"), (63_000, "1m 03s"), (7_500_000, "2h 05m")];
        for (millis, expected) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_count_of_one_has_no_plural() {
        assert_eq!((plural(1, "step"), plural(0, "step")), ("1 step".into(), "0 steps".into()));
    }
}
