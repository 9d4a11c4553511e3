use std::time::Duration;

use jiff::SignedDuration;
use stargate_sdk::ActionError;

/// Parses a duration such as `10m`; `name` is the input that it is part of.
///
/// # Errors
/// `Permanent` for another form and for a negative duration.
pub(crate) fn parse_duration(name: &str, text: &str) -> Result<Duration, ActionError> {
    let span: Option<SignedDuration> = text.parse().ok();
    span.and_then(|span| Duration::try_from(span).ok()).ok_or_else(|| {
        ActionError::permanent(format!("{name}: {text:?} is not a duration")).with_hint("write 10m, or 90s")
    })
}
