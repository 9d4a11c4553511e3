use std::time::Duration;

use http::{HeaderMap, header::RETRY_AFTER};
use jiff::Timestamp;

/// Longest delay that a server can ask for: the longest window in which Azure Resource Manager
/// counts requests. A longer one would only delay the next request, which the server can refuse
/// again.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Reads `Retry-After`, in seconds or as an HTTP date (RFC 9110, section 10.2.3), as the delay from
/// `now` on.
///
/// A date in the past is no delay; a delay above [`MAX_RETRY_AFTER`] is cut to it. `None` if the
/// header is absent or is neither of the two forms.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX)) // more digits than fit: the limit below applies
    } else {
        let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    };
    Some(bounded_retry_after(delay))
}

/// The delay that a server asked for outside the header, at most [`MAX_RETRY_AFTER`].
pub fn bounded_retry_after(delay: Duration) -> Duration {
    delay.min(MAX_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().expect("header"));
        retry_after(&headers, "2026-11-24T06:00:00Z".parse().expect("timestamp"))
    }

    #[test]
    fn the_header_is_seconds_or_a_date() {
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        assert_eq!(read("Tue, 24 Nov 2026 06:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Tue, 24 Nov 2026 05:00:00 GMT"), Some(Duration::ZERO), "a date in the past");
    }

    #[test]
    fn other_forms_are_ignored() {
        for value in ["soon", "-1", "1.5", "", "Tue, 24 Nov"] {
            assert_eq!(read(value), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn a_delay_has_a_limit() {
        for value in ["86400", "18446744073709551615", "99999999999999999999999", "Tue, 24 Nov 2099 06:00:00 GMT"] {
            assert_eq!(read(value), Some(MAX_RETRY_AFTER), "{value}");
        }
    }
}
