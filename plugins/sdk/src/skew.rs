use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Finding;

/// From here on logs and leases of two sides are hard to put beside each other.
const WARN_CLOCK_SKEW: Duration = Duration::from_secs(30);
/// From here on tokens are taken for expired, or for not valid yet: Entra's own limit.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);
const HINT: &str = "set this machine's clock: `sudo timedatectl set-ntp true`";

/// Judges this machine's clock by the `Date` of an answer that came between `asked` and `answered`.
///
/// `None` if there is no date to judge by. The date is cut to seconds, which is far below what matters.
pub fn clock_finding(date: Option<&str>, asked: Timestamp, answered: Timestamp) -> Option<Finding> {
    let theirs = jiff::fmt::rfc2822::parse(date?).ok()?.timestamp();
    let (behind, ahead) = (theirs.duration_since(answered), asked.duration_since(theirs));
    let skew = behind.max(ahead).max(SignedDuration::ZERO).unsigned_abs();
    let side = if ahead > behind { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {} s {side} the server's", skew.as_secs());
    Some(match skew {
        skew if skew > MAX_CLOCK_SKEW => Finding::failed(found, HINT),
        skew if skew > WARN_CLOCK_SKEW => Finding::warning(found, HINT),
        _ => Finding::ok("this machine's clock agrees with the server's"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn judged(date: &str) -> Option<(Status, String)> {
        let asked: Timestamp = "2026-11-24T06:00:00Z".parse().expect("timestamp");
        let finding = clock_finding(Some(date), asked, asked + SignedDuration::from_secs(10));
        finding.map(|finding| (finding.status, finding.found))
    }

    #[test]
    fn half_a_minute_is_notable_and_five_are_too_much() {
        let status = |date| judged(date).map(|(status, _)| status);
        assert_eq!(status("Tue, 24 Nov 2026 06:00:05 GMT"), Some(Status::Ok));
        assert_eq!(status("Tue, 24 Nov 2026 06:00:40 GMT"), Some(Status::Ok));
        assert_eq!(status("Tue, 24 Nov 2026 06:00:41 GMT"), Some(Status::Warning));
        assert_eq!(status("Tue, 24 Nov 2026 05:55:00 GMT"), Some(Status::Warning));
        assert_eq!(status("Tue, 24 Nov 2026 05:54:59 GMT"), Some(Status::Failed));
        assert_eq!(status("yesterday"), None);
    }

    #[test]
    fn the_side_is_told() {
        let said = |date| judged(date).expect("judged").1;
        assert_eq!(said("Tue, 24 Nov 2026 06:10:10 GMT"), "this machine's clock is 600 s behind the server's");
        assert_eq!(said("Tue, 24 Nov 2026 05:50:00 GMT"), "this machine's clock is 600 s ahead of the server's");
    }
}
