use std::sync::Arc;

use stargate_sdk::{ActionContext, ActionError, RunLease};

use crate::CallEffect;

/// Permission to send one call.
///
/// Each function that sends something takes one, so that no call can be sent without
/// [`CallEffect::permit`]: the call only reads, or this process owned its run just before.
#[derive(Debug)]
#[must_use = "a permit is for a call"]
pub struct CallPermit {
    effect: CallEffect,
    /// Lease of the run and error after its end, for a call that may change something.
    fence: Option<(Arc<RunLease>, ActionError)>,
}

impl CallEffect {
    /// Permits a call with this effect. A call that may change something needs a lease in force; an
    /// expired one is renewed first. `call` is the call's name, such as `tailscale GET /api/v2/…`.
    ///
    /// # Errors
    /// Those of [`ActionContext::check_lease`]: the call must not be sent.
    pub async fn permit(self, cx: &ActionContext, call: &str) -> Result<CallPermit, ActionError> {
        match self {
            Self::ReadOnly => Ok(CallPermit::read_only()),
            Self::MayHaveChanged => {
                cx.check_lease().await.map_err(|error| error.context(call))?;
                let expired = cx.lease_error().context(call);
                Ok(CallPermit { effect: self, fence: Some((Arc::clone(cx.lease()), expired)) })
            }
        }
    }
}

impl CallPermit {
    /// Permit of a call that only reads.
    pub fn read_only() -> Self {
        Self { effect: CallEffect::ReadOnly, fence: None }
    }

    /// Effect that the call can have.
    pub fn effect(&self) -> CallEffect {
        self.effect
    }

    /// Checks again that the call may be sent: it can have been delayed until the lease expired.
    ///
    /// # Errors
    /// `Transient` with the code [`LEASE_EXPIRED`](stargate_sdk::LEASE_EXPIRED).
    pub fn check(&self) -> Result<(), ActionError> {
        match &self.fence {
            Some((lease, expired)) if !lease.is_in_force() => Err(expired.clone()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stargate_sdk::{FailureKind, LEASE_EXPIRED, Secrets};

    use super::*;

    fn context() -> ActionContext {
        ActionContext::detached("test", Arc::new(Secrets::default()))
    }

    #[tokio::test]
    async fn without_a_lease_calls_can_only_read() {
        let cx = context();
        cx.lease().lose();
        let error = CallEffect::MayHaveChanged.permit(&cx, "door POST /door").await.expect_err("lost");
        assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Transient, Some(LEASE_EXPIRED)));
        assert!(error.message.starts_with("door POST /door: not sent: the lease"), "{error}");
        let permit = CallEffect::ReadOnly.permit(&cx, "door GET /door").await.expect("it only reads");
        assert_eq!(permit.check(), Ok(()));
    }

    #[tokio::test]
    async fn a_permit_expires_with_the_lease_of_its_run() {
        let cx = context();
        let permit = CallEffect::MayHaveChanged.permit(&cx, "call").await.expect("in force");
        assert_eq!(permit.check(), Ok(()));
        cx.lease().lose();
        assert_eq!(permit.check().expect_err("lost").code.as_deref(), Some(LEASE_EXPIRED));
    }

    #[tokio::test]
    async fn a_cancelled_attempt_can_clean_up_while_the_lease_lasts() {
        let cx = context();
        cx.cancellation().cancel();
        assert!(CallEffect::MayHaveChanged.permit(&cx, "call").await.is_ok());
    }
}
