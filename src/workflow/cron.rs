use std::{fmt, ops::Range, str::FromStr};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::suggest::did_you_mean;
use crate::clock::UnixMillis;

/// Name, minimum and maximum of each field.
const FIELDS: [(&str, u8, u8); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Positions of the two fields that select days.
const DAY_OF_MONTH: usize = 2;
const DAY_OF_WEEK: usize = 4;

/// A schedule: the five fields of cron.
///
/// Only expressions are accepted that have the same meaning in crontab, systemd and Kubernetes.
///
/// ```
/// use stargate::workflow::Cron;
///
/// let cron: Cron = "0 6 * * mon-fri".parse().unwrap();
/// assert_eq!(cron.to_string(), "0 6 * * 1-5");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// Minute, hour, day of the month, month and day of the week.
    fields: [CronField; 5],
    /// The same schedule in the calendar library.
    due: croner::Cron,
}

/// One field of a schedule. It matches if one of its items does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronField(Vec<CronItem>);

/// One item of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronItem {
    /// The item `*`, or `*/n`: the minimum and each n-th value after it.
    Every {
        /// The number n; 1 for all values.
        step: u8,
    },
    /// The item `a`, `a-b` or `a-b/n`, with inclusive bounds.
    Range {
        /// The lower bound a.
        from: u8,
        /// The upper bound b; a if there is none.
        to: u8,
        /// The number n; 1 if there is none.
        step: u8,
    },
}

/// Reason for which a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// Description of the error.
    pub message: String,
    /// Bytes of the text that are wrong.
    pub range: Range<usize>,
    /// Advice to the reader.
    pub hint: Option<String>,
}

impl Cron {
    /// Returns the first time after `after` at which the schedule is due, by the clocks in `zone`.
    ///
    /// `None` if there is none within the range of the calendar library.
    pub fn next_after(&self, after: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        let after = Timestamp::from_millisecond(after.0).ok()?.to_zoned(zone.clone());
        let next: Zoned = self.due.find_next_occurrence(&after, false).ok()?;
        Some(UnixMillis(next.timestamp().as_millisecond()))
    }

    /// Returns minute, hour, day of the month, month and day of the week.
    pub fn fields(&self) -> &[CronField; 5] {
        &self.fields
    }

    /// Returns true if both the day of the month and the day of the week are restricted: then
    /// either is enough.
    pub fn is_due_on_either_day(&self) -> bool {
        !self.fields[DAY_OF_MONTH].is_any() && !self.fields[DAY_OF_WEEK].is_any()
    }
}

impl CronField {
    /// Returns true if the field matches each value.
    pub fn is_any(&self) -> bool {
        self.0 == [CronItem::Every { step: 1 }]
    }

    /// Returns the items in the order of the text.
    pub fn items(&self) -> &[CronItem] {
        &self.0
    }

    /// Returns true if the field has an item `*/n` with n above 1.
    fn has_step_over_all(&self) -> bool {
        self.0.iter().any(|item| matches!(item, CronItem::Every { step } if *step > 1))
    }

    /// Returns the days of the week, sorted, from 0 for Sunday to 6. A 7 in the text is a Sunday
    /// too.
    pub fn days(&self) -> Vec<u8> {
        let item = |item: &CronItem| match *item {
            CronItem::Every { step } => (0..=6).step_by(step.into()),
            CronItem::Range { from, to, step } => (from..=to).step_by(step.into()),
        };
        let mut days: Vec<u8> = self.0.iter().flat_map(item).map(|day| day % 7).collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    /// Returns true if a range ends with 7, which some cron programs refuse.
    fn names_sunday_by_seven(&self) -> bool {
        self.0.iter().any(|item| matches!(item, CronItem::Range { to: 7, .. }))
    }
}

/// Shows the schedule in the form that each cron implementation accepts: numbers for names, 0 for
/// Sunday.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minute, hour, day, month, weekday] = &self.fields;
        write!(f, "{minute} {hour} {day} {month} ")?;
        if !weekday.names_sunday_by_seven() {
            return weekday.fmt(f);
        }
        let days: Vec<_> = weekday.days().iter().map(ToString::to_string).collect();
        f.write_str(&days.join(","))
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CronItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Every { step: 1 } => f.write_str("*"),
            Self::Every { step } => write!(f, "*/{step}"),
            Self::Range { from, to, .. } if from == to => write!(f, "{from}"),
            Self::Range { from, to, step: 1 } => write!(f, "{from}-{to}"),
            Self::Range { from, to, step } => write!(f, "{from}-{to}/{step}"),
        }
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let words = words(text);
        if words.len() != FIELDS.len() {
            let message = format!("{text:?} is not a schedule: it has {} fields instead of 5", words.len());
            return Err(CronError::new(message, 0..text.len(), "write minute, hour, day, month and day of the week"));
        }
        let field = |at: usize| read_field(&text[words[at].clone()], at, words[at].start);
        let fields = [field(0)?, field(1)?, field(2)?, field(3)?, field(4)?];
        let steps = |one: usize, other: usize| fields[one].has_step_over_all() && !fields[other].is_any();
        if steps(DAY_OF_MONTH, DAY_OF_WEEK) || steps(DAY_OF_WEEK, DAY_OF_MONTH) {
            let message = "a step over all days together with the other day field has different meanings in different cron programs";
            let range = words[DAY_OF_MONTH].start..words[DAY_OF_WEEK].end;
            return Err(CronError::new(message, range, "write the range, such as 1-31/2"));
        }
        let whole = || words[0].start..words[4].end;
        let mut cron = Self { fields, due: parse_cron("* * * * *", whole())? };
        cron.due = parse_cron(&cron.to_string(), whole())?;
        // The start does not matter: the calendar repeats after 28 years, except for leap days that
        // some centuries omit.
        if cron.next_after(UnixMillis(0), &TimeZone::UTC).is_none() {
            let range = words[DAY_OF_MONTH].start..words[3].end;
            return Err(CronError::new("no month has that day", range, "choose a day that one of the months has"));
        }
        Ok(cron)
    }
}

/// Parses a schedule with the calendar library, after this module has accepted its fields.
fn parse_cron(text: &str, range: Range<usize>) -> Result<croner::Cron, CronError> {
    text.parse().map_err(|error: croner::errors::CronError| CronError { message: error.to_string(), range, hint: None })
}

impl CronError {
    fn new(message: impl Into<String>, range: Range<usize>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), range, hint: Some(hint.into()) }
    }
}

/// Returns the byte ranges of the words of a text.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    for word in text.split([' ', '\t']) {
        if !word.is_empty() {
            found.push(at..at + word.len());
        }
        at += word.len() + 1;
    }
    found
}

/// Reads the comma-separated items of a field. `start` is its offset in the text.
fn read_field(text: &str, field: usize, start: usize) -> Result<CronField, CronError> {
    let mut at = start;
    let mut items = Vec::new();
    for part in text.split(',') {
        let range = at..at + part.len();
        let item =
            read_item(part, field).map_err(|(message, hint)| CronError { message, range: range.clone(), hint })?;
        items.push(item);
        at += part.len() + 1;
    }
    if items.len() > 1 && items.contains(&CronItem::Every { step: 1 }) {
        let message = "* already includes each value";
        return Err(CronError::new(message, start..start + text.len(), "write only *, or remove it"));
    }
    Ok(CronField(items))
}

/// Message and hint.
type ItemError = (String, Option<String>);

/// Reads one item: `*`, a value or a range, with or without a step.
fn read_item(text: &str, field: usize) -> Result<CronItem, ItemError> {
    let (name, _, max) = FIELDS[field];
    let (values, step) = match text.split_once('/') {
        None => (text, 1),
        Some((values, step)) => (values, read_step(step, name, max)?),
    };
    if values == "*" {
        return Ok(CronItem::Every { step });
    }
    if let Some((from, to)) = values.split_once('-') {
        let (from, to) = (read_value(from, field)?, read_value(to, field)?);
        if from > to {
            let hint = "write the smaller number first, or two ranges such as 22-23,0-5".to_owned();
            return Err((format!("the range {values:?} is reversed"), Some(hint)));
        }
        return Ok(CronItem::Range { from, to, step });
    }
    if text.contains('/') {
        let hint = format!("write {values}-{max}/{step}, which each cron program accepts");
        return Err((format!("{text:?} has a step but no range"), Some(hint)));
    }
    let value = read_value(values, field)?;
    Ok(CronItem::Range { from: value, to: value, step: 1 })
}

/// Reads the number after `/`.
fn read_step(text: &str, name: &str, max: u8) -> Result<u8, ItemError> {
    match number(text) {
        Some(step) if (1..=max).contains(&step) => Ok(step),
        _ => Err((format!("{text:?} cannot be a step of the {name}: a step is from 1 to {max}"), None)),
    }
}

/// Reads a number, or the name of a month or day.
fn read_value(text: &str, field: usize) -> Result<u8, ItemError> {
    let (name, min, max) = FIELDS[field];
    let names: &[&str] = match field {
        3 => &MONTHS,
        DAY_OF_WEEK => &DAYS,
        _ => &[],
    };
    let lower = text.to_ascii_lowercase();
    if let Some(at) = (0_u8..).zip(names).find(|(_, known)| **known == lower) {
        return Ok(at.0 + min);
    }
    match number(text) {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        _ => {
            let message = format!("{text:?} cannot be the {name}: it is from {min} to {max}");
            Err((message, did_you_mean(&lower, names.iter().copied())))
        }
    }
}

/// Reads a number that consists of digits only, so `+5` is refused.
fn number(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(text: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).expect("a time zone");
        let after: Timestamp = after.parse().expect("a time");
        let next = text.parse::<Cron>().expect("a schedule").next_after(UnixMillis(after.as_millisecond()), &zone);
        next.map_or_else(|| "never".into(), |next| next.to_string())
    }

    #[test]
    fn the_next_due_time_follows_the_fields() {
        let now = "2026-02-27T23:57:30Z"; // a Friday
        let cases = [
            ("*/5 * * * *", "2026-02-28T00:00:00Z"),
            ("57 23 * * *", "2026-02-28T23:57:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("30 4 1,15 * *", "2026-03-01T04:30:00Z"),
            ("0 6 * * mon-fri", "2026-03-02T06:00:00Z"),
            ("0 6 * * 7", "2026-03-01T06:00:00Z"),
            ("0 6 13 * 5", "2026-03-06T06:00:00Z"), // on either day
            ("0 0 1 JAN *", "2027-01-01T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(due(text, now, "UTC"), expected, "{text}");
        }
        assert_eq!(due("0 6 * * *", now, "Europe/Berlin"), "2026-02-28T05:00:00Z");
    }

    #[test]
    fn the_next_due_time_is_later_than_now() {
        assert_eq!(due("*/5 * * * *", "2026-02-28T00:00:00Z", "UTC"), "2026-02-28T00:05:00Z");
    }

    #[test]
    fn a_schedule_is_due_once_when_the_clocks_change() {
        // Clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
        let after = due("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin");
        assert_eq!(after, "2026-03-29T01:00:00Z", "immediately after the clocks are put forward");
        let first = due("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin");
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(due("30 2 * * *", &first, "Europe/Berlin"), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn a_schedule_is_shown_in_the_common_form() {
        let cases = [
            ("*/5 * * * *", "*/5 * * * *"),
            ("0  6 1-15/2 JAN,jul mon-fri", "0 6 1-15/2 1,7 1-5"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("0 0 * * 7", "0 0 * * 0"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Cron>().expect("a schedule").to_string(), expected);
        }
    }

    #[test]
    fn an_invalid_or_ambiguous_schedule_is_reported_with_its_place() {
        let cases = [
            ("* * * *", "it has 4 fields instead of 5", "* * * *"),
            ("0 * * * * *", "it has 6 fields instead of 5", "0 * * * * *"),
            ("@daily", "1 fields instead of 5", "@daily"),
            ("60 * * * *", "\"60\" cannot be the minute: it is from 0 to 59", "60"),
            ("0 5,24 * * *", "\"24\" cannot be the hour", "24"),
            ("0 0 0 * *", "\"0\" cannot be the day of the month", "0"),
            ("0 0 * * 8", "\"8\" cannot be the day of the week", "8"),
            ("0 0 L * *", "\"L\" cannot be the day of the month", "L"),
            ("*/0 * * * *", "\"0\" cannot be a step of the minute", "*/0"),
            ("5/10 * * * *", "has a step but no range", "5/10"),
            ("30-10 * * * *", "is reversed", "30-10"),
            ("*,5 * * * *", "already includes each value", "*,5"),
            ("0 0 */2 * 1", "different meanings in different cron programs", "*/2 * 1"),
            ("0 0 30 2 *", "no month has that day", "30 2"),
            ("+5 * * * *", "\"+5\" cannot be the minute", "+5"),
        ];
        for (text, message, place) in cases {
            let error = text.parse::<Cron>().expect_err(text);
            assert!(error.message.contains(message), "{text}: {error}");
            let found = &text[error.range];
            assert_eq!(found, place, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_the_shown_form_is_equivalent(text in "[0-9*/, -]{1,16}( [0-9*/,-]{1,6}){0,4}") {
            if let Ok(cron) = text.parse::<Cron>() {
                let again: Cron = cron.to_string().parse().expect("the shown form is a schedule");
                let next = |cron: &Cron| cron.next_after(UnixMillis(1_800_000_000_000), &TimeZone::UTC);
                prop_assert_eq!(next(&cron), next(&again));
            }
        }
    }
}
