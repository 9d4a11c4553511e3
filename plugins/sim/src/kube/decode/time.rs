use jiff::Timestamp;

/// Layout of Go for points in time in seconds.
const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// Layout of Go for points in time in microseconds.
const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Elements of both layouts before the fraction and the offset. An element of digits stands for as
/// many digits, any other one for itself.
const ELEMENTS: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];

/// Returns a point in time in the form in which the API server stores it: in UTC, in whole seconds
/// or in microseconds.
///
/// A time in microseconds has exactly six digits of a fraction.
///
/// # Errors
///
/// The error of Go's `time.Parse`.
pub(super) fn canonical(text: &str, is_micro: bool) -> Result<String, String> {
    let layout = if is_micro { MICROSECONDS } else { SECONDS };
    let error = |rest: &str, element: &str| {
        Err(format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{rest}\" as \"{element}\""))
    };
    let mut rest = text;
    for element in ELEMENTS {
        match after(rest, element) {
            Some(after) => rest = after,
            None => return error(rest, element),
        }
    }
    if is_micro {
        let Some(after) = rest.strip_prefix('.').and_then(|fraction| after(fraction, "000000")) else {
            return error(rest, ".000000");
        };
        rest = after;
    } else if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    let is_offset = |offset: &str| {
        offset
            .strip_prefix(['+', '-'])
            .and_then(|rest| after(rest, "00"))
            .and_then(|rest| after(rest, ":"))
            .and_then(|rest| after(rest, "00"))
            .is_some_and(str::is_empty)
    };
    if rest != "Z" && !is_offset(rest) {
        return error(rest, "Z07:00");
    }
    let time: Timestamp = text.parse().map_err(|_| format!("parsing time \"{text}\": day out of range"))?;
    Ok(time.strftime(if is_micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" }).to_string())
}

/// Returns the text after an element of a layout; `None` if it does not begin with one.
fn after<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    if !element.starts_with(|digit: char| digit.is_ascii_digit()) {
        return text.strip_prefix(element);
    }
    let (digits, after) = text.split_at_checked(element.len())?;
    digits.chars().all(|digit| digit.is_ascii_digit()).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn times_are_stored_in_utc() {
        let cases = [
            ("2026-11-28T15:00:00Z", false, "2026-11-28T15:00:00Z"),
            ("2026-11-28T17:00:00.5+02:00", false, "2026-11-28T15:00:00Z"),
            ("2026-11-28T15:00:00.123456Z", true, "2026-11-28T15:00:00.123456Z"),
            ("2026-11-28T17:00:00.000001+02:00", true, "2026-11-28T15:00:00.000001Z"),
        ];
        for (text, is_micro, expected) in cases {
            assert_eq!(canonical(text, is_micro).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_are_those_of_go() {
        let cases = [
            ("yesterday", false, "cannot parse \"yesterday\" as \"2006\""),
            ("2026-11-28", false, "cannot parse \"\" as \"T\""),
            ("2026-11-28T15:00:00", false, "cannot parse \"\" as \"Z07:00\""),
            ("2026-11-28T15:00:00Z", true, "cannot parse \"Z\" as \".000000\""),
            ("2026-11-28T15:00:00.123Z", true, "cannot parse \".123Z\" as \".000000\""),
            ("2026-11-28T15:00:00.123456789Z", true, "cannot parse \"789Z\" as \"Z07:00\""),
            ("2026-02-30T15:00:00Z", false, "day out of range"),
        ];
        for (text, is_micro, expected) in cases {
            let error = canonical(text, is_micro).expect_err(text);
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
