use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Finding;

/// Clock skew above which the check warns: logs and leases of two machines are hard to compare.
const WARN_CLOCK_SKEW: Duration = Duration::from_secs(30);
/// Clock skew above which the check fails: Entra ID accepts five minutes, beyond which it considers
/// tokens expired or not yet valid.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);
const HINT: &str = "set this machine's clock: `sudo timedatectl set-ntp true`";

/// Compares this machine's clock with the `Date` header of a response. `sent_at` and `received_at`
/// are this machine's times of request and response.
///
/// Returns `None` if there is no valid date. The header has a resolution of one second, well below
/// the limits.
pub fn clock_finding(date: Option<&str>, sent_at: Timestamp, received_at: Timestamp) -> Option<Finding> {
    let server_time = jiff::fmt::rfc2822::parse(date?).ok()?.timestamp();
    let (behind, ahead) = (server_time.duration_since(received_at), sent_at.duration_since(server_time));
    let skew = behind.max(ahead).max(SignedDuration::ZERO).unsigned_abs();
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let message = format!("this machine's clock is {} s {direction} the server's", skew.as_secs());
    Some(match skew {
        skew if skew > MAX_CLOCK_SKEW => Finding::failed(message, HINT),
        skew if skew > WARN_CLOCK_SKEW => Finding::warning(message, HINT),
        _ => Finding::ok("this machine's clock agrees with the server's"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CheckStatus;

    fn status_and_message(date: &str) -> Option<(CheckStatus, String)> {
        let sent_at: Timestamp = "2026-11-24T06:00:00Z".parse().expect("timestamp");
        let finding = clock_finding(Some(date), sent_at, sent_at + SignedDuration::from_secs(10));
        finding.map(|finding| (finding.status, finding.message))
    }

    #[test]
    fn a_skew_of_half_a_minute_warns_and_one_of_five_minutes_fails() {
        let status = |date| status_and_message(date).map(|(status, _)| status);
        assert_eq!(status("Tue, 24 Nov 2026 06:00:05 GMT"), Some(CheckStatus::Ok));
        assert_eq!(status("Tue, 24 Nov 2026 06:00:40 GMT"), Some(CheckStatus::Ok));
        assert_eq!(status("Tue, 24 Nov 2026 06:00:41 GMT"), Some(CheckStatus::Warning));
        assert_eq!(status("Tue, 24 Nov 2026 05:55:00 GMT"), Some(CheckStatus::Warning));
        assert_eq!(status("Tue, 24 Nov 2026 05:54:59 GMT"), Some(CheckStatus::Failed));
        assert_eq!(status("yesterday"), None);
    }

    #[test]
    fn the_message_names_the_direction() {
        let message = |date| status_and_message(date).expect("date").1;
        assert_eq!(message("Tue, 24 Nov 2026 06:10:10 GMT"), "this machine's clock is 600 s behind the server's");
        assert_eq!(message("Tue, 24 Nov 2026 05:50:00 GMT"), "this machine's clock is 600 s ahead of the server's");
    }
}
