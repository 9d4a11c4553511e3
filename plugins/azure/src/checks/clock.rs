use std::collections::BTreeSet;

use futures::future::BoxFuture;
use jiff::Timestamp;
use stargate_sdk::{ActionContext, Check, Finding, Permission, clock_finding};

use crate::client::ArmClient;

/// Check `azure.clock`: compares this machine's clock with Azure's.
///
/// It uses no credential, because a wrong clock can be the reason that no token is issued.
pub(crate) struct ClockCheck(pub(crate) ArmClient);

impl Check for ClockCheck {
    fn id(&self) -> &'static str {
        "azure.clock"
    }

    fn summary(&self) -> &'static str {
        "Compares this machine's clock with Azure's."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let sent_at = Timestamp::now();
            match self.0.date().await {
                Ok(date) => clock_finding(date.as_deref(), sent_at, Timestamp::now())
                    .unwrap_or_else(|| Finding::skipped("azure's answer has no date to compare with")),
                Err(error) => Finding::skipped(error.to_string()),
            }
        })
    }
}
