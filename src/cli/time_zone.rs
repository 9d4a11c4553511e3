//! Time zone of the process, in which schedules are due and times are shown.

use std::fs;

use jiff::tz::{self, TimeZone};
use stargate::workflow::suggest_name;

use super::Failure;

/// Returns the time zone of the process: that of `TZ`, or that of the system; UTC if it has none.
pub(crate) fn system() -> TimeZone {
    let zone = TimeZone::system();
    if zone.is_unknown() { TimeZone::UTC } else { zone }
}

/// Checks that the value of `TZ` is a time zone: a name, a POSIX rule, or a file with a zone.
///
/// # Errors
/// A usage failure with the most similar name.
pub(crate) fn check(written: &str) -> Result<(), Failure> {
    let name = written.strip_prefix(':').unwrap_or(written);
    // A file that is not regular is not read: it can block, or have no end.
    let is_readable = || fs::metadata(name).map_or(true, |file| file.is_file());
    if tz::db().get(name).is_ok() || is_readable() && TimeZone::try_system().is_ok() {
        return Ok(());
    }
    let known: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    let hint = match suggest_name(name, known.iter().map(String::as_str)) {
        Some(near) => format!("set TZ={near}, the most similar name, or run `unset TZ` for the zone of this system"),
        None if known.is_empty() => "install the time zone database (tzdata), or run `unset TZ`".into(),
        None => "set TZ to a name such as Europe/Berlin, or run `unset TZ` for the zone of this system".into(),
    };
    Err(Failure::usage(format!("the variable TZ is no time zone: {name:?}"), hint))
}
