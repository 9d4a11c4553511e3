use std::time::Duration;

use http::{Method, StatusCode};
use stargate_sdk::{ActionError, FailureKind};

/// Effect that a call without a response can have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEffect {
    /// The call only reads: it can be repeated after any failure.
    ReadOnly,
    /// The call may have changed something: a lost response leaves the outcome unknown.
    MayHaveChanged,
}

impl CallEffect {
    /// The effect of a call with this HTTP method: `GET`, `HEAD`, `OPTIONS` and `TRACE` only read
    /// (RFC 9110, section 9.2.1).
    pub fn of(method: &Method) -> Self {
        if method.is_safe() { Self::ReadOnly } else { Self::MayHaveChanged }
    }

    /// Kind of the failure of a call that was sent and got no response, or one that does not show
    /// whether it took effect.
    pub fn unanswered(self) -> FailureKind {
        match self {
            Self::ReadOnly => FailureKind::Transient,
            Self::MayHaveChanged => FailureKind::Unknown,
        }
    }

    /// Error of a call that was sent and got no response, or one that does not show whether it took
    /// effect.
    pub fn unanswered_error(self, message: impl Into<String>) -> ActionError {
        ActionError::new(self.unanswered(), message)
    }

    /// Kind of the failure that a response without success represents.
    ///
    /// `by_code` is the kind that the server's own error code decides, where it does; it counts
    /// more than the HTTP status, except for 429. The other statuses:
    ///
    /// | status | kind |
    /// |---|---|
    /// | 429 | throttled, with `retry_after` |
    /// | 412 | transient: nothing was written, the next attempt reads again |
    /// | 501, 505 | permanent: the server does not have the call |
    /// | 408 and other 5xx | transient for a read, else unknown |
    /// | all others | permanent |
    pub fn failure_kind(
        self,
        status: StatusCode,
        retry_after: Option<Duration>,
        by_code: Option<FailureKind>,
    ) -> FailureKind {
        match (status, by_code) {
            (StatusCode::TOO_MANY_REQUESTS, _) => FailureKind::Throttled { retry_after },
            (_, Some(kind)) => kind,
            (StatusCode::PRECONDITION_FAILED, None) => FailureKind::Transient,
            (StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED, None) => FailureKind::Permanent,
            (StatusCode::REQUEST_TIMEOUT, None) => self.unanswered(),
            (status, None) if status.is_server_error() => self.unanswered(),
            (_, None) => FailureKind::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_kind() {
        use CallEffect::{MayHaveChanged as Write, ReadOnly as Read};
        use FailureKind::{Permanent, Transient, Unknown};
        let throttled = FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) };
        let cases = [
            (Read, 429, throttled),
            (Write, 429, throttled),
            (Read, 408, Transient),
            (Write, 408, Unknown),
            (Write, 412, Transient),
            (Read, 500, Transient),
            (Write, 500, Unknown),
            (Read, 501, Permanent),
            (Write, 501, Permanent),
            (Write, 505, Permanent),
            (Write, 503, Unknown),
            (Read, 504, Transient),
            (Read, 404, Permanent),
            (Write, 409, Permanent),
            (Write, 302, Permanent),
        ];
        for (effect, status, expected) in cases {
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(
                effect.failure_kind(status, Some(Duration::from_secs(7)), None),
                expected,
                "{effect:?} {status}"
            );
        }
    }

    #[test]
    fn the_servers_code_counts_more_than_the_status_but_for_429() {
        let effect = CallEffect::MayHaveChanged;
        let by_code = Some(FailureKind::Transient);
        assert_eq!(effect.failure_kind(StatusCode::CONFLICT, None, by_code), FailureKind::Transient);
        assert_eq!(effect.failure_kind(StatusCode::INTERNAL_SERVER_ERROR, None, by_code), FailureKind::Transient);
        let throttled = FailureKind::Throttled { retry_after: None };
        assert_eq!(effect.failure_kind(StatusCode::TOO_MANY_REQUESTS, None, by_code), throttled);
    }

    #[test]
    fn the_method_decides_the_effect() {
        assert_eq!(CallEffect::of(&Method::GET), CallEffect::ReadOnly);
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            assert_eq!(CallEffect::of(&method), CallEffect::MayHaveChanged, "{method}");
        }
    }
}
